// An optimizer's two running means of every number that is trained, in f32 or bf16.
//
// In bf16 a mean is rounded by lot each time it has changed: up with the probability of its place
// between the two neighbours, so that what it holds is in expectation what f32 would hold. Rounded
// to the nearest it would stand still where a step changes it by less than half of the last bit,
// a 2^9th: a second moment of beta2 = 0.999 would never fall. The lots are counter-based random
// numbers of the step and the place, so a run that is resumed draws the same. Denormals are zero,
// as in all of bf16 here; but a second moment that is not 0 stays so, for its root is divided by.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/buffer.h"
#include "kernel/bf16.h"
#include "kernel/weight.h"

namespace darkhorse {

// x between its bf16 neighbours by lot: away from zero with the probability lot / 2^16 beyond where
// it lies, so that over all lots the mean is x. A denormal becomes a zero of its sign, what would
// be beyond the largest number that number.
Bf16 RoundByLot(float x, uint32_t lot);

class Moments {
 public:
  Moments(int64_t size, Format format);  // zeros; f32 or bf16
  // Of both.
  static int64_t Bytes(int64_t size, Format format);
  Format format() const { return format_; }

  // body(offset, n, first, second) changes the numbers begin + offset, ... of both, all of the
  // `count` of them in one call or, in bf16, chunk by chunk; `step` is that of the lots.
  template <typename Body>
  void Update(int64_t begin, int64_t count, int64_t step, const Body& body) {
    if (format_ == Format::kF32)
      return body(int64_t{0}, count, first_.data() + begin, second_.data() + begin);
    float first[kChunk], second[kChunk];
    for (int64_t offset = 0; offset < count; offset += kChunk) {
      const int64_t n = std::min(kChunk, count - offset);
      Widen(begin + offset, n, first, second);
      body(offset, n, first, second);
      Round(begin + offset, n, step, first, second);
    }
  }

  // For checkpoints, the first (i = 0) or the second: those of the format they have, else none.
  std::span<float> floats(int64_t i);
  std::span<Bf16> rounded(int64_t i);

 private:
  static constexpr int64_t kChunk = 1024;
  Bf16* Rounded(FloatBuffer& buffer) { return reinterpret_cast<Bf16*>(buffer.data()); }
  void Widen(int64_t begin, int64_t n, float* first, float* second);
  void Round(int64_t begin, int64_t n, int64_t step, const float* first, const float* second);

  int64_t size_;
  Format format_;
  FloatBuffer first_, second_;  // of bf16 two in a float's place
};

}  // namespace darkhorse
