#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

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
  // 0.45 of the 0.85 that are left is less than the first token's; 0.45 of all would be more.
  ExpectShares({.top_k = 3, .top_p = 0.45f}, {0, 1, 0, 0, 0});
}
TEST(SampleToken, MinP) { ExpectShares({.min_p = 0.45f}, {0, 0.4, 0, 0.25, 0.2}); }

// Powers of two: all sums and products are exact.
const std::vector<float> kExact = {0.125f, 0.5f, 0.0625f, 0.25f, 0.0625f};

std::vector<int32_t> Possible(const SamplingParams& params) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 1024; ++i) tokens.push_back(SampleToken(kExact, params, i / 1024.0));
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

TEST(SampleToken, AMassReachedExactlyIsReached) {
  EXPECT_EQ(Possible({.top_p = 0.5f}), std::vector<int32_t>({1}));
  EXPECT_EQ(Possible({.top_p = 0.75f}), std::vector<int32_t>({1, 3}));
  EXPECT_EQ(Possible({.top_p = std::nextafter(0.75f, 1.0f)}), std::vector<int32_t>({0, 1, 3}));
}

TEST(SampleToken, AFractionMetExactlyIsMet) {
  EXPECT_EQ(Possible({.min_p = 0.5f}), std::vector<int32_t>({1, 3}));
  EXPECT_EQ(Possible({.min_p = std::nextafter(0.5f, 1.0f)}), std::vector<int32_t>({1}));
  EXPECT_EQ(Possible({.min_p = 0.25f}), std::vector<int32_t>({0, 1, 3}));
}

TEST(SampleToken, OfEqualsTheLowerIdIsKept) {
  EXPECT_EQ(Possible({.top_k = 4}), std::vector<int32_t>({0, 1, 2, 3}));
  EXPECT_EQ(Possible({.top_k = 99}), std::vector<int32_t>({0, 1, 2, 3, 4}));
}

TEST(SampleToken, TopPComesBeforeMinP) {
  // Of all the mass 0.6 takes two tokens; of what min_p alone would leave, 0.75, one would do.
  EXPECT_EQ(Possible({.top_p = 0.6f, .min_p = 0.5f}), std::vector<int32_t>({1, 3}));
}

TEST(SampleToken, ADrawAtABorderTakesTheTokenBehindIt) {
  const auto at = [](double u) { return SampleToken(kExact, {}, u); };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(std::nextafter(0.125, 0)), 0);
  EXPECT_EQ(at(0.125), 1);
  EXPECT_EQ(at(0.625), 2);
  EXPECT_EQ(at(std::nextafter(1.0, 0.0)), 4);
}

// What is kept, by the definition: all tokens in order, then one bound after the other.
std::vector<int32_t> KeptByDefinition(const std::vector<float>& p, const SamplingParams& params) {
  std::vector<int32_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  const auto at = [&](size_t i) { return p[static_cast<size_t>(order[i])]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)];
  });
  if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(params.top_k)));
  double mass = 0, sum = 0;
  for (size_t i = 0; i < order.size(); ++i) mass += at(i);
  size_t keep = 0;
  while (keep < order.size() && (keep == 0 || sum < params.top_p * mass)) sum += at(keep++);
  if (params.top_p < 1) order.resize(keep);
  while (at(order.size() - 1) < params.min_p * at(0)) order.pop_back();
  return order;
}

// Draws in the middle of each kept token's mass find the token, and so no other is kept.
TEST(SampleToken, KeepsOfALargeVocabularyWhatTheDefinitionKeeps) {
  for (uint64_t n = 0; n < 200; ++n) {
    RandomSequence random(9, RandomStream::kTest, n);
    std::vector<float> p(300 + random.Below(700));
    const double steep = std::pow(2.0, 1 + static_cast<double>(random.Below(5)));
    double total = 0;
    for (float& x : p)
      total += x = static_cast<float>(std::exp2(-steep * random.Uniform() * random.Uniform()));
    for (float& x : p) x = static_cast<float>(x / total);
    for (size_t i = 0; i < 20; ++i) p[random.Below(p.size())] = p[i];  // equals
    SamplingParams params;
    if (random.Below(2)) params.top_k = 1 + static_cast<int32_t>(random.Below(2 * p.size()));
    if (random.Below(2)) params.top_p = 1 - static_cast<float>(random.Uniform() * random.Uniform());
    const bool others = params.top_k > 0 || params.top_p < 1;  // else tokens keep their own order
    if (!others || random.Below(2))
      params.min_p = static_cast<float>(std::exp2(-20 * random.Uniform()));
    const std::vector<int32_t> kept = KeptByDefinition(p, params);
    double mass = 0, sum = 0;
    for (const int32_t token : kept) mass += p[static_cast<size_t>(token)];
    for (const int32_t token : kept) {
      const double half = p[static_cast<size_t>(token)] / 2;
      ASSERT_EQ(SampleToken(p, params, (sum + half) / mass), token) << n;
      sum += 2 * half;
    }
  }
}

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

