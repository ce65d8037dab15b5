#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace darkhorse {
namespace {

const std::vector<float> kP = {0.1f, 0.4f, 0.05f, 0.25f, 0.2f};

// Share of [0, 1) that leads to each token.
std::vector<double> Shares(const SamplingParams& params) {
  constexpr int kDraws = 10000;
  std::vector<double> shares(kP.size());
  for (int i = 0; i < kDraws; ++i)
    shares[static_cast<size_t>(SampleToken(kP, params, (i + 0.5) / kDraws))] += 1.0 / kDraws;
  return shares;
}

void ExpectShares(const SamplingParams& params, std::vector<double> weights) {
  double total = 0;
  for (const double w : weights) total += w;
  const auto shares = Shares(params);
  // A border between two tokens can fall anywhere within a step of the grid.
  for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(shares[i], weights[i] / total, 2e-4) << i;
}

TEST(SampleToken, FollowsTheDistribution) { ExpectShares({}, {0.1, 0.4, 0.05, 0.25, 0.2}); }
TEST(SampleToken, TopK) { ExpectShares({.top_k = 2}, {0, 0.4, 0, 0.25, 0}); }
TEST(SampleToken, TopPKeepsTheTokenThatReachesTheMass) {
  ExpectShares({.top_p = 0.6f}, {0, 0.4, 0, 0.25, 0});
}
TEST(SampleToken, TopPCountsMassAmongTheTopK) {
  ExpectShares({.top_k = 3, .top_p = 0.5f}, {0, 0.4, 0, 0.25, 0});
}
TEST(SampleToken, MinP) { ExpectShares({.min_p = 0.45f}, {0, 0.4, 0, 0.25, 0.2}); }

TEST(SampleToken, ZeroTemperatureTakesTheBestAndTheFirstOfEquals) {
  EXPECT_EQ(SampleToken(kP, {.temperature = 0}, 0.99), 1);
  EXPECT_EQ(SampleToken(std::vector<float>{0.2f, 0.4f, 0.4f}, {.temperature = 0}, 0.99), 1);
  EXPECT_EQ(SampleToken(std::vector<float>{0.2f, 0.4f, 0.4f}, {.top_k = 1}, 0.99), 1);
}

TEST(SampleToken, OfManyTokensTakesTheOneWhereTheRunningSumPassesTheDraw) {
  // Token i has probability proportional to i % 3: a third of them is impossible.
  constexpr int kTokens = 1000;
  std::vector<float> p(kTokens);
  int total = 0;
  for (int i = 0; i < kTokens; ++i) total += i % 3;
  for (int i = 0; i < kTokens; ++i) {
    p[static_cast<size_t>(i)] = static_cast<float>(i % 3) / static_cast<float>(total);
  }
  for (int part = 0; part < total; ++part) {
    // In the middle of the part-th unit of mass, far from every border.
    int sum = 0, expected = 0;
    while (sum + expected % 3 <= part) sum += expected++ % 3;
    EXPECT_EQ(SampleToken(p, {}, (part + 0.5) / total), expected) << part;
  }
}

TEST(SampleToken, NeverTakesAnImpossibleToken) {
  const std::vector<float> p = {0, 0.5f, 0, 0.5f, 0};
  for (const double u : {0.0, 0.25, 0.5, 0.75, std::nextafter(1.0, 0.0)}) {
    const int32_t token = SampleToken(p, {}, u);
    EXPECT_TRUE(token == 1 || token == 3) << u;
  }
}

TEST(SamplingParams, RefusesImpossibleValues) {
  EXPECT_THROW(SamplingParams{.temperature = -1}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.temperature = NAN}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.temperature = 1e-39f}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.top_k = -1}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.top_p = 0}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.top_p = 1.5f}.Validate(), UsageError);
  EXPECT_THROW(SamplingParams{.min_p = 1}.Validate(), UsageError);
  SamplingParams{}.Validate();
}

}  // namespace
}  // namespace darkhorse
