#include "checkpoint/config_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;

// Every field away from its default.
ModelConfig Unusual() {
  ModelConfig config;
  config.vocab_size = 4097;
  config.hidden_size = 65;
  config.num_hidden_layers = 7;
  config.num_attention_heads = 3;
  config.q_lora_rank = 33;
  config.kv_lora_rank = 17;
  config.qk_nope_head_dim = 13;
  config.qk_rope_head_dim = 6;
  config.v_head_dim = 11;
  config.intermediate_size = 101;
  config.moe_intermediate_size = 41;
  config.first_k_dense_replace = 2;
  config.n_routed_experts = 12;
  config.n_shared_experts = 2;
  config.num_experts_per_tok = 3;
  config.n_group = 4;
  config.topk_group = 2;
  config.scoring_func = "softmax";
  config.topk_method = "group_limited_greedy";
  config.norm_topk_prob = false;
  config.routed_scaling_factor = 16.1;
  config.num_nextn_predict_layers = 2;
  config.max_position_embeddings = 163840;
  config.rope_theta = 1e5 / 3;
  config.rope_scaling = {"yarn", 40.5, 2048, 31, 2, 0.707, 0.708};
  config.rms_norm_eps = 1e-5;
  config.initializer_range = 0.006;
  config.tie_word_embeddings = true;
  config.bos_token_id = 5;
  config.eos_token_id = 6;
  config.stop_token_ids = {6, 8};
  return config;
}

// Likewise, of a type with grouped-query attention, in what its file can tell.
ModelConfig Grouped(const std::string& type) {
  ModelConfig config = Unusual();
  config.model_type = type;
  config.q_lora_rank = config.kv_lora_rank = config.qk_nope_head_dim = 0;
  config.qk_rope_head_dim = config.v_head_dim = config.n_shared_experts = 0;
  config.num_nextn_predict_layers = 0;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 14;
  config.rope_interleave = false;
  config.attention_bias = true;
  config.attention_output_bias = type != "qwen2";
  config.qk_norm = type == "qwen3" || type == "qwen3_moe";
  config.n_group = config.topk_group = 1;
  config.topk_method = "greedy";
  config.routed_scaling_factor = 1;
  const bool experts = type == "qwen3_moe";
  config.norm_topk_prob = experts;
  config.first_k_dense_replace = experts ? 0 : config.num_hidden_layers;
  if (!experts)
    config.n_routed_experts = config.num_experts_per_tok = config.moe_intermediate_size = 0;
  return config;
}

json Parsed(const ModelConfig& config) { return json::parse(WriteConfigJson(config, "float32")); }

ModelConfig Read(const json& object) { return ParseConfigJson(object.dump(), "config.json"); }

std::string Refusal(const json& object) {
  return MessageOf([&] { Read(object); });
}

json With(const std::string& key, const json& value) {
  json object = Parsed(ModelConfig());
  object[key] = value;
  return object;
}

TEST(ConfigJsonTest, RoundTrip) {
  EXPECT_EQ(Read(Parsed(ModelConfig())), ModelConfig());
  EXPECT_EQ(Read(Parsed(Unusual())), Unusual());
  ModelConfig v2 = Unusual();
  v2.model_type = "deepseek_v2";
  EXPECT_EQ(Read(Parsed(v2)), v2);
  ModelConfig halves;
  halves.rope_interleave = false;
  EXPECT_EQ(Read(Parsed(halves)), halves);
  for (const char* type : {"llama", "qwen2", "qwen3", "qwen3_moe"}) {
    const ModelConfig config = Grouped(type);
    EXPECT_EQ(Read(Parsed(config)), config) << type;
  }
}

