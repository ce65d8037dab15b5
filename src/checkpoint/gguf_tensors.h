// A model's parameters where a GGUF file has them: Hugging Face's names and layouts over GGUF's.
// Rows come one range at a time, so nothing needs a whole copy and many threads may read at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf.h"
#include "model/param_source.h"

namespace darkhorse {

// The architectures that are read, by GGUF's name.
struct GgufArchitecture {
  std::string_view name;
  std::string_view model_type;  // Hugging Face's
  // Whether the two halves of each head of q_proj and k_proj lie interleaved: what Hugging Face has
  // at row i of the first half is stored at 2i, of the second at 2i + 1.
  bool interleaved_halves;
};
// Error naming the file and those that are read.
const GgufArchitecture& ArchitectureOf(const GgufKeys& keys);

// That a model of this config is of. Error: there is none.
const GgufArchitecture& ArchitectureOf(const ModelConfig& config);

// Where row `row` of a head of `head_rows` is stored whose halves are interleaved.
inline int64_t InterleavedRow(int64_t row, int64_t head_rows) {
  const int64_t half = head_rows / 2;
  return row % half * 2 + row / half;
}

// The tensor that holds a parameter: that of all experts for one expert's, "blk.0.attn_kv_b.weight"
// for kv_b_proj. "": there is none.
std::string GgufTensorName(std::string_view param);

// A key of the architecture's own: "llama." + name.
std::string ArchitectureKey(const GgufArchitecture& architecture, std::string_view name);

// One parameter. A matrix has the rows of its shape, a vector of n has n rows of one number.
class GgufParam {
 public:
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // out[count, cols]: the rows from `begin` on, exactly.
  void ReadRows(int64_t begin, int64_t count, float* out) const;

  // How the rows are stored; null where none is: kv_b_proj of a file that has its two parts.
  const GgmlTypeInfo* type() const { return parts_.k ? nullptr : tensor_->type; }
  // Only with a type: the blocks of a row, type()->BytesOf(cols()) bytes, not necessarily aligned;
  // and whether each row lies behind the one before it.
  const std::byte* Row(int64_t row) const { return first_ + StoredRow(row) * row_bytes_; }
  bool rows_in_order() const { return !parts_.k && head_rows_ == 0; }

 private:
  friend class GgufTensors;
  // kv_b_proj [heads*(nope + value), latent] as one matrix a head for keys and one for values.
  struct KvParts {
    const GgufTensor* k = nullptr;  // [heads, latent, nope]: that of kv_b_proj transposed
    const GgufTensor* v = nullptr;  // [heads, value, latent]
    int64_t nope = 0, value = 0;
  };

  int64_t StoredRow(int64_t row) const {
    if (head_rows_ == 0) return row;
    const int64_t in_head = row % head_rows_;
    return row - in_head + InterleavedRow(in_head, head_rows_);
  }
  void ReadKvRows(int64_t begin, int64_t count, float* out) const;

  int64_t rows_ = 0, cols_ = 0;
  const GgufTensor* tensor_ = nullptr;
  const std::byte* first_ = nullptr;  // the stored row 0, or that of an expert
  int64_t row_bytes_ = 0;
  int64_t head_rows_ = 0;  // of a head whose halves are interleaved; 0: the rows are in order
  KvParts parts_;
};

class GgufTensors : public ParamSource {
 public:
  // `files` must outlive this. Error: an architecture that is not read.
  explicit GgufTensors(const GgufFiles& files);

  // Error naming file and tensor if it is missing, of another shape or of a format that is not
  // read.
  GgufParam Find(std::string_view name, std::span<const int64_t> shape) const;

  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override;
  StoredRows Rows(const ParamSpec& param) const override;

  // Error naming the first tensor that the layout asks for and the file lacks, or that the file has
  // and no parameter takes.
  void CheckLayout(const ParamLayout& layout) const;

  const GgufFiles& files() const { return files_; }
  const GgufArchitecture& architecture() const { return architecture_; }

 private:
  // The tensor that holds the parameter `name`; Error if it is missing.
  const GgufTensor& Needed(const std::string& tensor, std::string_view name) const;
  GgufParam Whole(const std::string& tensor, std::string_view name,
                  std::span<const int64_t> shape) const;
  GgufParam Expert(const std::string& block, std::string_view kind, int64_t expert,
                   std::string_view name, std::span<const int64_t> shape) const;
  GgufParam KvB(const std::string& block, std::string_view name,
                std::span<const int64_t> shape) const;
  void RequireShape(const GgufTensor& tensor, std::string_view name,
                    std::span<const int64_t> shape) const;

  const GgufFiles& files_;
  const GgufArchitecture& architecture_;
  int64_t heads_, key_value_heads_, experts_;
};

}  // namespace darkhorse
