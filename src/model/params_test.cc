#include "model/params.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "base/scratch_testing.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

std::string RefusalOf(const ModelConfig& config) {
  return MessageOf([&] { ParamLayout layout(config); });
}

TEST(ParamLayout, NamesADimensionThatNoModelHas) {
  for (const auto& [field, name] :
       {std::pair{&ModelConfig::vocab_size, "vocab_size"},
        {&ModelConfig::hidden_size, "hidden_size"},
        {&ModelConfig::num_hidden_layers, "num_hidden_layers"},
        {&ModelConfig::num_nextn_predict_layers, "num_nextn_predict_layers"},
        {&ModelConfig::num_attention_heads, "num_attention_heads"},
        {&ModelConfig::q_lora_rank, "q_lora_rank"},
        {&ModelConfig::kv_lora_rank, "kv_lora_rank"},
        {&ModelConfig::qk_nope_head_dim, "qk_nope_head_dim"},
        {&ModelConfig::v_head_dim, "v_head_dim"},
        {&ModelConfig::intermediate_size, "intermediate_size"},
        {&ModelConfig::moe_intermediate_size, "moe_intermediate_size"},
        {&ModelConfig::n_routed_experts, "n_routed_experts"},
        {&ModelConfig::n_shared_experts, "n_shared_experts"},
        {&ModelConfig::num_experts_per_tok, "num_experts_per_tok"},
        {&ModelConfig::max_position_embeddings, "max_position_embeddings"}}) {
    for (const int64_t value : {int64_t{-1}, INT64_MIN, int64_t{1} << 32, INT64_MAX}) {
      ModelConfig config;
      config.*field = value;
      EXPECT_TRUE(RefusalOf(config).starts_with(
          fmt::format("{} is {}; it must be from 0 to ", name, value)))
          << RefusalOf(config);
    }
  }
}

TEST(ParamLayout, RefusesTooManyParametersAndTensorsOfDimensionsThatEachMayBe) {
  ModelConfig wide;
  wide.vocab_size = wide.hidden_size = 1 << 24;
  EXPECT_TRUE(RefusalOf(wide).ends_with("lower them")) << RefusalOf(wide);
  ModelConfig shared;  // the largest product of all
  shared.n_shared_experts = 4096;
  shared.moe_intermediate_size = shared.hidden_size = 1 << 24;
  shared.vocab_size = 1;
  EXPECT_TRUE(RefusalOf(shared).ends_with("lower them")) << RefusalOf(shared);
  ModelConfig many;
  many.hidden_size = many.moe_intermediate_size = 1;
  many.num_hidden_layers = 1024;
  many.n_routed_experts = 4096;
  EXPECT_TRUE(RefusalOf(many).ends_with("lower them")) << RefusalOf(many);
  // DeepSeek-V3 is not.
  ModelConfig v3;
  v3.vocab_size = 129280;
  v3.hidden_size = 7168;
  v3.num_hidden_layers = 61;
  v3.num_attention_heads = 128;
  v3.q_lora_rank = 1536;
  v3.kv_lora_rank = 512;
  v3.qk_nope_head_dim = v3.v_head_dim = 128;
  v3.qk_rope_head_dim = 64;
  v3.intermediate_size = 18432;
  v3.moe_intermediate_size = 2048;
  v3.first_k_dense_replace = 3;
  v3.n_routed_experts = 256;
  v3.num_experts_per_tok = 8;
  EXPECT_EQ(ParamLayout(v3).parameter_count(), 671026404352);
}

TEST(InitializeWeights, IsOneNormalPerElementOfItsTensor) {
  ModelConfig config = TinyConfig();
  config.initializer_range = 0.25;
  const ParamLayout layout(config);
  std::vector<float> weights(static_cast<size_t>(layout.buffer_size()), -1.0f);
  InitializeWeights(config, layout, /*seed=*/5, weights.data());
  for (size_t tensor = 0; tensor < layout.params().size(); ++tensor) {
    const ParamInfo& param = layout.params()[tensor];
    for (int64_t i = 0; i < param.size; ++i) {
      float expected = static_cast<float>(
          0.25 * RandomNormal(5, RandomStream::kInit, tensor, static_cast<uint64_t>(i)));
      if (param.kind == ParamKind::kNorm) expected = 1;
      if (param.kind == ParamKind::kRouterBias) expected = 0;
      ASSERT_EQ(weights[static_cast<size_t>(param.offset + i)], expected) << param.name << " " << i;
    }
  }
}

}  // namespace
}  // namespace darkhorse
