#include "base/random.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

// Known answers from the Random123 distribution's kat_vectors (philox4x32, 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox({ones, ones, ones, ones}, {ones, ones}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, NormalHasUnitVariance) {
  const int n = 20000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = RandomNormal(1, RandomStream::kTest, static_cast<uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  // Five standard errors: sqrt(1/n) for the mean, sqrt(2/n) for the variance.
  EXPECT_LT(std::abs(sum / n), 5 * std::sqrt(1.0 / n));
  EXPECT_LT(std::abs(squares / n - 1), 5 * std::sqrt(2.0 / n));
}

TEST(Random, StreamsAndCoordinatesDiffer) {
  const uint64_t x = RandomBits(1, RandomStream::kInit, 2, 3);
  EXPECT_NE(x, RandomBits(1, RandomStream::kData, 2, 3));
  EXPECT_NE(x, RandomBits(2, RandomStream::kInit, 2, 3));
  EXPECT_NE(x, RandomBits(1, RandomStream::kInit, 3, 2));
}

}  // namespace
}  // namespace darkhorse
