// Tests only: a small model with far from uniform predictions, and requests of unequal length.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "infer/engine.h"
#include "model/params.h"

namespace darkhorse {

inline ModelConfig SmallConfig() {
  ModelConfig config;
  config.vocab_size = 61;
  config.hidden_size = 40;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 3;
  config.kv_lora_rank = 20;
  config.qk_nope_head_dim = 12;
  config.qk_rope_head_dim = 6;
  config.v_head_dim = 10;
  config.intermediate_size = 52;
  config.moe_intermediate_size = 24;
  config.n_routed_experts = 6;
  config.num_experts_per_tok = 2;
  config.max_position_embeddings = 512;
  config.initializer_range = 0.25;  // far from uniform predictions
  return config;
}

// With grouped-query attention.
inline ModelConfig SmallGroupedConfig() {
  ModelConfig config = SmallConfig();
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.kv_lora_rank = config.qk_nope_head_dim = config.qk_rope_head_dim = config.v_head_dim = 0;
  return config;
}

struct Model {
  ModelConfig config;
  ParamLayout layout{config};
  std::vector<float> weights = std::vector<float>(static_cast<size_t>(layout.buffer_size()));
  Transformer transformer{config};
  explicit Model(const ModelConfig& config_in = SmallConfig()) : config(config_in) {
    InitializeWeights(config, layout, 7, weights.data());
  }
  ModelWeights Bound(Format format = Format::kF32) {
    return Bind(config, layout, weights.data(), format);
  }
};

inline std::vector<GenerationRequest> Requests(const ModelConfig& config) {
  std::vector<GenerationRequest> requests;
  const int64_t lengths[] = {1, 5, 17, 64, 130};
  for (size_t r = 0; r < 5; ++r) {
    GenerationRequest request;
    for (int64_t i = 0; i < lengths[r]; ++i) {
      const uint64_t bits = RandomBits(3, RandomStream::kTest, r, static_cast<uint64_t>(i));
      request.prompt.push_back(
          static_cast<int32_t>(bits % static_cast<uint64_t>(config.vocab_size)));
    }
    request.samples = 3;
    request.max_tokens = 40 + 30 * static_cast<int64_t>(r);
    request.seed = 11;
    request.stream = r * 100;
    request.stop_tokens = {5};
    requests.push_back(request);
  }
  return requests;
}

inline void ExpectSame(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].tokens, b[i].tokens);
    EXPECT_EQ(a[i].finish, b[i].finish);
    EXPECT_EQ(a[i].top, b[i].top);
    ASSERT_EQ(a[i].logp.size(), b[i].logp.size());
    EXPECT_EQ(std::memcmp(a[i].logp.data(), b[i].logp.data(), a[i].logp.size() * sizeof(float)), 0);
  }
}

}  // namespace darkhorse
