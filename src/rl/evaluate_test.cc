#include "rl/evaluate.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/random.h"

namespace darkhorse {
namespace {

// The share of the k-subsets of n samples that hold one of the first c, counted one by one.
double CountedPassAtK(int n, int c, int k) {
  int64_t subsets = 0, passing = 0;
  for (uint32_t subset = 0; subset < (1u << n); ++subset) {
    if (std::popcount(subset) != k) continue;
    ++subsets;
    passing += (subset & ((1u << c) - 1)) != 0;
  }
  return static_cast<double>(passing) / static_cast<double>(subsets);
}

TEST(PassAtK, AgreesWithCountingSubsets) {
  for (int n = 1; n <= 10; ++n) {
    for (int c = 0; c <= n; ++c) {
      for (int k = 1; k <= n; ++k) {
        // k factors, a quotient and a product each, and a difference from 1.
        EXPECT_NEAR(PassAtK(n, c, k), CountedPassAtK(n, c, k), (2 * k + 2) * 0x1p-53)
            << n << " " << c << " " << k;
      }
    }
  }
  EXPECT_EQ(PassAtK(100000, 0, 50000), 0);
  EXPECT_EQ(PassAtK(100000, 50001, 50000), 1);
}

Sample Made(size_t problem, const std::string& parsed, bool correct, double format,
            size_t length = 1, bool truncated = false) {
  Sample sample;
  sample.problem = problem;
  sample.completion.resize(length);
  sample.truncated = truncated;
  sample.score.parsed = parsed;
  sample.score.correct = correct;
  sample.score.parts = {{"answer", correct ? 1.0 : 0.0}, {"format", format}};
  return sample;
}

std::vector<Problem> Problems(size_t count) {
  std::vector<Problem> problems(count);
  for (Problem& problem : problems) {
    problem.task = "sum";
    problem.level = 2;
  }
  return problems;
}

TEST(Summarize, CountsByHand) {
  const std::vector<Sample> samples = {
      // Majority "8" right, 3 of 4.
      Made(0, "8", true, 1, 10), Made(0, "9", false, 1, 20), Made(0, "8", true, 0, 30),
      Made(0, "8", true, 1, 40),
      // Majority "7" wrong though "6" is right once; a sample without an answer does not vote.
      Made(1, "6", true, 1, 10), Made(1, "7", false, 1, 10), Made(1, "7", false, 1, 10),
      Made(1, "", false, 0, 50, true),
      // Nobody answers.
      Made(2, "", false, 0, 50, true), Made(2, "", false, 0, 50, true),
      Made(2, "", false, 0, 50, true), Made(2, "", false, 0, 50, true)};
  const TaskEvaluation e = Summarize(Problems(3), samples, 4);
  EXPECT_EQ(e.task, "sum");
  EXPECT_EQ(e.level, 2);
  EXPECT_EQ(e.problems, 3);
  EXPECT_EQ(e.samples, 4);
  // Sums of at most 12 rounded terms, each below 1.
  constexpr double kRounding = 24 * 0x1p-53;
  EXPECT_NEAR(e.pass_at_1.value, (0.75 + 0.25 + 0) / 3, kRounding);
  ASSERT_EQ(e.pass_at_k.size(), 3u);
  EXPECT_EQ(e.pass_at_k[1].first, 2);
  // 3 of 4 right: every pair holds one. 1 of 4: 3 of 6 pairs do.
  EXPECT_NEAR(e.pass_at_k[1].second.value, (1 + 0.5 + 0) / 3, kRounding);
  EXPECT_EQ(e.pass_at_k[2].first, 4);
  EXPECT_NEAR(e.pass_at_k[2].second.value, 2.0 / 3, kRounding);
  EXPECT_NEAR(e.majority->value, 1.0 / 3, kRounding);
  EXPECT_NEAR(e.format_rate, 6.0 / 12, kRounding);
  EXPECT_NEAR(e.truncated_rate, 5.0 / 12, kRounding);
  EXPECT_NEAR(e.mean_length, 380.0 / 12, 380 * kRounding);
  // The interval is over problems: values 3/4, 1/4, 0 have variance 7/48 (n - 1).
  EXPECT_NEAR(e.pass_at_1.half_width, 1.96 * std::sqrt((0.75 * 0.75 + 0.0625 - 1.0 / 3) / 2 / 3),
              kRounding);
}

TEST(Summarize, FirstOfEquallyFrequentAnswersIsTheMajority) {
  EXPECT_EQ(
      Summarize(Problems(1), {Made(0, "5", true, 1), Made(0, "4", false, 1)}, 2).majority->value,
      1);
  EXPECT_EQ(
      Summarize(Problems(1), {Made(0, "4", false, 1), Made(0, "5", true, 1)}, 2).majority->value,
      0);
}

TEST(Summarize, SpellingsOfOneAnswerVoteTogether) {
  std::vector<Sample> samples = {Made(0, "4", false, 1), Made(0, "5", true, 1),
                                 Made(0, "4", false, 1), Made(0, "5.0", true, 1),
                                 Made(0, "10/2", true, 1)};
  EXPECT_EQ(Summarize(Problems(1), samples, 5).majority->value, 0);
  for (const size_t five : {1, 3, 4}) samples[five].score.canonical = "5";
  EXPECT_EQ(Summarize(Problems(1), samples, 5).majority->value, 1);
}

TEST(Summarize, WithoutAnyAnswerThereIsNoMajority) {
  EXPECT_FALSE(Summarize(Problems(1), {Made(0, "", true, 1), Made(0, "", false, 0)}, 2).majority);
  // One of them votes: then those of the others are lost.
  EXPECT_EQ(
      Summarize(Problems(2), {Made(0, "", true, 1), Made(1, "5", true, 1)}, 1).majority->value,
      0.5);
}

TEST(Summarize, WhereAllProblemsAgreeTheIntervalIsWilsons) {
  const TaskEvaluation e = Summarize(Problems(1), {Made(0, "5", true, 1)}, 1);
  EXPECT_EQ(e.pass_at_1.value, 1);
  EXPECT_EQ(e.pass_at_k.size(), 1u);
  // One of one: from z^2 / (1 + z^2) below. Four of four: 0.51 to 1 (Newcombe 1998, method 3).
  EXPECT_NEAR(e.pass_at_1.half_width, 0.7935, 1e-4);
  std::vector<Sample> samples;
  for (size_t p = 0; p < 4; ++p) samples.push_back(Made(p, "5", true, 1));
  EXPECT_NEAR(Summarize(Problems(4), samples, 1).majority->half_width, 0.4899, 1e-4);
  // So many that sums of their shares of one are not exact.
  for (size_t p = 4; p < 117; ++p) samples.push_back(Made(p, "5", true, 1));
  const TaskEvaluation many = Summarize(Problems(117), samples, 1);
  EXPECT_EQ(many.pass_at_1.value, 1);
  EXPECT_NEAR(many.pass_at_1.half_width, 0.0318, 1e-4);
}

TEST(Summarize, IntervalsCoverNineteenTimesInTwenty) {
  // 60 problems of one sample, right with probability 0.4, 400 times: the count of intervals that
  // hold 0.4 is binomial. The normal approximation at n = 60 covers 0.93 to 0.97; six standard
  // deviations of 400 draws are 26.
  int covered = 0;
  for (uint64_t trial = 0; trial < 400; ++trial) {
    std::vector<Sample> samples;
    for (uint64_t p = 0; p < 60; ++p) {
      const bool right = RandomUniform(4, RandomStream::kTest, trial, p) < 0.4;
      samples.push_back(Made(p, right ? "1" : "0", right, 1));
    }
    const Interval interval = Summarize(Problems(60), samples, 1).pass_at_1;
    covered += std::abs(interval.value - 0.4) <= interval.half_width;
  }
  EXPECT_GT(covered, 372 - 26);
  EXPECT_LT(covered, 400 - 2);
}

}  // namespace
}  // namespace darkhorse
