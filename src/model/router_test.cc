#include "model/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace darkhorse {
namespace {

ModelConfig Groups(int64_t experts, int64_t groups, int64_t kept, int64_t chosen,
                   const char* method = "noaux_tc") {
  ModelConfig config;
  config.n_routed_experts = experts;
  config.n_group = groups;
  config.topk_group = kept;
  config.num_experts_per_tok = chosen;
  config.topk_method = method;
  return config;
}

std::vector<int32_t> Select(const ModelConfig& config, const std::vector<float>& scores,
                            const std::vector<float>& bias = {}) {
  std::vector<int32_t> expert(static_cast<size_t>(config.num_experts_per_tok), -1);
  SelectExperts(config, scores.data(), bias.empty() ? nullptr : bias.data(), expert.data());
  return expert;
}

using Experts = std::vector<int32_t>;

TEST(Router, ChoosesTheBestFirstAndTheLowerOfEquals) {
  EXPECT_EQ(Select(Groups(4, 1, 1, 2), {.1f, .4f, .3f, .4f}), (Experts{1, 3}));
}

TEST(Router, BiasDecidesTheChoice) {
  EXPECT_EQ(Select(Groups(4, 1, 1, 2), {.1f, .4f, .3f, .2f}, {.5f, 0, 0, .3f}), (Experts{0, 3}));
}

TEST(Router, AGroupOfOneHasNoSecondBest) {
  EXPECT_EQ(Select(Groups(4, 4, 2, 2), {.1f, .4f, .3f, .2f}), (Experts{1, 2}));
}

TEST(Router, KeepsGroupsByTheirTwoBest) {
  // Group 0 has the best expert, group 1 the better pair; V2's method goes by the best alone.
  const std::vector<float> scores = {.9f, .1f, .6f, .5f};
  EXPECT_EQ(Select(Groups(4, 2, 1, 2), scores), (Experts{2, 3}));
  EXPECT_EQ(Select(Groups(4, 2, 1, 2, "group_limited_greedy"), scores), (Experts{0, 1}));
}

TEST(Router, GreedyKnowsNoGroups) {
  EXPECT_EQ(Select(Groups(4, 2, 1, 2, "greedy"), {.9f, .1f, .6f, .5f}), (Experts{0, 2}));
}

// Masked with 0, the other group's experts would be better than those of negative scores.
TEST(Router, NegativeScoresDoNotLetOtherGroupsIn) {
  EXPECT_EQ(Select(Groups(4, 2, 1, 2), {.5f, .4f, .1f, .1f}, {-1, -1, -3, -3}), (Experts{0, 1}));
}

TEST(Router, NanStillChoosesDistinctExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Experts chosen = Select(Groups(4, 1, 1, 4), {nan, nan, nan, nan});
  std::sort(chosen.begin(), chosen.end());
  EXPECT_EQ(chosen, (Experts{0, 1, 2, 3}));
}

TEST(Router, BiasMovesTowardsTheMeanAndRestsThere) {
  float bias[] = {0, 0, 0, 0};
  UpdateRouterBias({4, 2, 0, 2}, 0.5f, bias);
  EXPECT_EQ(bias[0], -0.5f);
  EXPECT_EQ(bias[1], 0);
  EXPECT_EQ(bias[2], 0.5f);
  EXPECT_EQ(bias[3], 0);
}

}  // namespace
}  // namespace darkhorse