// What transformers takes where a file of these types says nothing, and what they always have.
TEST(ConfigJsonTest, ReadsWhatGroupedTypesLeaveOut) {
  const json least = {{"vocab_size", 9},         {"hidden_size", 40},
                      {"num_hidden_layers", 3},  {"num_attention_heads", 4},
                      {"intermediate_size", 11}, {"num_key_value_heads", nullptr}};
  const auto of = [&](const char* type) {
    json object = least;
    object["model_type"] = type;
    return Read(object);
  };
  const ModelConfig llama = of("llama");
  EXPECT_FALSE(llama.latent_attention());
  EXPECT_EQ(llama.num_key_value_heads, 4);
  EXPECT_EQ(llama.head_dim, 10);
  EXPECT_FALSE(llama.attention_bias || llama.attention_output_bias || llama.qk_norm);
  EXPECT_FALSE(llama.rope_interleave);
  EXPECT_EQ(llama.first_k_dense_replace, 3);
  EXPECT_EQ(llama.max_position_embeddings, 2048);
  EXPECT_EQ(llama.bos_token_id, 1);
  EXPECT_EQ(llama.eos_token_id, 2);
  const ModelConfig qwen2 = of("qwen2");
  EXPECT_TRUE(qwen2.attention_bias && !qwen2.attention_output_bias && !qwen2.qk_norm);
  EXPECT_EQ(qwen2.max_position_embeddings, 32768);
  EXPECT_EQ(qwen2.bos_token_id, -1);
  EXPECT_EQ(qwen2.eos_token_id, -1);
  const ModelConfig qwen3 = of("qwen3");
  EXPECT_TRUE(!qwen3.attention_bias && !qwen3.attention_output_bias && qwen3.qk_norm);
  const ModelConfig moe = of("qwen3_moe");
  EXPECT_EQ(moe.first_k_dense_replace, 0);
  EXPECT_EQ(moe.n_routed_experts, 128);
  EXPECT_EQ(moe.num_experts_per_tok, 8);
  EXPECT_EQ(moe.moe_intermediate_size, 768);
  EXPECT_EQ(moe.scoring_func, "softmax");
  EXPECT_EQ(moe.topk_method, "greedy");
  EXPECT_EQ(moe.n_shared_experts, 0);
  EXPECT_FALSE(moe.norm_topk_prob);
  EXPECT_TRUE(moe.qk_norm);
  json biased = least;
  biased["model_type"] = "llama";
  biased["attention_bias"] = true;
  EXPECT_TRUE(Read(biased).attention_output_bias);
}

TEST(ConfigJsonTest, RefusesWhatAModelTypeCannotTell) {
  const auto refusal = [](auto change) {
    ModelConfig config = Grouped("llama");
    change(config);
    return MessageOf([&] { RequireWritable(config); });
  };
  EXPECT_EQ(refusal([](ModelConfig&) {}), "");
  EXPECT_EQ(refusal([](ModelConfig& c) { c.qk_norm = true; }),
            "qk_norm = true but a model of type llama has false; choose a model_type that can tell "
            "it: deepseek_v3, deepseek_v2, llama, qwen2, qwen3, qwen3_moe");
  EXPECT_TRUE(Says(refusal([](ModelConfig& c) { c.attention_output_bias = false; }),
                   "attention_output_bias = false but"));
  EXPECT_TRUE(Says(refusal([](ModelConfig& c) { c.model_type = "deepseek_v3"; }),
                   "num_key_value_heads = 2 but a model of type deepseek_v3 has 0"));
  EXPECT_TRUE(Says(refusal([](ModelConfig& c) { c.first_k_dense_replace = 1; }),
                   "first_k_dense_replace = 1 but"));
}

TEST(ConfigJsonTest, RefusesOtherMathematicsOfGroupedTypes) {
  const auto with = [](const char* type, const char* key, const json& value) {
    json object = Parsed(Grouped(type));
    object[key] = value;
    return Refusal(object);
  };
  EXPECT_TRUE(Says(with("llama", "mlp_bias", true), "mlp_bias"));
  EXPECT_TRUE(Says(with("llama", "partial_rotary_factor", 0.5), "partial_rotary_factor"));
  EXPECT_TRUE(Says(with("qwen2", "use_sliding_window", true), "use_sliding_window"));
  EXPECT_TRUE(
      Says(with("qwen3", "layer_types", {"full_attention", "sliding_attention"}), "layer_types"));
  EXPECT_EQ(with("qwen3", "layer_types", {"full_attention", "full_attention"}), "");
  EXPECT_TRUE(Says(with("qwen3_moe", "decoder_sparse_step", 2), "decoder_sparse_step"));
  EXPECT_TRUE(Says(with("qwen3_moe", "mlp_only_layers", {1}), "mlp_only_layers"));
}

