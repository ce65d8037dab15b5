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

// Strict: 1 of 4 and 0 of 4; leniently 3 of 4 and 1 of 4, whose answers vote for themselves.
TEST(Summarize, ReadingsAreCountedApart) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < 8; ++i) {
    samples.push_back(Made(i / 4, i == 0 ? "5" : "", i == 0, 0));
    const bool right = i < 3 || i == 7;
    samples.back().score.lenient = LenientScore{right, right ? "5" : "6", "", "last_number"};
  }
  const TaskEvaluation e = Summarize(Problems(2), samples, 4);
  EXPECT_EQ(e.pass_at_1.value, 0.125);
  EXPECT_EQ(e.pass_at_k.back().second.value, 0.5);
  EXPECT_EQ(e.majority->value, 0.5);
  ASSERT_TRUE(e.lenient);
  EXPECT_EQ(e.lenient->pass_at_1.value, 0.5);
  EXPECT_EQ(e.lenient->pass_at_k.back().second.value, 1);
  EXPECT_EQ(e.lenient->majority->value, 0.5);
  samples[3].score.lenient.reset();  // a sample that was not read so: nothing is said of any
  EXPECT_FALSE(Summarize(Problems(2), samples, 4).lenient);
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
  EXPECT_NEAR(*e.format_rate, 6.0 / 12, kRounding);
  EXPECT_NEAR(e.truncated_rate, 5.0 / 12, kRounding);
  EXPECT_NEAR(e.mean_length, 380.0 / 12, 380 * kRounding);
  const Interval over_problems = MeanInterval(std::vector<double>{0.75, 0.25, 0});
  EXPECT_EQ(e.pass_at_1.low, over_problems.low);
  EXPECT_EQ(e.pass_at_1.high, over_problems.high);
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

TEST(Summarize, AFormThatNobodyJudgesHasNoRate) {
  Sample sample = Made(0, "5", true, 1);
  std::erase_if(sample.score.parts, [](const auto& part) { return part.first == "format"; });
  EXPECT_FALSE(Summarize(Problems(1), {sample}, 1).format_rate);
  // Of several samples those count that were judged.
  EXPECT_EQ(Summarize(Problems(1), {sample, Made(0, "5", true, 0)}, 2).format_rate, 0.0);
}

TEST(PassAtK, OfOneIsTheShare) { EXPECT_EQ(PassAtK(10, 3, 1), 0.3); }

TEST(Summarize, LowerBoundsRiseWithKNearOne) {
  // 117 problems: of 116 all four samples are right, of one only one is.
  std::vector<Sample> samples;
  for (size_t p = 0; p < 117; ++p) {
    for (int s = 0; s < 4; ++s) samples.push_back(Made(p, "5", p > 0 || s == 0, 1));
  }
  const TaskEvaluation e = Summarize(Problems(117), samples, 4);
  ASSERT_EQ(e.pass_at_k.size(), 3u);
  EXPECT_EQ(e.pass_at_k[2].second.value, 1);
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_LE(e.pass_at_k[k].second.low, e.pass_at_k[k + 1].second.low);
  }
}

}  // namespace
}  // namespace darkhorse
