#include <cstring>
#include <map>
#include <utility>

#include "base/file.h"
#include "checkpoint/export.h"
#include "checkpoint/export_rows.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/gguf_writer.h"
#include "kernel/ggml_encode.h"

namespace darkhorse {
namespace {

// A tensor of the file: rows of one parameter, or of the experts' one behind the other.
struct OutTensor {
  enum class Order {
    kAsIs,
    kInterleavedHalves,  // of each head
    kKeys,               // of kv_b_proj: each head's [nope, latent], transposed
    kValues,             // of kv_b_proj: each head's [value, latent]
  };
  std::string name;
  std::vector<int64_t> shape;
  GgmlType type;
  Order order = Order::kAsIs;
  std::vector<const ParamInfo*> params;

  // As rows are read and written: a vector has rows of one number.
  int64_t cols() const { return shape.size() == 1 ? 1 : shape.back(); }
  int64_t rows() const {
    int64_t numbers = 1;
    for (const int64_t extent : shape) numbers *= extent;
    return numbers / cols();
  }
};

class Layout {
 public:
  explicit Layout(const ModelConfig& config, GgmlType type)
      : config_(config), architecture_(ArchitectureOf(config)), type_(type), params_(config) {
    for (const ParamInfo& param : params_.params()) Add(param);
  }

  const std::vector<OutTensor>& tensors() const { return tensors_; }

  // A row of a parameter: that which row `row` of the tensor is, if it is not of keys.
  std::pair<const ParamInfo*, int64_t> RowOf(const OutTensor& tensor, int64_t row) const {
    const int64_t rows = tensor.rows() / static_cast<int64_t>(tensor.params.size());
    const ParamInfo* param = tensor.params[static_cast<size_t>(row / rows)];
    row %= rows;
    if (tensor.order == OutTensor::Order::kInterleavedHalves) {
      const int64_t in_head = row % config_.head_dim, half = config_.head_dim / 2;
      row += in_head % 2 * half + in_head / 2 - in_head;  // InterleavedRow the other way round
    } else if (tensor.order == OutTensor::Order::kValues) {
      const int64_t head = row / config_.v_head_dim;
      row += (head + 1) * config_.qk_nope_head_dim;
    }
    return {param, row};
  }

  // out[count, cols]: rows of the tensor.
  void ReadRows(const ModelSource& source, const OutTensor& tensor, int64_t begin, int64_t count,
                float* out) const {
    if (tensor.order == OutTensor::Order::kKeys) return ReadKeys(source, tensor, begin, count, out);
    for (int64_t done = 0; done < count;) {
      const auto [param, row] = RowOf(tensor, begin + done);
      int64_t run = 1;
      while (done + run < count && RowOf(tensor, begin + done + run) == std::pair(param, row + run))
        ++run;
      source.ReadRows(*param, row, run, out + done * tensor.cols());
      done += run;
    }
  }

 private:
  void Add(const ParamInfo& param) {
    const std::string name = GgufTensorName(param.name);
    CHECK(!name.empty());
    if (name.ends_with("attn_kv_b.weight")) return AddKvB(param, name);
    if (param.expert > 0) {
      tensors_[experts_.at(name)].params.push_back(&param);
      return;
    }
    OutTensor tensor = {name, param.shape, {}, {}, {&param}};
    if (param.expert == 0) {
      experts_[name] = tensors_.size();
      tensor.shape.insert(tensor.shape.begin(), config_.n_routed_experts);
    }
    const bool turned = param.name.find(".q_proj.") != std::string::npos ||
                        param.name.find(".k_proj.") != std::string::npos;
    if (turned && architecture_.interleaved_halves)
      tensor.order = OutTensor::Order::kInterleavedHalves;
    Push(std::move(tensor), param.kind);
  }
  void AddKvB(const ParamInfo& param, const std::string& name) {
    const int64_t heads = config_.num_attention_heads, latent = config_.kv_lora_rank;
    const std::string block = name.substr(0, name.find("attn_"));
    Push({block + "attn_k_b.weight",
          {heads, latent, config_.qk_nope_head_dim},
          {},
          OutTensor::Order::kKeys,
          {&param}},
         param.kind);
    Push({block + "attn_v_b.weight",
          {heads, config_.v_head_dim, latent},
          {},
          OutTensor::Order::kValues,
          {&param}},
         param.kind);
  }
  void Push(OutTensor tensor, ParamKind kind) {
    tensor.type = ExportType(type_, kind, tensor.cols());
    tensors_.push_back(std::move(tensor));
  }

  void ReadKeys(const ModelSource& source, const OutTensor& tensor, int64_t begin, int64_t count,
                float* out) const {
    const int64_t nope = config_.qk_nope_head_dim, latent = config_.kv_lora_rank;
    std::vector<float> keys(static_cast<size_t>(nope * latent));  // of head `read`
    int64_t read = -1;
    for (int64_t row = begin; row < begin + count; ++row, out += nope) {
      const int64_t head = row / latent, j = row % latent;
      if (head != read) {
        source.ReadRows(*tensor.params[0], head * (nope + config_.v_head_dim), nope, keys.data());
        read = head;
      }
      for (int64_t i = 0; i < nope; ++i) out[i] = keys[static_cast<size_t>(i * latent + j)];
    }
  }

