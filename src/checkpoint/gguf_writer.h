// Writes GGUF, version 3 (checkpoint/gguf.h has the layout).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "checkpoint/gguf_keys.h"
#include "kernel/ggml_blocks.h"

namespace darkhorse {

// What stands before the tensors' bytes: keys and the list of tensors, each in the order in which
// it was added. A key or tensor is added once.
class GgufHead {
 public:
  void Int(std::string_view key, int64_t value);    // of u32; CHECK: it fits
  void Number(std::string_view key, double value);  // of f32
  void Bool(std::string_view key, bool value);
  void String(std::string_view key, std::string_view value);
  void Strings(std::string_view key, std::span<const std::string> values);
  void Ints(std::string_view key, std::span<const int32_t> values);
  // shape: as GgufTensor has it. Its bytes follow those of the tensor before it.
  void Tensor(std::string_view name, const std::vector<int64_t>& shape, GgmlType type);

  // Of the whole file.
  int64_t file_bytes() const { return static_cast<int64_t>(Bytes().size()) + data_bytes_; }

 private:
  friend class GgufWriter;
  std::string Bytes() const;  // up to where tensors begin
  void Begin(std::string_view key, GgufKind kind);
  void BeginArray(std::string_view key, GgufKind element, size_t count);

  uint64_t keys_ = 0;
  std::string key_bytes_, list_bytes_;
  std::vector<int64_t> sizes_;  // of the tensors
  int64_t data_bytes_ = 0;
};

// Streams the tensors of `head` in its order. Nothing appears at `path` before Commit().
class GgufWriter {
 public:
  GgufWriter(const std::string& path, const GgufHead& head);
  // The next tensor's bytes, all or, call by call, so many of them.
  void Append(std::span<const std::byte> bytes);
  void Commit();

 private:
  FileWriter writer_;
  std::vector<int64_t> sizes_;
  size_t next_ = 0;
  int64_t appended_ = 0;  // bytes of tensor next_
};

}  // namespace darkhorse