// Where magnitudes are far apart, sums in another order round differently, and a draw close to 1
// may lie beyond the running sum of all.
TEST(SampleToken, NeverTakesAnImpossibleTokenWhereSumsRound) {
  for (uint64_t n = 0; n < 2000; ++n) {
    RandomSequence random(8, RandomStream::kTest, n);
    std::vector<float> p(25, 0.0f);
    for (size_t i = 0; i < 20; ++i)
      p[i] =
          static_cast<float>(std::ldexp(1 + random.Uniform(), -static_cast<int>(random.Below(60))));
    const int32_t token = SampleToken(p, {}, std::nextafter(1.0, 0.0));
    EXPECT_LT(token, 20) << n;
  }
}

TEST(SamplingParams, RefusesImpossibleValues) {
  EXPECT_THROW(Validate({.temperature = -1}), UsageError);
  EXPECT_THROW(Validate({.temperature = NAN}), UsageError);
  EXPECT_THROW(Validate({.temperature = 1e-39f}), UsageError);
  EXPECT_THROW(Validate({.top_k = -1}), UsageError);
  EXPECT_THROW(Validate({.top_p = 0}), UsageError);
  EXPECT_THROW(Validate({.top_p = 1.5f}), UsageError);
  EXPECT_THROW(Validate({.min_p = 1}), UsageError);
  Validate(SamplingParams{});
  Validate({.temperature = 0, .top_k = INT32_MAX, .top_p = 1e-3f});
  Validate({.temperature = 1e-6f});
  Validate({.temperature = 100});
  EXPECT_THROW(Validate({.temperature = std::nextafter(100.0f, 101.0f)}), UsageError);
  EXPECT_THROW(Validate({.top_p = NAN}), UsageError);
  EXPECT_THROW(Validate({.min_p = -0.1f}), UsageError);
  EXPECT_THROW(Validate({.min_p = NAN}), UsageError);
  EXPECT_THROW(Validate({.repetition_penalty = 0}), UsageError);
  EXPECT_THROW(Validate({.repetition_penalty = NAN}), UsageError);
  EXPECT_THROW(Validate({.presence_penalty = 101}), UsageError);
  EXPECT_THROW(Validate({.frequency_penalty = -101}), UsageError);
  Validate({.repetition_penalty = 1.1f, .presence_penalty = -2, .frequency_penalty = 2});
}

TEST(PenalizeLogits, OfWhatWasSaidAndHowOften) {
  const std::vector<int32_t> prompt = {0, 1, 1}, completion = {2, 3, 2};
  const auto penalized = [&](const SamplingParams& params) {
    std::vector<float> logits = {4, -4, 8, -8, 1};
    PenalizeLogits(logits, params, prompt, completion);
    return logits;
  };
  using Logits = std::vector<float>;
  EXPECT_EQ(penalized({}), (Logits{4, -4, 8, -8, 1}));
  EXPECT_EQ(penalized({.repetition_penalty = 2}), (Logits{2, -8, 4, -16, 1}));
  // What the prompt says counts for these as not said.
  EXPECT_EQ(penalized({.presence_penalty = 0.5f}), (Logits{4, -4, 7.5f, -8.5f, 1}));
  EXPECT_EQ(penalized({.frequency_penalty = 0.5f}), (Logits{4, -4, 7, -8.5f, 1}));
  EXPECT_EQ(penalized({.repetition_penalty = 2, .presence_penalty = 1, .frequency_penalty = 1}),
            (Logits{2, -8, 1, -18, 1}));
}

TEST(SamplingParams, AreListedWhole) {
  SamplingParams params;
  const auto& [temperature, top_k, top_p, min_p, repetition, presence, frequency] =
      params;  // all there are
  const FieldList fields = FieldsOf(params);
  EXPECT_EQ(fields.fields().size(), 7u);
  SetField(fields, "repetition_penalty=1.5");
  SetField(fields, "presence_penalty=-0.5");
  SetField(fields, "frequency_penalty=0.75");
  EXPECT_EQ(repetition, 1.5f);
  EXPECT_EQ(presence, -0.5f);
  EXPECT_EQ(frequency, 0.75f);
  SetField(fields, "temperature=0.5");
  SetField(fields, "top_k=7");
  SetField(fields, "top_p=0.25");
  SetField(fields, "min_p=0.125");
  EXPECT_EQ(temperature, 0.5f);
  EXPECT_EQ(top_k, 7);
  EXPECT_EQ(top_p, 0.25f);
  EXPECT_EQ(min_p, 0.125f);
}

}  // namespace
}  // namespace darkhorse
