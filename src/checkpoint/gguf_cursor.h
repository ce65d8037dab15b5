// Walks the bytes of a GGUF file's header; nothing is read that is not there.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "checkpoint/gguf_keys.h"

namespace darkhorse {

class GgufCursor {
 public:
  // `name`: the file, for errors.
  GgufCursor(std::span<const std::byte> bytes, const std::string& name)
      : bytes_(bytes), name_(name) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  template <typename T>
  T Read(std::string_view what) {
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view ReadString(std::string_view what) {
    const auto size = Read<uint64_t>(what);
    const auto text = Take(size, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  std::span<const std::byte> Take(uint64_t size, std::string_view what) {
    if (size > left()) {
      Fail("{}: ends inside {}; the file is cut short or corrupt, fetch it again", name_, what);
    }
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(size));
    position_ += taken.size();
    return taken;
  }

  // A value of metadata, arrays in arrays included, each element checked.
  GgufValue ReadValue(std::string_view what) { return ReadValue(ReadKind(what), what, 0); }
  GgufValue ReadValue(GgufKind kind, std::string_view what, int depth);

 private:
  GgufKind ReadKind(std::string_view what);

  std::span<const std::byte> bytes_;
  const std::string& name_;
  size_t position_ = 0;
};

}  // namespace darkhorse
