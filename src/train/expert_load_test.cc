#include "train/expert_load.h"

#include <gtest/gtest.h>

#include "model/loss.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

TEST(ExpertLoadTest, LoadsAddUpLayerByLayer) {
  ExpertLoad sum;
  AddLoad({{1, 2}, {3, 4, 5}}, sum);
  EXPECT_EQ(sum, (ExpertLoad{{1, 2}, {3, 4, 5}}));
  AddLoad({{10, 0}, {0, 0, 7}}, sum);
  EXPECT_EQ(sum, (ExpertLoad{{11, 2}, {3, 4, 12}}));
}

TEST(ExpertLoadTest, TheViolationIsTheWorstLayersExcessOverItsMean) {
  EXPECT_EQ(MaxViolation({}), 0);
  EXPECT_EQ(MaxViolation({{5, 5, 5, 5}}), 0);
  EXPECT_EQ(MaxViolation({{0, 0, 8, 0}}), 3);
  // Means 2 and 4: excesses of 1/2 and 1; the first layer's largest is the second's mean.
  EXPECT_EQ(MaxViolation({{1, 2, 2, 3}, {0, 4, 4, 8}}), 1);
  EXPECT_EQ(MaxViolation({{0, 4, 4, 8}, {1, 2, 2, 3}}), 1);
}

TEST(ExpertLoadTest, BiasesOfEveryLayerMoveTowardsTheMean) {
  ModelConfig config;
  config.vocab_size = 16;
  config.hidden_size = 8;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 1;
  config.kv_lora_rank = 4;
  config.qk_nope_head_dim = 4;
  config.qk_rope_head_dim = 4;
  config.v_head_dim = 4;
  config.intermediate_size = 8;
  config.moe_intermediate_size = 8;
  config.n_routed_experts = 3;
  config.max_position_embeddings = 8;
  TrainedModel trained(config, {});
  const auto biases = [&](size_t layer) {
    const float* bias = RouterBiases(trained.bound_weights())[layer];
    return std::vector<float>(bias, bias + 3);
  };
  UpdateRouterBiases({{1, 2, 3}, {9, 0, 0}}, 0.5, trained.bound_weights());
  EXPECT_EQ(biases(0), (std::vector<float>{0.5, 0, -0.5}));
  EXPECT_EQ(biases(1), (std::vector<float>{-0.5, 0.5, 0.5}));
}

}  // namespace
}  // namespace darkhorse
