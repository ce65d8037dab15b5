#include "checkpoint/gguf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "base/scratch_testing.h"
#include "checkpoint/gguf_testing.h"

namespace darkhorse {
namespace {

using More = std::function<void(GgufBuilder&)>;

class GgufConfigTest : public testing::Test {
 protected:
  ModelConfig Read(const GgufBuilder& builder) {
    return ReadGgufConfig(GgufFiles(dir_.Write("m.gguf", builder.Build())));
  }
  std::string Error(const GgufBuilder& builder) {
    return MessageOf([&] { Read(builder); });
  }
  std::string path() const { return dir_ / "m.gguf"; }

 private:
  ScratchDirectory dir_;
};

// The keys that every dense model has, and the embedding.
GgufBuilder Dense(const std::string& name) {
  GgufBuilder builder;
  builder.String("general.architecture", name).Int(name + ".block_count", 3);
  builder.Int(name + ".context_length", 512).Int(name + ".embedding_length", 8);
  builder.Int(name + ".feed_forward_length", 12).Int(name + ".attention.head_count", 4);
  builder.Int(name + ".attention.head_count_kv", 2);
  builder.Number(name + ".attention.layer_norm_rms_epsilon", 1e-5f);
  builder.Tensor("token_embd.weight", {5, 8}, std::vector<float>(40));
  return builder;
}

TEST_F(GgufConfigTest, Llama) {
  GgufBuilder builder = Dense("llama");
  builder.Number("llama.rope.freq_base", 1e5f).Int("llama.rope.dimension_count", 2);
  builder.Int("llama.vocab_size", 5);
  const ModelConfig config = Read(builder);
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.vocab_size, 5);
  EXPECT_EQ(config.hidden_size, 8);
  EXPECT_EQ(config.num_hidden_layers, 3);
  EXPECT_EQ(config.intermediate_size, 12);
  EXPECT_EQ(config.num_attention_heads, 4);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 2);
  EXPECT_EQ(config.kv_lora_rank, 0);
  EXPECT_FALSE(config.IsMoeLayer(2));
  EXPECT_FALSE(config.attention_bias);
  EXPECT_FALSE(config.qk_norm);
  EXPECT_FALSE(config.rope_interleave);  // as its parameters are read
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_EQ(config.rope_theta, 1e5);
  EXPECT_EQ(config.rope_scaling.type, "");
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_TRUE(config.tie_word_embeddings);  // no output.weight
  EXPECT_EQ(config.bos_token_id, -1);
  EXPECT_EQ(config.eos_token_id, -1);
  builder.Tensor("output.weight", {5, 8}, std::vector<float>(40));
  EXPECT_FALSE(Read(builder).tie_word_embeddings);
  builder.Tensor("blk.0.attn_q.bias", {8}, std::vector<float>(8));
  EXPECT_TRUE(Read(builder).attention_bias);
}

TEST_F(GgufConfigTest, AbsentKeysHaveTheirDefaults) {
  GgufBuilder builder;
  builder.String("general.architecture", "llama").Int("llama.block_count", 1);
  builder.Int("llama.context_length", 16).Int("llama.embedding_length", 8);
  builder.Int("llama.feed_forward_length", 12).Int("llama.attention.head_count", 2);
  builder.Number("llama.attention.layer_norm_rms_epsilon", 1e-6f);
  EXPECT_EQ(Error(builder),
            path() + ": tensor 'token_embd.weight' is missing; fetch the model again");
  builder.Tensor("token_embd.weight", {5, 8}, std::vector<float>(40));
  const ModelConfig config = Read(builder);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.rope_theta, 10000);
}

TEST_F(GgufConfigTest, Qwens) {
  GgufBuilder builder = Dense("qwen2");
  builder.Tensor("blk.0.attn_q.bias", {8}, std::vector<float>(8));
  EXPECT_EQ(Read(builder).model_type, "qwen2");
  EXPECT_TRUE(Read(builder).attention_bias);
  EXPECT_FALSE(Read(builder).attention_output_bias);
  builder = Dense("qwen3");
  builder.Int("qwen3.attention.key_length", 6).Int("qwen3.attention.value_length", 6);
  EXPECT_TRUE(Read(builder).qk_norm);
  EXPECT_EQ(Read(builder).head_dim, 6);  // not what the width divides into
  EXPECT_FALSE(Read(builder).attention_bias);
  builder = Dense("qwen3moe");
  builder.Int("qwen3moe.expert_count", 7).Int("qwen3moe.expert_used_count", 3);
  builder.Int("qwen3moe.expert_feed_forward_length", 9);
  const ModelConfig moe = Read(builder);
  EXPECT_EQ(moe.model_type, "qwen3_moe");
  EXPECT_TRUE(moe.IsMoeLayer(0));
  EXPECT_EQ(moe.n_routed_experts, 7);
  EXPECT_EQ(moe.num_experts_per_tok, 3);
  EXPECT_EQ(moe.moe_intermediate_size, 9);
  EXPECT_EQ(moe.n_shared_experts, 0);
  EXPECT_EQ(moe.scoring_func, "softmax");
  EXPECT_TRUE(moe.norm_topk_prob);
}

