// Counter-based random numbers: a value is a pure function of its coordinates (seed, stream, a, b).
// There is no generator state, so nothing about randomness has to be saved to resume a run.
// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace darkhorse {

// What a random number is for. Different streams never share numbers. Append only: the values are
// part of a run's identity.
enum class RandomStream : uint32_t {
  kInit = 1,  // (tensor, element)
  kData = 2,  // (epoch, item)
  kSample =
      3,  // (the request's stream + number of the sample, index of the token among those sampled)
  kTask = 4,    // (index, draw)
  kCorpus = 5,  // (document, draw)
  kTest = 6,
  kRollout = 7,  // (index of a problem), or (epoch, place): which problem comes
  kReward = 8,   // (round of samples, sample)
  kMoments = 9,  // (optimizer step, half the place among what is trained)
};

// Ten Philox rounds over a 128-bit counter with a 64-bit key.
std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// 64 random bits at (seed, stream, a, b). a and b may be any 64-bit numbers.
uint64_t RandomBits(uint64_t seed, RandomStream stream, uint64_t a, uint64_t b = 0);

// Uniform in [0, 1) with 53 bits.
inline double RandomUniform(uint64_t seed, RandomStream stream, uint64_t a, uint64_t b = 0) {
  return static_cast<double>(RandomBits(seed, stream, a, b) >> 11) * 0x1.0p-53;
}

// Standard normal (Box-Muller on one 64-bit draw per call).
double RandomNormal(uint64_t seed, RandomStream stream, uint64_t a, uint64_t b = 0);

// A short-lived sequence of draws at fixed coordinates (seed, stream, a): draw b = 0, 1, 2, … For
// code that needs an unknown number of draws, such as a problem maker. Satisfies
// UniformRandomBitGenerator.
class RandomSequence {
 public:
  using result_type = uint64_t;
  RandomSequence(uint64_t seed, RandomStream stream, uint64_t a)
      : seed_(seed), stream_(stream), a_(a) {}
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()() { return RandomBits(seed_, stream_, a_, next_++); }
  // Uniform in [0, bound), bound >= 1. Lemire's multiply-shift; the bias is below bound * 2^-64.
  uint64_t Below(uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Wide>((*this)()) * bound) >> 64);
  }
  // Uniform in [low, high], both ends included.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low) + 1));
  }
  double Uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

 private:
  uint64_t seed_;
  RandomStream stream_;
  uint64_t a_;
  uint64_t next_ = 0;
};

}  // namespace darkhorse
