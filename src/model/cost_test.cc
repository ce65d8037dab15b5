#include "model/cost.h"

#include <gtest/gtest.h>

#include "model/kv_cache.h"

namespace darkhorse {
namespace {

// One dense and one MoE layer, counted by hand.
ModelConfig Small() {
  ModelConfig c;
  c.vocab_size = 100;
  c.hidden_size = 8;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.kv_lora_rank = 6;
  c.qk_nope_head_dim = 4;
  c.qk_rope_head_dim = 2;
  c.v_head_dim = 5;
  c.intermediate_size = 16;
  c.moe_intermediate_size = 7;
  c.first_k_dense_replace = 1;
  c.n_routed_experts = 4;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  return c;
}

constexpr double kAttentionWeights =
    8 * (2 * 6) + 8 * (6 + 2) + 6 * (2 * (4 + 5)) + (2 * 5) * 8;  // q, kv_a, kv_b, o
constexpr double kMoeWeights = 8 * 4 + (2 + 1) * 3 * 8 * 7;       // router, experts
constexpr double kHeadWeights = 100 * 8;

TEST(Cost, ForwardFlops) {
  const double context = 10;
  const double attention = 2 * 2 * (6 + 5) * context;
  const double weights = 2 * kAttentionWeights + 3 * 8 * 16 + kMoeWeights + kHeadWeights;
  EXPECT_EQ(ForwardFlopsPerToken(Small(), context, false), 2 * (weights + attention));
}

TEST(Cost, TyingChangesNothingAndAModuleAddsALayerAndAHead) {
  ModelConfig config = Small();
  const double plain = ForwardFlopsPerToken(config, 10, false);
  config.tie_word_embeddings = true;
  EXPECT_EQ(ForwardFlopsPerToken(config, 10, false), plain);
  config.num_nextn_predict_layers = 1;
  EXPECT_EQ(ForwardFlopsPerToken(config, 10, false), plain);
  const double module = kAttentionWeights + kMoeWeights + kHeadWeights + 8 * 16 + 2 * 11 * 10;
  EXPECT_EQ(ForwardFlopsPerToken(config, 10, true), plain + 2 * module);
}

TEST(Cost, CacheBytesAreWhatTheCacheAllocates) {
  const int64_t tokens = 1024;  // whole panels
  const ModelConfig config = Small();
  EXPECT_EQ(KvCache(config, CacheForm::kExpanded, 3, tokens).bytes(),
            3 * tokens * ExpandedCacheBytesPerToken(config));
  EXPECT_EQ(KvCache(config, CacheForm::kLatent, 3, tokens).bytes(),
            3 * tokens * LatentCacheBytesPerToken(config));
}

}  // namespace
}  // namespace darkhorse