TEST_F(GgufConfigTest, WhatIsNotComputedIsRefused) {
  EXPECT_EQ(Error(Dense("llama").Int("llama.expert_count", 8)),
            path() +
                ": a model of 'llama' with 8 experts is not supported; supported with experts: "
                "qwen3moe, deepseek2");
  EXPECT_EQ(
      Error(Dense("llama").Int("llama.rope.dimension_count", 1)),
      path() +
          ": key 'llama.rope.dimension_count' is 1; this program rotates all 2 dimensions of a "
          "head");
  EXPECT_EQ(Error(Dense("llama").Int("llama.attention.value_length", 4)),
            path() +
                ": key 'llama.attention.value_length' is 4 but queries have 2 dimensions; this "
                "program computes only equal ones");
  EXPECT_EQ(Error(Dense("llama")
                      .String("llama.rope.scaling.type", "longrope")
                      .Number("llama.rope.scaling.factor", 4)),
            path() +
                ": key 'llama.rope.scaling.type' is 'longrope'; none, linear and yarn are "
                "supported");
  EXPECT_EQ(Error(Dense("gemma3")),
            path() +
                ": general.architecture is 'gemma3', which is not supported; supported: llama, "
                "qwen2, qwen3, qwen3moe, deepseek2");
}

TEST_F(GgufConfigTest, LinearAndYarnScaling) {
  GgufBuilder builder = Dense("qwen2");
  builder.String("qwen2.rope.scaling.type", "linear").Number("qwen2.rope.scaling.factor", 4);
  EXPECT_EQ(Read(builder).rope_scaling.type, "linear");
  EXPECT_EQ(Read(builder).rope_scaling.factor, 4);
  EXPECT_EQ(Read(Dense("llama").Number("llama.rope.scale_linear", 2)).rope_scaling.factor, 2);
  EXPECT_EQ(Read(Dense("llama").Number("llama.rope.scale_linear", 1)).rope_scaling.type, "");
  EXPECT_EQ(Read(Dense("llama").String("llama.rope.scaling.type", "none")).rope_scaling.type, "");
  builder = Dense("qwen2");
  builder.String("qwen2.rope.scaling.type", "yarn").Number("qwen2.rope.scaling.factor", 4);
  builder.Int("qwen2.rope.scaling.original_context_length", 128);
  RopeScaling yarn = Read(builder).rope_scaling;
  EXPECT_EQ(yarn.type, "yarn");
  EXPECT_EQ(yarn.factor, 4);
  EXPECT_EQ(yarn.original_max_position_embeddings, 128);
  EXPECT_EQ(yarn.beta_fast, 32);
  EXPECT_EQ(yarn.attention_factor, 0);
  builder.Number("qwen2.rope.scaling.attn_factor", 0.5f);
  builder.Number("qwen2.rope.scaling.yarn_beta_fast", 16);
  yarn = Read(builder).rope_scaling;
  EXPECT_EQ(yarn.beta_fast, 16);
  EXPECT_DOUBLE_EQ(yarn.attention_factor, 0.5 * (0.1 * std::log(4.0) + 1));
  builder.Number("qwen2.rope.scaling.yarn_ext_factor", 0.5f);
  EXPECT_EQ(
      Error(builder),
      path() + ": key 'qwen2.rope.scaling.yarn_ext_factor' is 0.5; this program computes only 1");
}

// Divisors as llama.cpp's converter computes them, in f32.
std::vector<float> Llama3Divisors(int64_t dim, float theta, float factor) {
  std::vector<float> divisors;
  for (int64_t i = 0; i < dim; i += 2) {
    const float frequency = 1.0f / std::pow(theta, static_cast<float>(i) / static_cast<float>(dim));
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    if (wavelength < 8192.0f / 4) {
      divisors.push_back(1);
    } else if (wavelength > 8192.0f / 1) {
      divisors.push_back(factor);
    } else {
      const float smooth = (8192 / wavelength - 1) / (4 - 1);
      divisors.push_back(1 / ((1 - smooth) / factor + smooth));
    }
  }
  return divisors;
}

