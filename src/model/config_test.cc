#include "model/config.h"

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

using Member = int64_t ModelConfig::*;
using Members = std::vector<std::pair<const char*, Member>>;

const Members kAlways = {{"vocab_size", &ModelConfig::vocab_size},
                         {"hidden_size", &ModelConfig::hidden_size},
                         {"num_hidden_layers", &ModelConfig::num_hidden_layers},
                         {"num_attention_heads", &ModelConfig::num_attention_heads},
                         {"qk_nope_head_dim", &ModelConfig::qk_nope_head_dim},
                         {"qk_rope_head_dim", &ModelConfig::qk_rope_head_dim},
                         {"v_head_dim", &ModelConfig::v_head_dim},
                         {"max_position_embeddings", &ModelConfig::max_position_embeddings}};
const Members kDense = {{"intermediate_size", &ModelConfig::intermediate_size}};
const Members kMoe = {{"moe_intermediate_size", &ModelConfig::moe_intermediate_size},
                      {"n_routed_experts", &ModelConfig::n_routed_experts},
                      {"num_experts_per_tok", &ModelConfig::num_experts_per_tok},
                      {"n_group", &ModelConfig::n_group},
                      {"topk_group", &ModelConfig::topk_group}};
const Members kGrouped = {{"num_key_value_heads", &ModelConfig::num_key_value_heads},
                          {"head_dim", &ModelConfig::head_dim}};
