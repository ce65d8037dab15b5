#include "checkpoint/export.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/scratch_testing.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_json.h"
#include "checkpoint/gguf.h"
#include "kernel/f16.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer_parts.h"

namespace darkhorse {
namespace {

constexpr int64_t kVocab = 270;  // some rows have no token

ModelConfig Base(const std::string& type) {
  ModelConfig c;
  c.model_type = type;
  c.vocab_size = kVocab;
  c.hidden_size = 32;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.intermediate_size = 256;
  c.max_position_embeddings = 128;
  c.rope_theta = 5e5;
  c.rms_norm_eps = 1e-5;
  c.bos_token_id = 259;
  c.eos_token_id = 258;
  return c;
}

ModelConfig Grouped(const std::string& type) {
  ModelConfig c = Base(type);
  c.q_lora_rank = c.kv_lora_rank = c.qk_nope_head_dim = c.qk_rope_head_dim = c.v_head_dim = 0;
  c.num_key_value_heads = 2;
  c.head_dim = 12;  // not what the width divides into
  c.rope_interleave = false;
  c.scoring_func = "softmax";
  c.topk_method = "greedy";
  c.n_shared_experts = 0;
  if (type == "qwen3_moe") {
    c.first_k_dense_replace = 0;
    c.n_routed_experts = 3;
    c.moe_intermediate_size = 40;
  } else {
    c.first_k_dense_replace = c.num_hidden_layers;
    c.n_routed_experts = c.num_experts_per_tok = c.moe_intermediate_size = 0;
    c.norm_topk_prob = false;
  }
  c.qk_norm = type.starts_with("qwen3");
  c.attention_bias = type == "qwen2";
  return c;
}

ModelConfig DeepSeek(const std::string& type) {
  ModelConfig c = Base(type);
  c.q_lora_rank = 20;
  c.kv_lora_rank = 24;
  c.qk_nope_head_dim = 6;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 10;
  c.first_k_dense_replace = 1;
  c.n_routed_experts = 8;
  c.moe_intermediate_size = 40;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 2;
  c.n_group = 4;
  c.topk_group = 2;
  c.routed_scaling_factor = 2.5;
  return c;
}

std::map<std::string, ModelConfig> Models() {
  std::map<std::string, ModelConfig> models;
  for (const char* type : {"llama", "qwen2", "qwen3", "qwen3_moe"}) models[type] = Grouped(type);
  models["deepseek_v3"] = DeepSeek("deepseek_v3");
  ModelConfig& lite = models["deepseek_v2 lite"] = DeepSeek("deepseek_v2");
  lite.q_lora_rank = 0;
  lite.scoring_func = "softmax";
  lite.topk_method = "greedy";
  lite.norm_topk_prob = false;
  lite.n_group = lite.topk_group = 1;
  ModelConfig& yarn = models["deepseek_v3 yarn"] = DeepSeek("deepseek_v3");
  yarn.rope_scaling = {"yarn", 40, 64};
  yarn.rope_scaling.mscale = yarn.rope_scaling.mscale_all_dim = 1;
  ModelConfig& tied = models["llama3 tied with biases"] = Grouped("llama");
  tied.tie_word_embeddings = tied.attention_bias = tied.attention_output_bias = true;
  tied.rope_scaling = {"llama3", 8, 8192};
  // Two that are not as published: what GGUF has no key for.
  models["llama3 of a short context"] = models["llama3 of other bounds"] = Grouped("llama");
  models["llama3 of a short context"].rope_scaling = {"llama3", 4, 64};
  RopeScaling& bounds = models["llama3 of other bounds"].rope_scaling;
  bounds = {"llama3", 8, 8192};
  bounds.low_freq_factor = 2;
  bounds.high_freq_factor = 6;
  models["qwen2 yarn"] = Grouped("qwen2");
  models["qwen2 yarn"].rope_scaling = {"yarn", 4, 32};
  models["qwen3 linear"] = Grouped("qwen3");
  models["qwen3 linear"].rope_scaling = {"linear", 2, 128};
  return models;
}

// The bytes, th, the, <|im_end|> 258, <s> 259, <tool> 260.
Tokenizer ExampleTokenizer(const std::string& pre = "qwen2") {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte)
    texts.push_back(SpellBytes(std::string(1, static_cast<char>(byte))));
  texts.insert(texts.end(), {"th", "the", "<|im_end|>", "<s>", "<tool>"});
  TokenizerParts parts;
  parts.tokens.assign(texts.begin(), texts.end());
  parts.types.assign(258, TokenType::kNormal);
  parts.types.insert(parts.types.end(),
                     {TokenType::kControl, TokenType::kControl, TokenType::kUserDefined});
  parts.merges = {"t h", "th e"};
  parts.pre_tokenizer = pre;
  parts.bos_id = 259;
  return MakeTokenizer(parts, "example");
}

class ExportTest : public testing::Test {
 protected:
  // A folder as others publish them.
  std::string Publish(const std::string& name, const ModelConfig& config,
                      const std::string& tokenizer = ExampleTokenizer().ToJson()) {
    const ParamLayout layout(config);
    std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
    InitializeWeights(config, layout, 7, weights.data());
    for (const ParamInfo& param : layout.params()) {  // norms and biases of their own
      if (param.shape.size() > 1) continue;
      for (int64_t i = 0; i < param.size; ++i)
        weights[static_cast<size_t>(param.offset + i)] += 0.01f * static_cast<float>(i + 1);
    }
    PublishCheckpoint(dir_ / name, config, layout, weights.data(), {DType::kF32, tokenizer},
                      nullptr);
    std::filesystem::remove(dir_ / name + "/checksums.json");
    dir_.Write(name + "/tokenizer_config.json",
               R"({"bos_token": "<s>", "eos_token": "<|im_end|>", "chat_template": "{{ 1 }}"})");
    return dir_ / name;
  }
  std::string Gguf(const std::string& in, const std::string& name, GgmlType type = GgmlType::kF16) {
    ExportGguf(*OpenModel(in), type, dir_ / name, {});
    return dir_ / name;
  }
  std::string Folder(const std::string& in, const std::string& name, DType dtype = DType::kF32,
                     int64_t shard_bytes = 1 << 30) {
    ExportFolder(*OpenModel(in), dtype, dir_ / name, {shard_bytes});
    return dir_ / name;
  }
  static std::vector<float> Weights(const std::string& path, const ModelConfig& config) {
    const ParamLayout layout(config);
    std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
    ReadWeights(*OpenModel(path), layout, weights.data());
    return weights;
  }
  static std::map<std::string, std::string> Files(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      files[entry.path().filename()] = ReadFile(entry.path());
    return files;
  }