TEST_F(GgufConfigTest, Llama3ScalingIsToldByATensor) {
  const auto model = [](std::vector<float> divisors) {
    GgufBuilder builder = Dense("llama");
    builder.Int("llama.attention.key_length", 128).Int("llama.attention.value_length", 128);
    builder.Number("llama.rope.freq_base", 5e5f);
    const auto size = static_cast<int64_t>(divisors.size());
    return builder.Tensor("rope_freqs.weight", {size}, divisors);
  };
  for (const float factor : {8.0f, 32.0f}) {
    const RopeScaling scaling = Read(model(Llama3Divisors(128, 5e5f, factor))).rope_scaling;
    EXPECT_EQ(scaling.type, "llama3");
    EXPECT_EQ(scaling.factor, factor);
    EXPECT_EQ(scaling.low_freq_factor, 1);
    EXPECT_EQ(scaling.high_freq_factor, 4);
    EXPECT_EQ(scaling.original_max_position_embeddings, 8192);
  }
  EXPECT_EQ(Read(model(std::vector<float>(64, 1))).rope_scaling.type, "");
  std::vector<float> divisors = Llama3Divisors(128, 5e5f, 8);
  divisors[10] = 1.001f;
  EXPECT_EQ(Error(model(divisors)),
            path() +
                ": tensor 'rope_freqs.weight': divides frequency 10 by 1.001, where Llama 3's rule "
                "gives 1; take the model from safetensors");
  divisors[10] = NAN;
  EXPECT_NE(Error(model(divisors)), "");
  EXPECT_EQ(Error(model(Llama3Divisors(128, 5e5f, 8))), "");
  EXPECT_NE(MessageOf([&] { ReadGgufConfig(GgufFiles(path(), GgufExtent::kHead)); }), "");
  EXPECT_EQ(
      Error(model(std::vector<float>(32, 1))),
      path() + ": tensor 'rope_freqs.weight': must hold 64 numbers of F32; fetch the model again");
}

// What files of both kinds of deepseek2 have in common.
GgufBuilder DeepSeek(uint32_t experts) {
  GgufBuilder builder;
  const auto key = [](const char* name) { return std::string("deepseek2.") + name; };
  builder.String("general.architecture", "deepseek2").Int(key("block_count"), 3);
  builder.Int(key("context_length"), 512).Int(key("embedding_length"), 8);
  builder.Int(key("feed_forward_length"), 12).Int(key("attention.head_count"), 4);
  builder.Number(key("attention.layer_norm_rms_epsilon"), 1e-6f);
  builder.Int(key("attention.kv_lora_rank"), 6).Int(key("rope.dimension_count"), 4);
  builder.Int(key("leading_dense_block_count"), 1).Int(key("expert_count"), experts);
  builder.Int(key("expert_used_count"), 2).Int(key("expert_shared_count"), 2);
  builder.Int(key("expert_feed_forward_length"), 5).Number(key("expert_weights_scale"), 2.5f);
  builder.Tensor("token_embd.weight", {5, 8}, std::vector<float>(40));
  return builder;
}
GgufBuilder OldKeys(GgufBuilder builder) {
  builder.Int("deepseek2.attention.key_length", 7).Int("deepseek2.attention.value_length", 5);
  return builder.Int("deepseek2.attention.head_count_kv", 4);
}
GgufBuilder NewKeys(GgufBuilder builder) {
  builder.Int("deepseek2.attention.key_length", 10).Int("deepseek2.attention.value_length", 6);
  builder.Int("deepseek2.attention.key_length_mla", 7);
  builder.Int("deepseek2.attention.value_length_mla", 5);
  return builder.Int("deepseek2.attention.head_count_kv", 1);
}

TEST_F(GgufConfigTest, DeepSeekV2WithoutTheKeysOfLaterModels) {
  for (const bool old : {true, false}) {
    const ModelConfig config = Read(old ? OldKeys(DeepSeek(6)) : NewKeys(DeepSeek(6)));
    EXPECT_EQ(config.model_type, "deepseek_v2");
    EXPECT_EQ(config.kv_lora_rank, 6);
    EXPECT_EQ(config.q_lora_rank, 0);
    EXPECT_EQ(config.qk_rope_head_dim, 4);
    EXPECT_EQ(config.qk_nope_head_dim, 3);
    EXPECT_EQ(config.v_head_dim, 5);
    EXPECT_TRUE(config.rope_interleave);
    EXPECT_EQ(config.first_k_dense_replace, 1);
    EXPECT_EQ(config.n_routed_experts, 6);
    EXPECT_EQ(config.n_shared_experts, 2);
    EXPECT_EQ(config.num_experts_per_tok, 2);
    EXPECT_EQ(config.moe_intermediate_size, 5);
    EXPECT_EQ(config.routed_scaling_factor, 2.5);
    EXPECT_EQ(config.scoring_func, "softmax");
    EXPECT_EQ(config.topk_method, "greedy");
    EXPECT_EQ(config.n_group, 1);
    EXPECT_FALSE(config.norm_topk_prob);
    EXPECT_EQ(config.num_nextn_predict_layers, 0);
  }
  const ModelConfig large = Read(OldKeys(DeepSeek(160)));
  EXPECT_EQ(large.topk_method, "group_limited_greedy");
  EXPECT_EQ(large.n_group, 8);
  EXPECT_EQ(large.topk_group, 3);
}