TEST(ConfigJsonTest, ReadsAndWritesEveryRopeType) {
  ModelConfig config = Grouped("llama");
  config.rope_scaling = {.type = "llama3",
                         .factor = 32,
                         .original_max_position_embeddings = 8192,
                         .low_freq_factor = 2,
                         .high_freq_factor = 5};
  EXPECT_EQ(Read(Parsed(config)), config);
  EXPECT_EQ(Parsed(config)["rope_scaling"], json({{"type", "llama3"},
                                                  {"factor", 32.0},
                                                  {"original_max_position_embeddings", 8192},
                                                  {"low_freq_factor", 2.0},
                                                  {"high_freq_factor", 5.0}}));
  config.rope_scaling = {.type = "linear", .factor = 4};
  config.rope_scaling.original_max_position_embeddings = config.max_position_embeddings;
  EXPECT_EQ(Read(Parsed(config)), config);
  EXPECT_EQ(Parsed(config)["rope_scaling"], json({{"type", "linear"}, {"factor", 4.0}}));
  config.rope_scaling = {.type = "yarn", .factor = 4, .attention_factor = 1.5};
  EXPECT_EQ(Read(Parsed(config)), config);
}

TEST(ConfigJsonTest, WritesWhatTransformersLooksFor) {
  const json object = Parsed(ModelConfig());
  EXPECT_EQ(object["architectures"], json::array({"DeepseekV3ForCausalLM"}));
  EXPECT_EQ(object["model_type"], "deepseek_v3");
  EXPECT_EQ(object["torch_dtype"], "float32");
  EXPECT_TRUE(object["q_lora_rank"].is_null());
  EXPECT_TRUE(object["rope_scaling"].is_null());
  EXPECT_EQ(object["num_key_value_heads"], object["num_attention_heads"]);
}

// To the byte, and every field with a value of its own: what a name stands for, and in which order,
// is what other programs rely on.
TEST(ConfigJsonTest, WritesTheseBytes) {
  ModelConfig config = Unusual();
  config.model_type = "deepseek_v2";
  const std::string text =
      R"({
  "architectures": [
    "DeepseekV2ForCausalLM"
  ],
  "model_type": "deepseek_v2",
  "torch_dtype": "float32",
  "vocab_size": 4097,
  "hidden_size": 65,
  "num_hidden_layers": 7,
  "num_attention_heads": 3,
  "num_key_value_heads": 3,
  "q_lora_rank": 33,
  "kv_lora_rank": 17,
  "qk_nope_head_dim": 13,
  "qk_rope_head_dim": 6,
  "v_head_dim": 11,
  "intermediate_size": 101,
  "moe_intermediate_size": 41,
  "first_k_dense_replace": 2,
  "moe_layer_freq": 1,
  "n_routed_experts": 12,
  "n_shared_experts": 2,
  "num_experts_per_tok": 3,
  "n_group": 4,
  "topk_group": 2,
  "scoring_func": "softmax",
  "topk_method": "group_limited_greedy",
  "norm_topk_prob": false,
  "routed_scaling_factor": 16.1,
  "num_nextn_predict_layers": 2,
  "max_position_embeddings": 163840,
  "rope_theta": 33333.333333333336,
  "rope_scaling": {
    "type": "yarn",
    "factor": 40.5,
    "original_max_position_embeddings": 2048,
    "beta_fast": 31.0,
    "beta_slow": 2.0,
    "mscale": 0.707,
    "mscale_all_dim": 0.708
  },
  "rms_norm_eps": 1e-05,
  "initializer_range": 0.006,
  "tie_word_embeddings": true,
  "hidden_act": "silu",
  "attention_bias": false,
  "attention_dropout": 0.0,
  "bos_token_id": 5,
  "eos_token_id": [
    6,
    8
  ],
  "use_cache": true
}
)";
  EXPECT_EQ(WriteConfigJson(config, "float32"), text);
  EXPECT_EQ(ParseConfigJson(text, "config.json"), config);
  // Null where there is no such thing.
  config.q_lora_rank = 0;
  config.bos_token_id = config.eos_token_id = -1;
  config.stop_token_ids.clear();
  config.rope_scaling = {};
  const json object = Parsed(config);
  for (const char* key : {"q_lora_rank", "bos_token_id", "eos_token_id", "rope_scaling"}) {
    EXPECT_TRUE(object.at(key).is_null()) << key;
  }
  EXPECT_EQ(Read(object), config);
}

