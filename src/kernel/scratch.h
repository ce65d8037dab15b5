// Memory that only grows: one object per thread and use.
#pragma once

#include <cstdint>

#include "base/buffer.h"

namespace darkhorse {

template <typename T>
class Scratch {
 public:
  // Room for `count` numbers, aligned to 64 bytes. What it held before is lost where it grows.
  T* Get(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    const int64_t floats = (bytes + 3) / 4;
    if (floats > data_.size()) {
      data_ = {};
      data_ = FloatBuffer(floats);
    }
    return reinterpret_cast<T*>(data_.data());
  }

 private:
  FloatBuffer data_;
};

}  // namespace darkhorse