TEST_F(GgufConfigTest, DeepSeekV3) {
  GgufBuilder builder = NewKeys(DeepSeek(256));
  builder.Int("deepseek2.expert_gating_func", 2).Bool("deepseek2.expert_weights_norm", true);
  builder.Int("deepseek2.attention.q_lora_rank", 5);
  builder.Tensor("blk.1.exp_probs_b.bias", {256}, std::vector<float>(256));
  const ModelConfig config = Read(builder);
  EXPECT_EQ(config.model_type, "deepseek_v3");
  EXPECT_EQ(config.q_lora_rank, 5);
  EXPECT_EQ(config.scoring_func, "sigmoid");
  EXPECT_EQ(config.topk_method, "noaux_tc");
  EXPECT_EQ(config.n_group, 8);
  EXPECT_EQ(config.topk_group, 4);
  EXPECT_TRUE(config.norm_topk_prob);
  builder.Int("deepseek2.expert_group_count", 2).Int("deepseek2.expert_group_used_count", 1);
  EXPECT_EQ(Read(builder).n_group, 2);
  EXPECT_EQ(Read(builder).topk_group, 1);
  EXPECT_EQ(
      Error(NewKeys(DeepSeek(6)).Int("deepseek2.expert_gating_func", 3)),
      path() +
          ": key 'deepseek2.expert_gating_func' is 3; this program computes 1 (softmax) and 2 "
          "(sigmoid)");
}

TEST_F(GgufConfigTest, DeepSeeksYarnHasItsScaleInTheMultiplier) {
  GgufBuilder builder = NewKeys(DeepSeek(6));
  builder.String("deepseek2.rope.scaling.type", "yarn").Number("deepseek2.rope.scaling.factor", 40);
  builder.Int("deepseek2.rope.scaling.original_context_length", 4096);
  GgufBuilder v2 = builder;
  v2.Number("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f);
  const ModelConfig config = Read(v2);
  EXPECT_EQ(config.rope_scaling.mscale, 0.707);
  EXPECT_EQ(config.rope_scaling.mscale_all_dim, 0.707);
  const double m = 0.0707 * std::log(40.0) + 1;
  EXPECT_DOUBLE_EQ(config.SoftmaxScale(), m * m / std::sqrt(7.0));
  // Absent: no scale.
  EXPECT_DOUBLE_EQ(Read(builder).SoftmaxScale(), 1 / std::sqrt(7.0));
}

TEST_F(GgufConfigTest, ValuesThatCannotBeNameTheFile) {
  GgufBuilder builder = Dense("llama");
  builder.Int("llama.attention.key_length", 3).Int("llama.attention.value_length", 3);
  EXPECT_EQ(Error(builder).find(path() + ": "), 0u) << Error(builder);
  GgufBuilder none;
  none.String("general.architecture", "llama");
  none.Tensor("token_embd.weight", {5, 8}, std::vector<float>(40));
  EXPECT_EQ(Error(none),
            path() + ": key 'llama.embedding_length' is missing; convert the model again");
  for (const char* key : {"embedding_length", "block_count", "attention.head_count",
                          "context_length", "feed_forward_length"}) {
    GgufBuilder zero;
    zero.String("general.architecture", "qwen2");
    for (const char* other : {"embedding_length", "block_count", "attention.head_count",
                              "context_length", "feed_forward_length"}) {
      zero.Int(std::string("qwen2.") + other, std::string(key) == other ? 0 : 2);
    }
    zero.Number("qwen2.attention.layer_norm_rms_epsilon", 1e-6f);
    zero.Tensor("token_embd.weight", {5, 8}, std::vector<float>(40));
    EXPECT_NE(Error(zero), "") << key;
  }
}

}  // namespace
}  // namespace darkhorse