  const ModelConfig& config_;
  const GgufArchitecture& architecture_;
  GgmlType type_;
  ParamLayout params_;
  std::vector<OutTensor> tensors_;
  std::map<std::string, size_t> experts_;  // where in tensors_
};

void WriteTensor(const ModelSource& source, const Layout& layout, const OutTensor& tensor,
                 GgufWriter& writer, ExportProgress& progress) {
  const GgmlTypeInfo& type = InfoOf(tensor.type);
  const int64_t cols = tensor.cols(), row_bytes = type.BytesOf(cols);
  // Blocks that are of the format already stay as they are.
  std::map<const ParamInfo*, StoredRows> stored;
  if (type.numbers > 1 && tensor.order != OutTensor::Order::kKeys) {
    for (const ParamInfo* param : tensor.params) {
      StoredRows rows = source.Rows(*param);
      if (rows.type == &type) stored.emplace(param, std::move(rows));
    }
  }
  std::vector<std::byte> group;
  ForRows(
      tensor.rows(), cols,
      [&](int64_t count) { group.resize(static_cast<size_t>(count * row_bytes)); },
      [&](int64_t group_begin, int64_t begin, int64_t count) {
        std::vector<float> numbers(static_cast<size_t>(count * cols));
        layout.ReadRows(source, tensor, begin, count, numbers.data());  // refuses NaN
        std::byte* out = group.data() + (begin - group_begin) * row_bytes;
        if (stored.empty()) {
          RequireWithin(numbers.data(), count * cols, LargestEncodable(tensor.type), source.path(),
                        tensor.name);
          return EncodeGgml(tensor.type, numbers.data(), count * cols, out);
        }
        for (int64_t row = begin; row < begin + count; ++row, out += row_bytes) {
          const auto [param, at] = layout.RowOf(tensor, row);
          const auto found = stored.find(param);
          if (found != stored.end()) {
            std::memcpy(out, found->second.row(at), static_cast<size_t>(row_bytes));
            continue;
          }
          const float* in = numbers.data() + (row - begin) * cols;
          RequireWithin(in, cols, LargestEncodable(tensor.type), source.path(), tensor.name);
          EncodeGgml(tensor.type, in, cols, out);
        }
      },
      [&] {
        writer.Append(group);
        progress.Add(static_cast<int64_t>(group.size()));
      });
}

// llama.cpp's number for what most matrices of a file are (its enum llama_ftype).
int64_t FileType(GgmlType type) {
  switch (type) {
    case GgmlType::kF16:
      return 1;
    case GgmlType::kQ4_0:
      return 2;
    case GgmlType::kQ8_0:
      return 7;
    default:
      CHECK(type == GgmlType::kQ4K);
      return 14;
  }
}

}  // namespace

GgmlType ExportType(GgmlType type, ParamKind kind, int64_t cols) {
  switch (kind) {
    case ParamKind::kNorm:
    case ParamKind::kBias:
    case ParamKind::kRouter:
    case ParamKind::kRouterBias:
      return GgmlType::kF32;
    case ParamKind::kEmbedding:
    case ParamKind::kHead:
      if (type != GgmlType::kF16) type = GgmlType::kQ8_0;
      break;
    case ParamKind::kAdapter:  // none is in a model's list
    case ParamKind::kMatrix:
      break;
  }
  if (cols % InfoOf(type).numbers == 0) return type;
  return type == GgmlType::kQ4K && cols % 32 == 0 ? GgmlType::kQ5_0 : GgmlType::kF16;
}

void ExportGguf(const ModelSource& source, GgmlType type, const std::string& out,
                const ExportOptions& options) {
  RequireNew(out);
  const Tokenizer tokenizer = source.ReadTokenizer();
  ModelConfig config = source.TextConfig(tokenizer);
  config.num_nextn_predict_layers = 0;
  GgufHead head;
  const std::vector<float> divisors = WriteGgufConfig(config, source.path(), &head);
  head.Int("general.file_type", FileType(type));
  head.Int("general.quantization_version", 2);
  WriteGgufTokenizer(tokenizer, config, source.ReadChatFormat(), source.path(), &head);
  if (!divisors.empty())
    head.Tensor("rope_freqs.weight", {static_cast<int64_t>(divisors.size())}, GgmlType::kF32);
  const Layout layout(config, type);
  int64_t total = 0;
  for (const OutTensor& tensor : layout.tensors()) {
    head.Tensor(tensor.name, tensor.shape, tensor.type);
    total += InfoOf(tensor.type).BytesOf(tensor.rows() * tensor.cols());
  }
  RequireRoom(out, head.file_bytes());
  GgufWriter writer(out, head);
  if (!divisors.empty()) writer.Append(std::as_bytes(std::span(divisors)));
  ExportProgress progress(options, total);
  for (const OutTensor& tensor : layout.tensors()) {
    WriteTensor(source, layout, tensor, writer, progress);
  }
  writer.Commit();
}

}  // namespace darkhorse
