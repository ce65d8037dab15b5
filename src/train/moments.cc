#include "train/moments.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/random.h"

namespace darkhorse {
namespace {

constexpr float kLeastNormal = 0x1p-126f;

int64_t Floats(int64_t size, Format format) {
  return format == Format::kBf16 ? (size + 1) / 2 : size;
}

}  // namespace

Bf16 RoundByLot(float x, uint32_t lot) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const uint32_t sign = bits & 0x80000000, magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return RoundToBf16(x);  // no number: as it is
  if (magnitude < 0x00800000) return {static_cast<uint16_t>(sign >> 16)};
  const uint32_t rounded = std::min((magnitude + (lot & 0xffff)) >> 16, uint32_t{0x7f7f});
  return {static_cast<uint16_t>(sign >> 16 | rounded)};
}

Moments::Moments(int64_t size, Format format)
    : size_(size), format_(format), first_(Floats(size, format)), second_(Floats(size, format)) {
  CHECK(format == Format::kF32 || format == Format::kBf16);
}

int64_t Moments::Bytes(int64_t size, Format format) {
  return 2 * Floats(size, format) * static_cast<int64_t>(sizeof(float));
}

void Moments::Widen(int64_t begin, int64_t n, float* first, float* second) {
  for (int64_t i = 0; i < n; ++i) {
    first[i] = ToFloat(Rounded(first_)[begin + i]);
    second[i] = ToFloat(Rounded(second_)[begin + i]);
  }
}

void Moments::Round(int64_t begin, int64_t n, int64_t step, const float* first,
                    const float* second) {
  // A draw of 64 bits has the lots of two places.
  uint64_t draw = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = begin + i;
    if (i == 0 || place % 2 == 0) {
      draw = RandomBits(0, RandomStream::kMoments, static_cast<uint64_t>(step),
                        static_cast<uint64_t>(place / 2));
    }
    const auto lots = static_cast<uint32_t>(place % 2 == 0 ? draw : draw >> 32);
    Rounded(first_)[place] = RoundByLot(first[i], lots);
    const float square = second[i] > 0 ? std::max(second[i], kLeastNormal) : second[i];
    Rounded(second_)[place] = RoundByLot(square, lots >> 16);
  }
}

std::span<float> Moments::floats(int64_t i) {
  if (format_ != Format::kF32) return {};
  return i == 0 ? first_ : second_;
}

std::span<Bf16> Moments::rounded(int64_t i) {
  if (format_ != Format::kBf16) return {};
  return {Rounded(i == 0 ? first_ : second_), static_cast<size_t>(size_)};
}

}  // namespace darkhorse