  ScratchDirectory dir_;
};

TEST_F(ExportTest, EveryArchitectureReadsBackFromGguf) {
  for (const auto& [what, config] : Models()) {
    SCOPED_TRACE(what);
    const std::string in = Publish(what, config);
    const std::string gguf = Gguf(in, what + ".gguf");
    const auto source = OpenModel(gguf);
    ModelConfig read = source->TextConfig(source->ReadTokenizer());
    EXPECT_EQ(read.stop_token_ids, std::vector<int64_t>{});
    read.initializer_range = config.initializer_range;  // has no key
    if (!config.latent_attention()) read.n_group = config.n_group;
    EXPECT_EQ(read, config);
    // Every number is its nearest f16, or itself.
    const ParamLayout layout(config);
    const std::vector<float> before = Weights(in, config), after = Weights(gguf, config);
    for (const ParamInfo& param : layout.params()) {
      const bool exact = ExportType(GgmlType::kF16, param.kind, 256) == GgmlType::kF32;
      for (auto i = static_cast<size_t>(param.offset);
           i < static_cast<size_t>(param.offset + param.size); ++i) {
        ASSERT_EQ(after[i], exact ? before[i] : ToFloat(RoundToF16(before[i]))) << param.name;
      }
    }
    EXPECT_EQ(source->ReadTokenizer().ToJson(), ExampleTokenizer().ToJson());
    const ChatFormat format = source->ReadChatFormat();
    EXPECT_EQ(format.chat_template, "{{ 1 }}");
    EXPECT_EQ(format.bos_token + format.eos_token, "<s><|im_end|>");
  }
}

TEST_F(ExportTest, WhatOtherProgramsReadGoesAlong) {
  const std::string in = Publish("in", Grouped("llama"));
  const std::vector<std::string> others = {"special_tokens_map.json", "chat_template.jinja",
                                           "vocab.json", "merges.txt", "added_tokens.json"};
  for (const std::string& name : others) dir_.Write("in/" + name, "{\"" + name + "\": 1}");
  dir_.Write("in/README.md", "of another model");
  const std::string out = Folder(in, "out");
  for (const std::string& name : others)
    EXPECT_EQ(ReadFile(out + "/" + name), "{\"" + name + "\": 1}");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
    EXPECT_EQ(ReadFile(out + "/" + name), ReadFile(in + "/" + name)) << name;
  EXPECT_FALSE(FileExists(out + "/README.md"));
}

TEST_F(ExportTest, AFolderMadeOfAGgufFileNamesItsTokens) {
  const std::string gguf = Gguf(Publish("in", Grouped("qwen2")), "m.gguf");
  const auto config = nlohmann::json::parse(ReadFile(Folder(gguf, "out") + "/config.json"));
  EXPECT_EQ(config["bos_token_id"], 259);
  EXPECT_EQ(config["eos_token_id"], 258);
}

TEST_F(ExportTest, RoundTripsAreTheSameBytes) {
  for (const auto& [what, config] : Models()) {
    SCOPED_TRACE(what);
    const std::string in = Publish(what, config);
    EXPECT_EQ(Files(Folder(in, what + " again")), Files(in));
    const std::string gguf = Gguf(in, what + ".gguf");
    const std::string folder = Folder(gguf, what + " from gguf");
    EXPECT_TRUE(ReadFile(Gguf(folder, what + " 2.gguf")) == ReadFile(gguf));
    EXPECT_EQ(OpenModel(folder)->ReadChatFormat().chat_template, "{{ 1 }}");
    // Blocks that are of the format already are not rounded again.
    const std::string q8 = Gguf(in, what + " q8.gguf", GgmlType::kQ8_0);
    EXPECT_TRUE(ReadFile(Gguf(q8, what + " q8 2.gguf", GgmlType::kQ8_0)) == ReadFile(q8));
  }
}

TEST_F(ExportTest, FormatsOfTensors) {
  const std::string in = Publish("m", DeepSeek("deepseek_v3"));
  const auto type_of = [&](GgmlType type, const std::string& tensor) {
    const std::string path = dir_ / "x.gguf";
    std::filesystem::remove(path);
    Gguf(in, "x.gguf", type);
    return GgufFiles(path).Find(tensor)->tensor->type->type;
  };
  EXPECT_EQ(type_of(GgmlType::kQ4K, "blk.0.ffn_down.weight"), GgmlType::kQ4K);  // rows of 256
  EXPECT_EQ(type_of(GgmlType::kQ4K, "blk.0.ffn_up.weight"), GgmlType::kQ5_0);   // of 32
  EXPECT_EQ(type_of(GgmlType::kQ4K, "blk.0.attn_k_b.weight"), GgmlType::kF16);  // of 6
  EXPECT_EQ(type_of(GgmlType::kQ4_0, "blk.0.ffn_up.weight"), GgmlType::kQ4_0);
  EXPECT_EQ(type_of(GgmlType::kQ4_0, "token_embd.weight"), GgmlType::kQ8_0);
  EXPECT_EQ(type_of(GgmlType::kQ4_0, "output.weight"), GgmlType::kQ8_0);
  EXPECT_EQ(type_of(GgmlType::kQ4_0, "blk.1.ffn_gate_inp.weight"), GgmlType::kF32);
  EXPECT_EQ(type_of(GgmlType::kQ4_0, "blk.1.attn_norm.weight"), GgmlType::kF32);
  EXPECT_EQ(type_of(GgmlType::kQ8_0, "blk.1.ffn_up_exps.weight"), GgmlType::kQ8_0);
}

TEST_F(ExportTest, ShardsHoldTheSame) {
  const ModelConfig config = DeepSeek("deepseek_v3");
  const std::string in = Publish("m", config);
  const std::string sharded = Folder(in, "sharded", DType::kF32, 100'000);
  const auto files = Files(sharded);
  EXPECT_FALSE(files.contains("model.safetensors"));
  const auto index = nlohmann::json::parse(files.at("model.safetensors.index.json"));
  int64_t count = 0;
  for (const auto& [name, text] : files) {
    if (!name.ends_with(".safetensors")) continue;
    ++count;
    EXPECT_LE(text.size(), 100'000u + 10'000u);  // the header besides
  }
  EXPECT_GT(count, 1);
  // Numbered from one, as readers that count expect.
  for (int64_t i = 1; i <= count; ++i)
    EXPECT_TRUE(files.contains(fmt::format("model-{:05}-of-{:05}.safetensors", i, count))) << i;
  EXPECT_EQ(
      index["metadata"]["total_size"], 4 * [&] {
        int64_t numbers = 0;
        const ParamLayout layout(config);
        for (const ParamInfo& param : layout.params()) numbers += param.size;
        return numbers;
      }());
  EXPECT_EQ(Weights(sharded, config), Weights(in, config));
  EXPECT_EQ(Files(Folder(sharded, "whole")), Files(in));
}

TEST_F(ExportTest, AFolderOfThisProgramStaysOne) {
  ModelConfig config = DeepSeek("deepseek_v3");
  config.num_nextn_predict_layers = 1;
  const ParamLayout layout(config);
  std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
  InitializeWeights(config, layout, 7, weights.data());
  const Tokenizer tokenizer = ExampleTokenizer();
  PublishCheckpoint(dir_ / "own", config, layout, weights.data(),
                    {.dtype = DType::kF32,
                     .tokenizer_json = tokenizer.ToJson(),
                     .tokenizer_hash = tokenizer.hash()},
                    nullptr);
  EXPECT_EQ(Files(Folder(dir_ / "own", "again")), Files(dir_ / "own"));
  const std::string sharded = Folder(dir_ / "own", "sharded", DType::kBf16, 50'000);
  EXPECT_EQ(TokenizerHashOf(sharded), tokenizer.hash());
  EXPECT_TRUE(FileExists(sharded + "/checksums.json"));
  // The module is for training; llama.cpp has none.
  const auto source = OpenModel(Gguf(dir_ / "own", "own.gguf"));
  EXPECT_EQ(source->config().num_nextn_predict_layers, 0);
  EXPECT_EQ(DocumentStartToken(source->TextConfig(source->ReadTokenizer())), 259);
}

TEST_F(ExportTest, WhatCannotBeWrittenIsNamed) {
  const auto error = [&](const std::string& in, const std::string& out = "out.gguf") {
    const std::string message = MessageOf([&] { Gguf(in, out); });
    EXPECT_FALSE(FileExists(dir_ / "out.gguf"));
    return message;
  };
  const std::string in = Publish("m", Grouped("llama"));
  EXPECT_EQ(error(in, "m"), in + ": exists already; name another place, or remove it first");
  EXPECT_EQ(MessageOf([&] { Folder(in, "m"); }),
            in + ": exists already; name another place, or remove it first");
  ModelConfig config = DeepSeek("deepseek_v3");
  config.rope_interleave = false;
  EXPECT_TRUE(Says(error(Publish("halves", config)),
                   "halves: rope_interleave is false, which llama.cpp's 'deepseek2' does not "
                   "compute"));
  config = Grouped("qwen3_moe");
  config.norm_topk_prob = false;
  EXPECT_TRUE(Says(error(Publish("not normed", config)), "norm_topk_prob is false"));
  config = Grouped("qwen2");
  config.rope_scaling = {"llama3", 8, 8192};
  EXPECT_TRUE(Says(error(Publish("qwen llama3", config)), "rope_scaling.type is llama3"));
  // Of so few frequencies none is slow enough.
  config = Grouped("llama");
  config.rope_scaling = {"llama3", 8, 900'000};
  EXPECT_TRUE(Says(error(Publish("quick", config)),
                   "quick: rope_scaling.factor is 8, by which no frequency is divided whole"));
  // This program's own way to cut text into words.
  const Tokenizer own = TrainTokenizer({"a b c"}, {.vocab_size = 260});
  EXPECT_TRUE(Says(error(Publish("own", Grouped("llama"), own.ToJson())),
                   "own: cuts text into words in a way that llama.cpp has no name for"));
  std::string json = ExampleTokenizer().ToJson();
  json.replace(json.find(R"("lstrip": false)"), 15, R"("lstrip": true )");
  EXPECT_TRUE(Says(error(Publish("strips", Grouped("llama"), json)),
                   "token '<|im_end|>' has lstrip, which GGUF cannot say"));
}

TEST_F(ExportTest, NumbersBeyondTheFormatAreRefused) {
  const ModelConfig config = Grouped("llama");
  const std::string in = Publish("m", config);
  const ParamLayout layout(config);
  std::vector<float> weights = Weights(in, config);
  weights[static_cast<size_t>(layout.Find("model.layers.1.self_attn.q_proj.weight")->offset)] =
      -65505;
  PublishCheckpoint(in, config, layout, weights.data(), {DType::kF32, ExampleTokenizer().ToJson()},
                    nullptr);
  EXPECT_EQ(MessageOf([&] { Gguf(in, "x.gguf"); }),
            in + ": blk.1.attn_q.weight holds -65505, beyond the largest number of the format, "
                 "65504; choose f32");
  EXPECT_FALSE(FileExists(dir_ / "x.gguf"));
  Folder(in, "bf16", DType::kBf16);
}

TEST_F(ExportTest, StopsWhenAskedAndTellsOfItsProgress) {
  const std::string in = Publish("m", Grouped("llama"));
  ExportOptions options;
  int64_t told = 0, total = 0;
  options.progress = [&](int64_t done, int64_t all) {
    EXPECT_GT(done, told);
    told = done;
    total = all;
  };
  ExportGguf(*OpenModel(in), GgmlType::kQ4_0, dir_ / "whole", options);
  EXPECT_EQ(told, total);
  told = 0;
  options.stop = [] { return true; };
  EXPECT_THROW(ExportGguf(*OpenModel(in), GgmlType::kF16, dir_ / "a", options), Interruption);
  EXPECT_LT(told, total);
  told = 0;
  EXPECT_THROW(ExportFolder(*OpenModel(in), DType::kF32, dir_ / "b", options), Interruption);
  EXPECT_FALSE(FileExists(dir_ / "a") || FileExists(dir_ / "b"));
}

}  // namespace
}  // namespace darkhorse
