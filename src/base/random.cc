#include "base/random.h"

#include <numbers>

namespace darkhorse {

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

uint64_t RandomBits(uint64_t seed, RandomStream stream, uint64_t a, uint64_t b) {
  // The counter holds a and b; the stream is mixed into the seed by one Philox call of its own, so
  // the key stays 64 bits.
  const auto key = Philox({static_cast<uint32_t>(stream), 0x6461726b, 0x686f7273, 0x65},
                          {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const auto out = Philox({static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32),
                           static_cast<uint32_t>(b), static_cast<uint32_t>(b >> 32)},
                          {key[0], key[1]});
  return uint64_t{out[1]} << 32 | out[0];
}

double RandomNormal(uint64_t seed, RandomStream stream, uint64_t a, uint64_t b) {
  const uint64_t bits = RandomBits(seed, stream, a, b);
  // (0, 1] for the logarithm, [0, 1) for the angle; 32 bits each.
  const double u = (static_cast<double>(bits >> 32) + 1.0) * 0x1.0p-32;
  const double v = static_cast<double>(bits & 0xFFFFFFFF) * 0x1.0p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace darkhorse
