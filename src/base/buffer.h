// A large array of floats: zeroed, and in huge pages where the system has them, for a model's
// weights are walked with strides that would miss in the translation cache of small ones.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace darkhorse {

class FloatBuffer {
 public:
  FloatBuffer() = default;
  // `count` zeros, aligned to 64 bytes at least. Error: out of memory.
  explicit FloatBuffer(int64_t count) : FloatBuffer(count, /*sparse=*/false) {}
  // The same in small pages, for what may never be used: only what is written takes memory, and the
  // time to zero it, and no more is asked of the system.
  static FloatBuffer Sparse(int64_t count);

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return data_ ? data_.get_deleter().count : 0; }
  float* begin() { return data(); }
  float* end() { return data() + size(); }
  float& operator[](int64_t i) { return data()[i]; }
  operator std::span<float>() { return {data(), static_cast<size_t>(size())}; }

 private:
  FloatBuffer(int64_t count, bool sparse);
  struct Unmap {
    int64_t count;
    void operator()(float* data) const;
  };
  std::unique_ptr<float, Unmap> data_;
};

}  // namespace darkhorse
