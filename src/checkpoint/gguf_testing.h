// Tests only: GGUF files, right or wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "checkpoint/gguf.h"

namespace darkhorse {

template <typename T>
std::string BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}
inline std::string GgufStringBytes(std::string_view text) {
  return BytesOf<uint64_t>(text.size()) + std::string(text);
}

class GgufBuilder {
 public:
  uint32_t version = 3;
  int64_t alignment = 32;
  uint64_t more_keys = 0, more_tensors = 0;  // added to the counts, for wrong ones

  // A key with these bytes behind its type.
  GgufBuilder& Raw(std::string_view key, GgufKind kind, const std::string& bytes) {
    keys_ += GgufStringBytes(key) + BytesOf(kind) + bytes;
    ++key_count_;
    return *this;
  }
  template <typename T>
  GgufBuilder& Key(std::string_view key, GgufKind kind, T value) {
    return Raw(key, kind, BytesOf(value));
  }
  GgufBuilder& Int(std::string_view key, uint32_t value) { return Key(key, GgufKind::kU32, value); }
  GgufBuilder& Number(std::string_view key, float value) { return Key(key, GgufKind::kF32, value); }
  GgufBuilder& Bool(std::string_view key, bool value) { return Key(key, GgufKind::kBool, value); }
  GgufBuilder& String(std::string_view key, std::string_view value) {
    return Raw(key, GgufKind::kString, GgufStringBytes(value));
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = BytesOf(GgufKind::kString) + BytesOf<uint64_t>(values.size());
    for (const std::string& value : values) bytes += GgufStringBytes(value);
    return Raw(key, GgufKind::kArray, bytes);
  }
  GgufBuilder& Ints(std::string_view key, const std::vector<int32_t>& values) {
    std::string bytes = BytesOf(GgufKind::kI32) + BytesOf<uint64_t>(values.size());
    for (const int32_t value : values) bytes += BytesOf(value);
    return Raw(key, GgufKind::kArray, bytes);
  }

  // A tensor at the next aligned offset. `shape`: as GgufTensor has it.
  GgufBuilder& Tensor(std::string_view name, const std::vector<int64_t>& shape, uint32_t type,
                      const std::string& bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    TensorAt(name, shape, type, data_.size());
    data_ += bytes;
    return *this;
  }
  GgufBuilder& Tensor(std::string_view name, const std::vector<int64_t>& shape,
                      const std::vector<float>& values) {
    return Tensor(name, shape, 0,
                  {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }
  // Only its entry in the list.
  GgufBuilder& TensorAt(std::string_view name, const std::vector<int64_t>& shape, uint32_t type,
                        uint64_t offset) {
    list_ += GgufStringBytes(name) + BytesOf(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i > 0; --i) list_ += BytesOf(shape[i - 1]);
    list_ += BytesOf(type) + BytesOf(offset);
    ++tensor_count_;
    return *this;
  }

  std::string Head() const {
    return "GGUF" + BytesOf(version) + BytesOf(tensor_count_ + more_tensors) +
           BytesOf(key_count_ + more_keys) + keys_ + list_;
  }
  std::string Build() const {
    std::string file = Head();
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

 private:
  uint64_t key_count_ = 0, tensor_count_ = 0;
  std::string keys_, list_, data_;
};

}  // namespace darkhorse
