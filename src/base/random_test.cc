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

// Computed by another program from the definition. The values are part of a run's identity.
TEST(Random, BitsAreAsDefined) {
  EXPECT_EQ(
      RandomBits(0x0123456789abcdef, RandomStream::kTest, 0xfedcba9876543210, 0x1122334455667788),
      0xe2ac338bd0828c48u);
}

// All 64 bits of each coordinate count.
TEST(Random, EveryBitOfACoordinateCounts) {
  const uint64_t x = RandomBits(0, RandomStream::kTest, 0, 0);
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t one = uint64_t{1} << bit;
    EXPECT_NE(x, RandomBits(one, RandomStream::kTest, 0, 0)) << bit;
    EXPECT_NE(x, RandomBits(0, RandomStream::kTest, one, 0)) << bit;
    EXPECT_NE(x, RandomBits(0, RandomStream::kTest, 0, one)) << bit;
  }
}

TEST(Random, UniformAndNormalAreTheirFormulas) {
  for (uint64_t i = 0; i < 100; ++i) {
    const uint64_t bits = RandomBits(1, RandomStream::kTest, i, 2);
    const double uniform = RandomUniform(1, RandomStream::kTest, i, 2);
    EXPECT_EQ(uniform, std::ldexp(static_cast<double>(bits >> 11), -53));
    const double u = std::ldexp(static_cast<double>(bits >> 32) + 1, -32);
    const double v = std::ldexp(static_cast<double>(bits & 0xffffffff), -32);
    // The two expressions may round differently, a few units of numbers below 7.
    EXPECT_NEAR(RandomNormal(1, RandomStream::kTest, i, 2),
                std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v), 1e-14);
  }
}

TEST(Random, ASequenceIsTheDrawsOfItsCoordinates) {
  RandomSequence sequence(1, RandomStream::kTask, 5);
  for (uint64_t draw = 0; draw < 10; ++draw) {
    EXPECT_EQ(sequence(), RandomBits(1, RandomStream::kTask, 5, draw));
  }
  // floor(bits / 2^64 * bound).
  for (uint64_t draw = 10; draw < 20; ++draw) {
    const uint64_t bits = RandomBits(1, RandomStream::kTask, 5, draw);
    EXPECT_EQ(sequence.Below(1000),
              static_cast<uint64_t>(std::ldexp(static_cast<double>(bits >> 11), -53) * 1000));
  }
  EXPECT_EQ(sequence.Below(1), 0u);
  bool seen[5] = {};
  for (int i = 0; i < 200; ++i) {
    const int64_t value = sequence.Between(-2, 2);
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 2);
    seen[value + 2] = true;  // one in 5 each: 200 draws miss one with a chance of 2e-19
  }
  for (const bool one : seen) EXPECT_TRUE(one);
  EXPECT_EQ(sequence.Between(7, 7), 7);
}

TEST(Random, StreamsAndCoordinatesDiffer) {
  const uint64_t x = RandomBits(1, RandomStream::kInit, 2, 3);
  EXPECT_NE(x, RandomBits(1, RandomStream::kData, 2, 3));
  EXPECT_NE(x, RandomBits(2, RandomStream::kInit, 2, 3));
  EXPECT_NE(x, RandomBits(1, RandomStream::kInit, 3, 2));
}

}  // namespace
}  // namespace darkhorse