const Members kNever = {{"q_lora_rank", &ModelConfig::q_lora_rank},
                        {"num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers},
                        {"n_shared_experts", &ModelConfig::n_shared_experts}};

ModelConfig Grouped() {
  ModelConfig config;
  config.kv_lora_rank = config.qk_nope_head_dim = config.qk_rope_head_dim = config.v_head_dim = 0;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  return config;
}

std::string WithZero(ModelConfig config, Member member) {
  config.*member = 0;
  return MessageOf([&] {
    CheckDimensions(config);
    config.Validate();
  });
}

// 0 of a dimension is refused where a layer of the model has that dimension, and nowhere else.
TEST(ModelConfig, ZeroIsRefusedWhereItCannotWork) {
  ModelConfig mixed;  // a dense layer, five with experts
  ModelConfig dense;
  dense.first_k_dense_replace = dense.num_hidden_layers;
  ModelConfig dense_but_mtp = dense;  // the MTP module has experts
  dense_but_mtp.num_nextn_predict_layers = 1;
  ModelConfig moe;
  moe.first_k_dense_replace = 0;
  const auto expect = [](const ModelConfig& config, const Members& members, bool refused) {
    for (const auto& [name, member] : members) {
      EXPECT_EQ(WithZero(config, member),
                refused ? fmt::format("{} is 0; it must be at least 1", name) : "");
    }
  };
  for (const ModelConfig& config : {mixed, dense, dense_but_mtp, moe}) {
    EXPECT_EQ(MessageOf([&] { config.Validate(); }), "");
    expect(config, kAlways, true);
  }
  expect(mixed, kDense, true);
  expect(dense, kDense, true);
  expect(moe, kDense, false);
  expect(mixed, kMoe, true);
  expect(moe, kMoe, true);
  expect(dense_but_mtp, kMoe, true);
  expect(dense, kMoe, false);
  expect(mixed, kNever, false);
  expect(mixed, kGrouped, false);
  ModelConfig grouped = Grouped();
  EXPECT_EQ(MessageOf([&] { grouped.Validate(); }), "");
  expect(grouped, kGrouped, true);
  expect(grouped, kNever, false);
}

TEST(ModelConfig, GroupedQueryAttentionIsCheckedAsSuch) {
  const auto message = [](auto change) {
    ModelConfig config = Grouped();
    change(config);
    return MessageOf([&] { config.Validate(); });
  };
  EXPECT_EQ(
      message([](ModelConfig& c) { c.num_key_value_heads = 3; }),
      "num_attention_heads = 4 is no multiple of num_key_value_heads = 3; as many query heads "
      "share each key");
  EXPECT_EQ(message([](ModelConfig& c) { c.num_key_value_heads = 4; }), "");
  EXPECT_EQ(message([](ModelConfig& c) { c.head_dim = 15; }),
            "head_dim is 15; RoPE rotates pairs, so it must be even");
  EXPECT_TRUE(Says(message([](ModelConfig& c) { c.q_lora_rank = 8; }), "q_lora_rank is 8 but"));
  EXPECT_EQ(message([](ModelConfig& c) { c.attention_bias = c.qk_norm = true; }), "");
  const auto latent = [](bool ModelConfig::*field) {
    ModelConfig config;
    config.*field = true;
    return MessageOf([&] { config.Validate(); });
  };
  EXPECT_TRUE(Says(latent(&ModelConfig::attention_bias), "attention_bias is true"));
  EXPECT_TRUE(Says(latent(&ModelConfig::attention_output_bias), "attention_output_bias is true"));
  EXPECT_TRUE(Says(latent(&ModelConfig::qk_norm), "qk_norm is true"));
  EXPECT_EQ(latent(&ModelConfig::rope_interleave), "");
}

TEST(ModelConfig, GroupsThatAreTooManyAreNamedInOrder) {
  ModelConfig config;
  config.num_experts_per_tok = 2;
  config.n_group = 4;
  config.topk_group = 5;
  EXPECT_EQ(MessageOf([&] { config.Validate(); }), "topk_group is 5 but n_group only 4");
}

TEST(ModelConfig, BoundsAreMetExactly) {
  const auto refused = [](auto change) {
    ModelConfig config;
    change(config);
    const std::string message = MessageOf([&] { config.Validate(); });
    return !message.empty();
  };
  const auto routing = [&](int64_t chosen, int64_t groups, int64_t of_groups) {
    return refused([&](ModelConfig& c) {
      c.num_experts_per_tok = chosen;
      c.n_group = groups;
      c.topk_group = of_groups;
    });
  };
  EXPECT_FALSE(routing(16, 1, 1));  // all experts there are
  EXPECT_TRUE(routing(17, 1, 1));
  EXPECT_FALSE(routing(4, 4, 1));  // a whole group
  EXPECT_TRUE(routing(5, 4, 1));
  EXPECT_FALSE(routing(5, 4, 2));
  EXPECT_FALSE(routing(2, 4, 4));
  EXPECT_TRUE(routing(2, 4, 5));
  EXPECT_TRUE(routing(2, 3, 1));  // 16 experts in 3 groups
  EXPECT_TRUE(refused([](ModelConfig& c) { c.qk_rope_head_dim = 31; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rope_theta = 1; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.rope_theta = 1.5; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.rms_norm_eps = 1; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.rms_norm_eps = 1e-30; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rms_norm_eps = 0.99e-30; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rms_norm_eps = 1.01; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.initializer_range = 10; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.initializer_range = 0; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.initializer_range = 10.1; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.first_k_dense_replace = -1; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.num_nextn_predict_layers = -1; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.n_shared_experts = -1; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.q_lora_rank = -1; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.scoring_func = "tanh"; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.topk_method = "all"; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rope_scaling.type = "dynamic"; }));
  const auto llama3 = [&](double low, double high) {
    return refused([&](ModelConfig& c) {
      c.rope_scaling = {.type = "llama3", .low_freq_factor = low, .high_freq_factor = high};
    });
  };
  EXPECT_FALSE(llama3(1, 4));
  EXPECT_TRUE(llama3(4, 4));
  EXPECT_TRUE(llama3(0, 4));
  EXPECT_TRUE(
      refused([](ModelConfig& c) { c.rope_scaling = {.type = "yarn", .attention_factor = -0.1}; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.rope_scaling = {.type = "linear", .factor = 1}; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rope_scaling = {.type = "linear", .factor = 0.9}; }));
  EXPECT_FALSE(refused([](ModelConfig& c) { c.rope_scaling = {.type = "yarn", .factor = 1}; }));
  EXPECT_TRUE(refused([](ModelConfig& c) { c.rope_scaling = {.type = "yarn", .factor = 0.99}; }));
}

// A refusal is of the field that is wrong, not of one that the same value makes wrong further on.
TEST(ModelConfig, ARefusalNamesItsField) {
  const auto message = [](auto change) {
    ModelConfig config;
    change(config);
    return MessageOf([&] { config.Validate(); });
  };
  EXPECT_TRUE(Says(message([](ModelConfig& c) { c.num_experts_per_tok = 17; }),
                   "num_experts_per_tok is 17 but n_routed_experts only 16"));
  EXPECT_TRUE(Says(message([](ModelConfig& c) { c.topk_group = 2; }),
                   "topk_group is 2 but n_group only 1"));
  EXPECT_TRUE(Says(message([](ModelConfig& c) {
                     c.n_group = 4;
                     c.num_experts_per_tok = 5;
                   }),
                   "num_experts_per_tok = 5 exceeds the 4 experts of topk_group = 1 groups"));
  EXPECT_TRUE(Says(message([](ModelConfig& c) {
                     c.rope_scaling = {.type = "yarn", .beta_fast = 2, .beta_slow = 2};
                   }),
                   "beta_fast is 2 and beta_slow 2"));
  EXPECT_TRUE(
      Says(message([](ModelConfig& c) { c.rope_scaling = {.type = "yarn", .beta_slow = 0}; }),
           "beta_slow 0"));
  EXPECT_TRUE(Says(
      message([](ModelConfig& c) { c.rope_scaling = {.type = "yarn", .mscale_all_dim = -0.5}; }),
      "mscale_all_dim -0.5"));
}

// m = 0.1 mscale_all_dim ln(factor) + 1, squared, on qk_head_dim^-1/2.
TEST(ModelConfig, SoftmaxScaleFollowsItsFormula) {
  ModelConfig config;  // 64 + 32
  EXPECT_DOUBLE_EQ(config.SoftmaxScale(), 1 / std::sqrt(96.0));
  config.rope_scaling = {.type = "yarn", .factor = 40, .mscale = 3, .mscale_all_dim = 0.5};
  const double m = 0.1 * 0.5 * std::log(40.0) + 1;
  EXPECT_DOUBLE_EQ(config.SoftmaxScale(), m * m / std::sqrt(96.0));
  config.rope_scaling.factor = 1;
  EXPECT_DOUBLE_EQ(config.SoftmaxScale(), 1 / std::sqrt(96.0));
}

TEST(ModelConfig, StopTokensAreTheListOrTheEndToken) {
  const auto stops = [](int64_t eos, std::vector<int64_t> list) {
    ModelConfig config;
    config.eos_token_id = eos;
    config.stop_token_ids = std::move(list);
    return StopTokens(config);
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(stops(0, {}), (Ids{0}));
  EXPECT_EQ(stops(-1, {}), (Ids{}));
  EXPECT_EQ(stops(7, {3, 0}), (Ids{3, 0}));
}

}  // namespace
}  // namespace darkhorse