TEST(ConfigJsonTest, ReadsEverySpellingOfRope) {
  const RopeScaling yarn{"yarn", 40, 4096, 32, 1, 1, 1};
  json rope = {{"factor", 40},
               {"original_max_position_embeddings", 4096},
               {"mscale", 1.0},
               {"mscale_all_dim", 1.0}};
  json old = With("rope_scaling", rope);
  old["rope_scaling"]["type"] = "yarn";
  EXPECT_EQ(Read(old).rope_scaling, yarn);
  json newer = With("rope_scaling", rope);
  newer["rope_scaling"]["rope_type"] = "yarn";
  EXPECT_EQ(Read(newer).rope_scaling, yarn);
  json newest = With("rope_parameters", rope);
  newest["rope_parameters"]["rope_type"] = newest["rope_parameters"]["type"] = "yarn";
  newest["rope_parameters"]["rope_theta"] = 20000.0;
  newest.erase("rope_theta");
  newest.erase("rope_scaling");
  EXPECT_EQ(Read(newest).rope_scaling, yarn);
  EXPECT_EQ(Read(newest).rope_theta, 20000.0);
  const ModelConfig none =
      Read(With("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500.0}}));
  EXPECT_EQ(none.rope_scaling, RopeScaling());
  EXPECT_EQ(none.rope_theta, 500.0);
  // Without one of its own, or with null, the file's counts.
  json outer = With("rope_theta", 600.0);
  for (const json& inner : {json{{"rope_type", "default"}}, json{{"rope_theta", nullptr}}}) {
    outer["rope_parameters"] = inner;
    EXPECT_EQ(Read(outer).rope_theta, 600.0);
  }
}

// Where a file has both spellings the newer one counts.
TEST(ConfigJsonTest, OfTwoSpellingsOfRopeTheNewerCounts) {
  const json none = {{"rope_type", "default"}, {"type", "yarn"}, {"factor", 2}};
  const json yarn = {{"rope_type", "yarn"}, {"type", "linear"}, {"factor", 2}};
  EXPECT_EQ(Read(With("rope_scaling", none)).rope_scaling, RopeScaling());
  EXPECT_EQ(Read(With("rope_scaling", yarn)).rope_scaling.factor, 2);
  json both = With("rope_scaling", yarn);
  both["rope_parameters"] = none;
  EXPECT_EQ(Read(both).rope_scaling, RopeScaling());
  std::swap(both["rope_scaling"], both["rope_parameters"]);
  EXPECT_EQ(Read(both).rope_scaling.factor, 2);
  both["rope_parameters"] = nullptr;
  EXPECT_EQ(Read(both).rope_scaling, RopeScaling());
}

// To the letter: which name, which value and where.
TEST(ConfigJsonTest, RefusalsAreSaidInFull) {
  EXPECT_EQ(
      Refusal(With("model_type", "gpt2")),
      "config.json: model_type is 'gpt2'; this program reads deepseek_v3, deepseek_v2, llama, "
      "qwen2, qwen3, qwen3_moe");
  EXPECT_EQ(Refusal(With("moe_layer_freq", 2)),
            "config.json: 'moe_layer_freq' is 2; this program computes only moe_layer_freq = 1");
  EXPECT_EQ(Refusal(With("hidden_act", json::array())),
            "config.json: 'hidden_act' is not a plain value; this program computes only hidden_act "
            "= \"silu\"");
  EXPECT_EQ(Refusal(With("rope_scaling", "yarn")),
            "config.json: rope_scaling: must be an object or null");
  EXPECT_EQ(Refusal(With("rope_parameters", {{"rope_type", "dynamic"}})),
            "config.json: rope_parameters: rope type 'dynamic' is not supported; yarn, llama3 and "
            "linear are (or null)");
  EXPECT_EQ(Refusal(With("rope_parameters", {{"rope_type", "yarn"}})),
            "config.json: rope_parameters: 'factor' is missing; yarn needs it");
  EXPECT_EQ(Refusal(With("rope_scaling", {{"type", "yarn"}, {"factor", "2"}})),
            "config.json: rope_scaling: 'factor' must be a number");
  EXPECT_EQ(Refusal(With("eos_token_id", json::array())),
            "config.json: 'eos_token_id' is an empty list");
  EXPECT_EQ(Refusal(With("bos_token_id", {-1})),
            "config.json: 'bos_token_id' must be an integer from 0 to 2147483647");
  EXPECT_EQ(Refusal(With("tie_word_embeddings", 1)),
            "config.json: 'tie_word_embeddings' must be true or false");
}

TEST(ConfigJsonTest, YarnWithoutOriginalLengthMeansTheModels) {
  json object = With("rope_scaling", {{"type", "yarn"}, {"factor", 2}});
  object["max_position_embeddings"] = 777;
  const RopeScaling rope = Read(object).rope_scaling;
  EXPECT_EQ(rope.original_max_position_embeddings, 777);
  EXPECT_EQ(rope.mscale_all_dim, 0);
}

TEST(ConfigJsonTest, IgnoresWhatDoesNotChangeTheMathematics) {
  json object = Parsed(ModelConfig());
  object["auto_map"] = {{"AutoConfig", "configuration_deepseek.DeepseekV3Config"}};
  object["transformers_version"] = "4.33.1";
  object["ep_size"] = 1;
  object["aux_loss_alpha"] = 0.001;
  object["pad_token_id"] = nullptr;
  object["head_dim"] = 32;
  object["attention_dropout"] = 0;
  EXPECT_EQ(Read(object), ModelConfig());
}

TEST(ConfigJsonTest, AbsentRoutingFieldsTakeTransformersDefaults) {
  json object = Parsed(ModelConfig());
  for (const char* key :
       {"scoring_func", "topk_method", "norm_topk_prob", "n_group", "topk_group",
        "routed_scaling_factor", "n_shared_experts", "bos_token_id", "eos_token_id", "q_lora_rank",
        "num_nextn_predict_layers", "max_position_embeddings", "rope_theta", "rms_norm_eps",
        "initializer_range", "tie_word_embeddings"}) {
    object.erase(key);
  }
  const ModelConfig v3 = Read(object);
  EXPECT_EQ(v3.scoring_func, "sigmoid");
  EXPECT_EQ(v3.topk_method, "noaux_tc");
  EXPECT_TRUE(v3.norm_topk_prob);
  EXPECT_EQ(v3.bos_token_id, 0);
  EXPECT_EQ(v3.max_position_embeddings, 4096);
  EXPECT_EQ(v3.n_group, 8);
  EXPECT_EQ(v3.topk_group, 4);
  EXPECT_EQ(v3.routed_scaling_factor, 2.5);
  EXPECT_EQ(v3.n_shared_experts, 1);
  EXPECT_EQ(v3.eos_token_id, 1);
  object["model_type"] = "deepseek_v2";
  const ModelConfig v2 = Read(object);
  EXPECT_EQ(v2.scoring_func, "softmax");
  EXPECT_EQ(v2.topk_method, "greedy");
  EXPECT_FALSE(v2.norm_topk_prob);
  EXPECT_EQ(v2.n_shared_experts, 2);
  EXPECT_EQ(v2.bos_token_id, 1);
  EXPECT_EQ(v2.eos_token_id, 2);
  EXPECT_EQ(v2.n_group, 1);
  EXPECT_EQ(v2.topk_group, 1);
  EXPECT_EQ(v2.routed_scaling_factor, 1);
  EXPECT_EQ(v2.max_position_embeddings, 2048);
  for (const ModelConfig& config : {v3, v2}) {
    EXPECT_EQ(config.q_lora_rank, 0);
    EXPECT_EQ(config.num_nextn_predict_layers, 0);
    EXPECT_EQ(config.rope_theta, 10000);
    EXPECT_EQ(config.rms_norm_eps, 1e-6);
    EXPECT_EQ(config.initializer_range, 0.02);
    EXPECT_FALSE(config.tie_word_embeddings);
  }
}

TEST(ConfigJsonTest, EveryDimensionMustBeThere) {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                          "intermediate_size", "moe_intermediate_size", "first_k_dense_replace",
                          "n_routed_experts", "num_experts_per_tok"}) {
    json object = Parsed(ModelConfig());
    object.erase(key);
    EXPECT_EQ(Refusal(object), fmt::format("config.json: '{}' is missing; add it", key));
    EXPECT_TRUE(Says(Refusal(With(key, nullptr)), fmt::format("'{}' must be an integer", key)));
  }
}

