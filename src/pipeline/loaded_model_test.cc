#include "pipeline/loaded_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/format.h"
#include "base/scratch_testing.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "kernel/linear.h"
#include "pipeline/run_report.h"
#include "rl/tiny_policy_testing.h"

namespace darkhorse {
namespace {

ModelConfig Config(int64_t bos, int64_t eos) {
  ModelConfig config = TinyPolicyConfig();
  config.bos_token_id = bos;
  config.eos_token_id = eos;
  return config;
}

// Publishes a checkpoint whose weight i is i.
std::string Publish(const ScratchDirectory& scratch, const ModelConfig& config,
                    const std::string& tokenizer_json) {
  const ParamLayout layout(config);
  FloatBuffer weights(layout.buffer_size());
  for (int64_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 1000);
  ModelFiles files;
  files.tokenizer_json = tokenizer_json;
  PublishCheckpoint(scratch / "model", config, layout, weights.data(), files, nullptr);
  return scratch / "model";
}

std::string TokenizerJson() { return TinyPolicyTokenizer({"a b a b"}).ToJson(); }

TEST(LoadedModel, IsTheCheckpoint) {
  ScratchDirectory scratch;
  const ModelConfig config = Config(0, 1);
  const LoadedModel loaded(Publish(scratch, config, TokenizerJson()));
  EXPECT_EQ(loaded.config().hidden_size, config.hidden_size);
  EXPECT_EQ(loaded.tokenizer().ToJson(), TokenizerJson());
  const ParamLayout layout(config);
  FloatBuffer weights(layout.buffer_size());
  ReadWeights(*OpenModel(scratch / "model"), layout, weights.data());
  // embed_tokens is the first tensor of the file.
  const Weight& embedding = loaded.weights().embed_tokens;
  std::vector<int32_t> all(static_cast<size_t>(config.vocab_size));
  std::iota(all.begin(), all.end(), 0);
  FloatBuffer rows(config.vocab_size * config.hidden_size);
  GatherRows(embedding, all, Matrix(rows.data(), config.vocab_size, config.hidden_size));
  EXPECT_EQ(
      std::memcmp(rows.data(), weights.data(), sizeof(float) * static_cast<size_t>(rows.size())),
      0);
}

TEST(LoadedModel, ATokenizerOfAnotherModelIsRefused) {
  ScratchDirectory scratch;
  ModelConfig config = Config(0, 1);
  config.vocab_size = TinyPolicyTokenizer({"a b a b"}).vocab_size();
  const std::string exact = Publish(scratch, config, TokenizerJson());
  EXPECT_EQ(MessageOf([&] { LoadedModel{exact}; }), "");
  ScratchDirectory other;
  --config.vocab_size;
  const std::string small = Publish(other, config, TokenizerJson());
  EXPECT_TRUE(Says(MessageOf([&] { LoadedModel{small}; }), "they belong to different models"));
}

// Weights, rotations and cache are one sum, met exactly; what is told is the cure that helps.
TEST(LoadedModel, WhatDoesNotFitIsRefusedBeforeItIsRead) {
  ScratchDirectory scratch;
  const ModelConfig config = Config(0, 1);
  const std::string directory = Publish(scratch, config, TokenizerJson());
  const CacheNeed need{.sequences = 3,
                       .tokens = 50,
                       .smaller_cache = "lower --context",
                       .smaller_weights = "--weights q4"};
  const auto weights = [&](Format format) { return LoadedModel(directory, format).weight_bytes(); };
  const auto loads_in = [&](int64_t bytes, const CacheNeed& what, Format format = Format::kF32) {
    setenv("DARKHORSE_MEMORY", std::to_string(bytes).c_str(), 1);
    const std::string message =
        MessageOf([&] { LoadedModel(OpenedModel(directory), format, what); });
    unsetenv("DARKHORSE_MEMORY");
    return message;
  };
  const auto needs = [&](int64_t bytes, int64_t held) {
    return fmt::format(" needs {} of memory, this machine has {}; ",
                       FormatBytes(static_cast<double>(bytes)),
                       FormatBytes(static_cast<double>(held)));
  };
  // All 64 positions are computed at once; a cache is of whole panels.
  const int64_t rotations = 4 * config.max_position_embeddings * config.qk_rope_head_dim;
  const int64_t cache = KvCache(config, CacheForm::kExpanded, 3, 50).bytes();
  const int64_t all = weights(Format::kF32) + rotations + cache;
  EXPECT_EQ(loads_in(all, need), "");
  EXPECT_EQ(
      loads_in(all - 1, need),
      fmt::format("{}: the model, with weights of {} and a cache of {} for 3 x 50 tokens,",
                  directory, FormatBytes(static_cast<double>(weights(Format::kF32) + rotations)),
                  FormatBytes(static_cast<double>(cache))) +
          needs(all, all - 1) + "lower --context: there is room for 149 tokens in all");
  // The cache of bf16 weights is bf16.
  const int64_t halves = weights(Format::kBf16) + rotations +
                         KvCache(config, CacheForm::kExpanded, 3, 50, Format::kBf16).bytes();
  EXPECT_EQ(loads_in(halves, need, Format::kBf16), "");
  EXPECT_NE(loads_in(halves - 1, need, Format::kBf16), "");
  // Weights that do not fit whatever the cache.
  const int64_t least = weights(Format::kQ4);
  ASSERT_LT(least, weights(Format::kF32));
  EXPECT_TRUE(Says(loads_in(weights(Format::kF32), need),
                   "; --weights q4 makes the weights " + FormatBytes(static_cast<double>(least))));
  EXPECT_TRUE(loads_in(least - 1, need).ends_with("; choose a smaller model"));
  // Nothing is known of a cache.
  EXPECT_EQ(loads_in(weights(Format::kQ4), {}, Format::kQ4), "");
  EXPECT_EQ(loads_in(least - 1, {}, Format::kQ4),
            fmt::format("{}: the model, with weights of {},", directory,
                        FormatBytes(static_cast<double>(least))) +
                needs(least, least - 1) + "choose a smaller model");
}

// Beside weights that keep their format an adapter's products are computed; with latent attention,
// whose cache reads whole weights, they are in them.
TEST(LoadedModel, AnAdapterIsBesideItsBaseOrInIt) {
  for (const bool latent : {false, true}) {
    ScratchDirectory scratch;
    ModelConfig config = Config(0, 1);
    if (!latent) {
      config.model_type = "llama";
      config.rope_interleave = false;
      config.first_k_dense_replace = config.num_hidden_layers;
      config.n_routed_experts = config.n_shared_experts = config.num_experts_per_tok = 0;
      config.moe_intermediate_size = 0;
      config.scoring_func = "softmax";
      config.topk_method = "greedy";
      config.norm_topk_prob = false;
      config.kv_lora_rank = config.qk_nope_head_dim = config.qk_rope_head_dim = 0;
      config.v_head_dim = 0;
      config.num_key_value_heads = 1;
      config.head_dim = 16;
    }
    ModelFiles files;
    files.tokenizer_json = TokenizerJson();
    const ParamLayout layout(config);
    FloatBuffer weights(layout.buffer_size());
    InitializeWeights(config, layout, 3, weights.data());
    PublishCheckpoint(scratch / "base", config, layout, weights.data(), files, nullptr);
    AdapterOptions options;
    options.rank = 2;
    const ParamLayout pairs = AdapterLayout(config, options);
    FloatBuffer values(pairs.buffer_size());
    for (int64_t i = 0; i < values.size(); ++i) values[i] = 0.01f * static_cast<float>(i % 7 - 3);
    files.adapter = AdapterFiles{.base = scratch / "base", .rank = 2, .alpha = 4};
    PublishCheckpoint(scratch / "adapter", config, pairs, values.data(), files, nullptr);

    const LoadedModel base(scratch / "base"), loaded(scratch / "adapter");
    TokenBatch batch{{5, 9, 2, 30}, {{0, 4, 0, 0}}};
    const auto hidden = [&](const LoadedModel& model, const ModelWeights& w) {
      Arena arena;
      KvCache cache(config, latent ? CacheForm::kLatent : CacheForm::kExpanded, 1, 8);
      const Matrix out = model.model().Forward(w, batch, &cache, arena, nullptr);
      return std::vector<float>(out.data, out.data + out.size());
    };
    // Merged beforehand, the same to rounding, or to the bit where it is merged at loading.
    FloatBuffer merged(layout.buffer_size());
    ReadWeights(*OpenModel(scratch / "adapter"), layout, merged.data());
    const ModelWeights whole = Bind(config, layout, merged.data());
    const std::vector<float> got = hidden(loaded, loaded.weights());
    const std::vector<float> want = hidden(base, whole), without = hidden(base, base.weights());
    double apart = 0, effect = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      apart = std::max(apart, std::abs(double{got[i]} - want[i]));
      effect = std::max(effect, std::abs(double{without[i]} - want[i]));
    }
    EXPECT_GT(effect, 1e-2);
    if (latent) {
      EXPECT_EQ(apart, 0);
      EXPECT_TRUE(loaded.weights().layers[0].mla.o_proj.adapters.empty());
      EXPECT_TRUE(Says(MessageOf([&] {
                         LoadedModel(OpenedModel(scratch / "base"), Format::kF32, {},
                                     {scratch / "adapter"});
                       }),
                       "has latent attention"));
    } else {
      EXPECT_LT(apart, 1e-4 * effect);
      // Beside the base that rows may take as it is, to the bit.
      const LoadedModel both(OpenedModel(scratch / "base"), Format::kF32, {},
                             {scratch / "adapter"});
      EXPECT_EQ(both.adapters().size(), 1u);
      EXPECT_EQ(hidden(both, both.weights()), without);
      // Beside another that was opened with its base.
      const LoadedModel twice(OpenedModel(scratch / "adapter"), Format::kF32, {},
                              {scratch / "adapter"});
      EXPECT_EQ(hidden(twice, twice.weights()), got);
      batch.segments[0].adapter = 1;
      EXPECT_EQ(hidden(both, both.weights()), got);
      EXPECT_EQ(hidden(twice, twice.weights()), got);
      EXPECT_EQ(loaded.weights().layers[0].gqa.o_proj.adapters.size(), 1u);
      // Its numbers, read and packed, are counted before anything is taken.
      const int64_t numbers = pairs.buffer_size() * static_cast<int64_t>(sizeof(float));
      const int64_t packed = AdaptedWeights::Bytes(pairs, Format::kF32);
      const auto refusal = [&](int64_t bytes, const char* first) {
        setenv("DARKHORSE_MEMORY", std::to_string(bytes).c_str(), 1);
        const std::string message = MessageOf([&] {
          LoadedModel(OpenedModel(scratch / first), Format::kF32, {}, {scratch / "adapter"});
        });
        unsetenv("DARKHORSE_MEMORY");
        return message;
      };
      const int64_t one = base.weight_bytes() + numbers + packed;
      const int64_t two = one + 2 * numbers + packed;
      EXPECT_EQ(refusal(one, "base"), "");
      EXPECT_TRUE(Says(
          refusal(one - 1, "base"),
          " and adapters of " + FormatBytes(static_cast<double>(numbers + packed)) + ", needs"));
      EXPECT_EQ(refusal(two, "adapter"), "");
      EXPECT_NE(refusal(two - 1, "adapter"), "");
      // One with magnitudes is loaded alone, or not at all.
      options.dora = true;
      const ParamLayout magnitudes = AdapterLayout(config, options);
      FloatBuffer more(magnitudes.buffer_size());
      for (int64_t i = 0; i < more.size(); ++i) more[i] = 0.5f;
      files.adapter->dora = true;
      PublishCheckpoint(scratch / "dora", config, magnitudes, more.data(), files, nullptr);
      EXPECT_TRUE(LoadedModel(scratch / "dora").weights().layers[0].gqa.o_proj.adapters[0].gain);
      for (const auto& [first, second] :
           {std::pair("base", "dora"), std::pair("dora", "adapter")}) {
        EXPECT_TRUE(Says(MessageOf([&, opened = scratch / first, beside = scratch / second] {
                           LoadedModel(OpenedModel(opened), Format::kF32, {}, {beside});
                         }),
                         "dora: is an adapter with DoRA's magnitudes"));
      }
    }
  }
}

TEST(LoadedModel, PromptTokensBeginAsDocumentsDo) {
  using Ids = std::vector<int32_t>;
  const auto prompt = [](int64_t bos, int64_t eos, std::string_view text, bool special) {
    ScratchDirectory scratch;
    return LoadedModel(Publish(scratch, Config(bos, eos), TokenizerJson()))
        .PromptTokens(text, special);
  };
  const Ids a = TinyPolicyTokenizer({"a b a b"}).Encode("a");
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(prompt(0, 1, "a", true), (Ids{0, a[0]}));
  EXPECT_EQ(prompt(0, 1, "", true), (Ids{0}));
  // No mark of its own: documents follow each other's ends.
  EXPECT_EQ(prompt(1, 1, "a", true), a);
  EXPECT_EQ(prompt(-1, 1, "a", true), a);
  EXPECT_EQ(prompt(-1, 1, "", true), (Ids{1}));
  EXPECT_EQ(prompt(0, 0, "", true), (Ids{0}));
  EXPECT_TRUE(Says(MessageOf([&] { prompt(-1, -1, "", true); }), "the prompt is empty"));
  // "<think>" is a token, or seven letters.
  EXPECT_EQ(prompt(0, 1, "<think>", true), (Ids{0, 2}));
  EXPECT_GT(prompt(0, 1, "<think>", false).size(), 2u);
}

TEST(WriteSampleText, WritesWhereverSomethingBeginsAText) {
  const auto written = [](int64_t bos, int64_t eos) {
    ScratchDirectory scratch;
    WriteSampleText(scratch.path(), Publish(scratch, Config(bos, eos), TokenizerJson()));
    return FileExists(scratch / "sample.txt");
  };
  EXPECT_TRUE(written(0, 1));
  EXPECT_TRUE(written(0, -1));
  EXPECT_TRUE(written(1, 1));
  EXPECT_TRUE(written(-1, 0));
  EXPECT_FALSE(written(-1, -1));
}

}  // namespace
}  // namespace darkhorse
