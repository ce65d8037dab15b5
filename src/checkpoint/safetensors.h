// Safetensors (huggingface/safetensors): an 8-byte little-endian header length, a JSON header
//   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__":
//   {...}}
// and the tensors' bytes, row-major and little-endian, which the offsets must tile without gap or
// overlap. Files come from strangers: nothing in a header is believed before it is checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"

namespace darkhorse {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

enum class DType { kF32, kBf16, kF16, kF8E4m3, kF8E8m0, kI64, kI32, kU8 };

std::string_view DTypeName(DType dtype);  // "F32", "BF16", ...
int64_t DTypeBytes(DType dtype);

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // not necessarily aligned

  int64_t size() const { return static_cast<int64_t>(bytes.size()) / DTypeBytes(dtype); }
};

// "[2, 3]"
std::string ShapeText(std::span<const int64_t> shape);

// out[i] = element i as f32, exactly; `out` has as many elements as the tensor. Error if the dtype
// is no floating-point format.
void ReadFloats(const TensorView& tensor, const std::string& file, std::span<float> out);

struct SafetensorsContents {
  std::vector<TensorView> tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Error naming `name`, the tensor and the cure.
SafetensorsContents ParseSafetensors(std::span<const std::byte> file, const std::string& name);

// A safetensors file, mapped.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  const std::string& path() const { return file_.path(); }
  const std::vector<TensorView>& tensors() const { return contents_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return contents_.metadata; }
  const TensorView* Find(std::string_view name) const;  // nullptr if absent

 private:
  MappedFile file_;
  SafetensorsContents contents_;
  std::unordered_map<std::string, size_t> index_;
};

// A model's tensors: `model.safetensors` in a directory, or the shards that
// `model.safetensors.index.json` names ({"weight_map": {"tensor": "file"}}).
class CheckpointTensors {
 public:
  struct Entry {
    const TensorView* tensor;
    const SafetensorsFile* file;
  };
  explicit CheckpointTensors(const std::string& directory);
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::map<std::string, SafetensorsFile> files_;
  std::map<std::string, Entry> entries_;
};

// What an index says: tensor name -> file name, the latter free of directories.
std::map<std::string, std::string> ParseShardIndex(std::string_view text, const std::string& name);

struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;  // kF32 or kBf16
  std::vector<int64_t> shape;
};

// Streams tensors in the order of `specs`; equal input gives equal bytes. Nothing appears at `path`
// before Commit().
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, std::vector<TensorSpec> specs,
                    const std::map<std::string, std::string>& metadata);
  // The next tensor's elements, all or, call by call, so many of them, rounded to its dtype.
  void Append(std::span<const float> values);
  void Commit();

 private:
  FileWriter writer_;
  std::vector<TensorSpec> specs_;
  size_t next_ = 0;
  int64_t appended_ = 0;  // elements of specs_[next_]
};

}  // namespace darkhorse
