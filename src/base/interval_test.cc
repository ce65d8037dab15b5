#include "base/interval.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace darkhorse {
namespace {

constexpr double kZ2 = 1.96 * 1.96;
// Of a few sums, a root and a quotient, each of numbers below 4.
constexpr double kRounding = 16 * 0x1p-53;

std::vector<double> Rights(size_t right, size_t n) {
  std::vector<double> values(n, 0);
  std::fill_n(values.begin(), right, 1);
  return values;
}

// Newcombe 1998, Statistics in Medicine 17:857, table I, method 3, to four digits.
TEST(MeanInterval, IsWilsonsOfRightsAndWrongs) {
  struct Case {
    size_t right, n;
    double low, high;
  };
  for (const Case& c : {Case{81, 263, 0.2553, 0.3662}, Case{15, 148, 0.0624, 0.1605},
                        Case{0, 20, 0, 0.1611}, Case{1, 29, 0.0061, 0.1718}}) {
    const Interval interval = MeanInterval(Rights(c.right, c.n));
    EXPECT_EQ(interval.value, static_cast<double>(c.right) / static_cast<double>(c.n));
    EXPECT_NEAR(interval.low, c.low, 1e-4) << c.right;
    EXPECT_NEAR(interval.high, c.high, 1e-4) << c.right;
  }
}

TEST(MeanInterval, IsAsWideAsNProblemsAllow) {
  for (const size_t n : {1, 3, 8, 117}) {
    const double least = kZ2 / (static_cast<double>(n) + kZ2);
    const Interval none = MeanInterval(Rights(0, n)), all = MeanInterval(Rights(n, n));
    EXPECT_EQ(none.low, 0);
    EXPECT_EQ(all.high, 1);
    EXPECT_NEAR(none.high, least, kRounding);
    EXPECT_NEAR(all.low, 1 - least, kRounding);
    // Values that are all alike, nearly alike, and random.
    for (uint64_t trial = 0; trial < 100; ++trial) {
      std::vector<double> values;
      for (uint64_t i = 0; i < n; ++i) {
        const double random = RandomUniform(3, RandomStream::kTest, trial, i);
        values.push_back(trial < 50 ? static_cast<double>(trial) / 49 : random);
      }
      const Interval interval = MeanInterval(values);
      EXPECT_GE(interval.high - interval.low, least - kRounding);
      EXPECT_LE(0, interval.low);
      EXPECT_LE(interval.low, interval.value);
      EXPECT_LE(interval.value, interval.high);
      EXPECT_LE(interval.high, 1);
    }
  }
}

// One problem is always solved, one in every fourth sample, one never.
TEST(MeanInterval, OfSharesIsNarrowerByTheirVariance) {
  const Interval interval = MeanInterval(std::vector<double>{1, 0.25, 0});
  const double squares = 1 + 0.0625 - 1.25 * 1.25 / 3;
  const double centre = (1.25 + kZ2 / 2) / (3 + kZ2);
  const double half = 1.96 * std::sqrt(squares + kZ2 / 4) / (3 + kZ2);
  EXPECT_NEAR(interval.low, centre - half, kRounding);
  EXPECT_NEAR(interval.high, centre + half, kRounding);
}

// Eight problems, the share of each uniform in [0, 1], so 1/2 in the mean, 400 times. A count of
// 0.95 · 400 with six standard deviations, 26, is 354 and more; the normal interval of so few
// problems holds it in 0.91 of all cases, 3 problems' in 0.8.
TEST(MeanInterval, CoversNineteenTimesInTwentyHoweverFewProblems) {
  for (const uint64_t n : {3, 8}) {
    int covered = 0;
    for (uint64_t trial = 0; trial < 400; ++trial) {
      std::vector<double> values;
      for (uint64_t i = 0; i < n; ++i)
        values.push_back(RandomUniform(4, RandomStream::kTest, trial, i));
      const Interval interval = MeanInterval(values);
      covered += interval.low <= 0.5 && 0.5 <= interval.high;
    }
    EXPECT_GE(covered, 354) << n;
  }
}

TEST(MeanOf, AddsTheDistancesOfEachSide) {
  const Interval mean = MeanOf(std::vector<Interval>{{0.5, 0.2, 0.6}, {0.75, 0.35, 1}});
  EXPECT_NEAR(mean.value, 0.625, kRounding);
  EXPECT_NEAR(mean.low, 0.625 - 0.25, kRounding);                        // 0.3, 0.4
  EXPECT_NEAR(mean.high, 0.625 + std::hypot(0.1, 0.25) / 2, kRounding);  // 0.1, 0.25
  EXPECT_EQ(MeanOf({}).value, 0);
}

// 0.6 lies 0.25 above 0.35; sides that face each other count: 0.15 and 0.2.
TEST(IsBelow, ComparesTheDifferenceWithItsInterval) {
  EXPECT_TRUE(IsBelow({0.34, 0.3, 0.54}, {0.6, 0.45, 0.9}));
  EXPECT_FALSE(IsBelow({0.36, 0.3, 0.56}, {0.6, 0.45, 0.9}));
  EXPECT_FALSE(IsBelow({0.9, 0.8, 0.95}, {0.6, 0.45, 0.9}));
}

}  // namespace
}  // namespace darkhorse