TEST(ConfigJsonTest, EndTokensMayBeAList) {
  const ModelConfig config = Read(With("eos_token_id", {7, 8}));
  EXPECT_EQ(config.eos_token_id, 7);
  EXPECT_EQ(StopTokens(config), (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(Parsed(config)["eos_token_id"], json({7, 8}));
  EXPECT_EQ(Read(Parsed(config)), config);
  // A list of one is that one.
  EXPECT_EQ(Read(With("eos_token_id", {7})), Read(With("eos_token_id", 7)));
  EXPECT_EQ(StopTokens(Read(With("eos_token_id", 7))), std::vector<int32_t>{7});
  EXPECT_TRUE(StopTokens(Read(With("eos_token_id", nullptr))).empty());
  EXPECT_TRUE(Says(Refusal(With("eos_token_id", {7, -8})), "eos_token_id"));
}

TEST(ConfigJsonTest, TokensThatTheModelHasNotAreRefused) {
  const ModelConfig sound = Read(Parsed(ModelConfig()));
  const int64_t size = sound.vocab_size;
  const auto refusal = [&](const char* file, const char* key) {
    return fmt::format(
        "{}: '{}' is {}, but vocab_size is {}, so that ids end at {}; write the id that the token "
        "has in tokenizer.json",
        file, key, size, size, size - 1);
  };
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    EXPECT_EQ(Refusal(With(key, size - 1)), "") << key;
    EXPECT_EQ(Refusal(With(key, size)), refusal("config.json", key));
    EXPECT_EQ(Refusal(With(key, {0, size})), refusal("config.json", key));
  }
  const auto generation = [&](const json& value) {
    ModelConfig config = sound;
    return MessageOf([&] {
      ReadGenerationConfigJson(json{{"eos_token_id", value}}.dump(), "generation_config.json",
                               &config);
    });
  };
  EXPECT_EQ(generation(size - 1), "");
  EXPECT_EQ(generation(size), refusal("generation_config.json", "eos_token_id"));
  EXPECT_EQ(generation({1, size}), refusal("generation_config.json", "eos_token_id"));
}

TEST(ConfigJsonTest, GenerationConfigIsBelievedAboutEnds) {
  const auto stops = [](const json& eos_of_config, const json& generation) {
    ModelConfig config = Read(With("eos_token_id", eos_of_config));
    ReadGenerationConfigJson(generation.dump(), "generation_config.json", &config);
    // Both files written and read again say the same.
    ModelConfig again = Read(Parsed(config));
    ReadGenerationConfigJson(WriteGenerationConfigJson(config), "again", &again);
    EXPECT_EQ(again, config);
    return StopTokens(config);
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(stops(1, {{"eos_token_id", {1, 5}}}), (Ids{1, 5}));
  EXPECT_EQ(stops(1, {{"eos_token_id", {5, 1}}}), (Ids{5, 1}));
  EXPECT_EQ(stops(1, {{"eos_token_id", 6}}), (Ids{6}));  // 1 still ends a document
  EXPECT_EQ(stops({1, 5}, {{"eos_token_id", 1}}), (Ids{1}));
  EXPECT_EQ(stops({1, 5}, {{"eos_token_id", nullptr}}), (Ids{1, 5}));
  EXPECT_EQ(stops({1, 5}, {{"temperature", 0.6}}), (Ids{1, 5}));
  EXPECT_EQ(stops(nullptr, {{"eos_token_id", {5}}}), (Ids{5}));
  EXPECT_TRUE(Says(MessageOf([&] {
                     stops(1, {{"eos_token_id", "</s>"}});
                   }),
                   "generation_config.json: 'eos_token_id'"));
}

TEST(ConfigJsonTest, RefusesOtherMathematics) {
  EXPECT_TRUE(Says(Refusal(With("hidden_act", "gelu")), "'hidden_act' is \"gelu\""));
  EXPECT_TRUE(Says(Refusal(With("attention_bias", true)), "attention_bias"));
  EXPECT_TRUE(Says(Refusal(With("attention_dropout", 0.1)), "attention_dropout"));
  EXPECT_TRUE(Says(Refusal(With("moe_layer_freq", 2)), "moe_layer_freq"));
  EXPECT_TRUE(Says(Refusal(With("mlp_bias", true)), "mlp_bias"));
  EXPECT_TRUE(Says(Refusal(With("qk_head_dim", 95)), "computes only qk_head_dim = 96"));
  EXPECT_EQ(Refusal(With("qk_head_dim", 96)), "");
  EXPECT_TRUE(
      Says(Refusal(With("rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"truncate", false}})),
           "truncate"));
  EXPECT_TRUE(Says(Refusal(With("num_key_value_heads", 1)), "num_key_value_heads"));
  json fp8 = {{"quant_method", "fp8"},
              {"fmt", "e4m3"},
              {"activation_scheme", "dynamic"},
              {"weight_block_size", {128, 128}}};
  EXPECT_EQ(Refusal(With("quantization_config", fp8)), "");
  for (const auto& [key, value] : std::map<std::string, json>{
           {"quant_method", "gptq"}, {"fmt", "e5m2"}, {"weight_block_size", {1, 128}}}) {
    json other = fp8;
    other[key] = value;
    EXPECT_TRUE(Says(Refusal(With("quantization_config", other)),
                     "only fp8 (e4m3) with weight_block_size [128,128] is supported"));
  }
  fp8.erase("weight_block_size");
  EXPECT_NE(Refusal(With("quantization_config", fp8)), "");
  EXPECT_NE(Refusal(With("quantization_config", "fp8")), "");
  EXPECT_TRUE(Says(Refusal(With("rope_scaling", {{"type", "dynamic"}, {"factor", 2}})), "dynamic"));
  EXPECT_TRUE(Says(Refusal(With("rope_scaling", {{"type", "yarn"}})), "'factor' is missing"));
}

TEST(ConfigJsonTest, RefusesYarnThatComputesNoNumbers) {
  const auto refusal = [](const char* key, double value) {
    json yarn = {{"type", "yarn"}, {"factor", 4}};
    yarn[key] = value;
    return Refusal(With("rope_scaling", yarn));
  };
  EXPECT_TRUE(Says(refusal("factor", 0.5), "factor is 0.5"));
  EXPECT_TRUE(Says(refusal("beta_fast", 0), "beta_fast is 0"));
  EXPECT_TRUE(Says(refusal("beta_slow", -1), "beta_slow -1"));
  EXPECT_TRUE(Says(refusal("beta_slow", 32), "beta_fast is 32"));
  EXPECT_TRUE(Says(refusal("mscale", -1), "mscale is -1"));
  EXPECT_TRUE(Says(
      Refusal(With("rope_scaling",
                   {{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 0}})),
      "original_max_position_embeddings is 0"));
}

TEST(ConfigJsonTest, RefusesBadValuesByName) {
  EXPECT_TRUE(Says(Refusal(With("hidden_size", -1)), "config.json: 'hidden_size' must be"));
  EXPECT_TRUE(Says(Refusal(With("hidden_size", 1.5)), "'hidden_size' must be an integer"));
  EXPECT_TRUE(Says(Refusal(With("hidden_size", uint64_t{1} << 63)), "'hidden_size' must be"));
  EXPECT_TRUE(
      Says(Refusal(With("n_routed_experts", 1 << 20)), "n_routed_experts is 1048576; it must"));
  EXPECT_TRUE(Says(Refusal(With("hidden_size", nullptr)), "'hidden_size' must be"));
  EXPECT_TRUE(Says(Refusal(With("rope_theta", "big")), "'rope_theta' must be a number"));
  EXPECT_TRUE(Says(Refusal(With("norm_topk_prob", 1)), "'norm_topk_prob' must be true or false"));
  EXPECT_EQ(
      Refusal(With("num_experts_per_tok", 17)),
      "config.json: num_experts_per_tok is 17 but n_routed_experts only 16; choose at most as "
      "many as there are");
  EXPECT_TRUE(Says(Refusal(With("eos_token_id", json::array())), "empty list"));
  // 0 in f32, and weights that overflow.
  EXPECT_TRUE(Says(Refusal(With("rms_norm_eps", 1e-60)), "rms_norm_eps is 1e-60; it must be from"));
  EXPECT_TRUE(
      Says(Refusal(With("initializer_range", 1e30)), "initializer_range is 1e+30; it must"));
  json object = Parsed(ModelConfig());
  object.erase("vocab_size");
  EXPECT_TRUE(Says(Refusal(object), "'vocab_size' is missing"));
  EXPECT_TRUE(Says(MessageOf([] { ParseConfigJson("{\"vocab_size\":1,\"vocab_size\":2}", "c"); }),
                   "appears twice"));
}

}  // namespace
}  // namespace darkhorse
