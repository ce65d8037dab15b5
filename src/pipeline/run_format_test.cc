#include "pipeline/run_format.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "checkpoint/adapter_folder.h"
#include "model/adapter.h"
#include "pipeline/loaded_model.h"
#include "rl/recipe.h"
#include "rl/tiny_policy_testing.h"
#include "train/recipe.h"
#include "train/start.h"

namespace darkhorse {
namespace {

// A base, and an adapter of it among the checkpoints of a run.
class RunFormatTest : public testing::Test {
 protected:
  void SetUp() override {
    config_ = TinyPolicyConfig();
    config_.model_type = "llama";
    config_.rope_interleave = false;
    config_.first_k_dense_replace = config_.num_hidden_layers;
    config_.n_routed_experts = config_.n_shared_experts = config_.num_experts_per_tok = 0;
    config_.moe_intermediate_size = 0;
    config_.scoring_func = "softmax";
    config_.topk_method = "greedy";
    config_.norm_topk_prob = false;
    config_.kv_lora_rank = config_.qk_nope_head_dim = config_.qk_rope_head_dim = 0;
    config_.v_head_dim = 0;
    config_.num_key_value_heads = 1;
    config_.head_dim = 16;
    config_.bos_token_id = 0;
    config_.eos_token_id = 1;
    ModelFiles files;
    files.tokenizer_json = TinyPolicyTokenizer({"a b a b"}).ToJson();
    const ParamLayout layout(config_);
    FloatBuffer weights(layout.buffer_size());
    InitializeWeights(config_, layout, 3, weights.data());
    PublishCheckpoint(scratch_ / "base", config_, layout, weights.data(), files, nullptr);
    const ParamLayout pairs = AdapterLayout(config_, Adapter());
    FloatBuffer values(pairs.buffer_size());
    for (int64_t i = 0; i < values.size(); ++i) values[i] = 0.01f * static_cast<float>(i % 7 - 3);
    files.adapter = AdapterFiles{.base = scratch_ / "base", .rank = 2, .alpha = 4};
    std::filesystem::create_directories(scratch_ / "run/checkpoints");
    PublishCheckpoint(Model(), config_, pairs, values.data(), files, nullptr);
  }

  static AdapterOptions Adapter(const std::string& weights = "auto") {
    AdapterOptions options;
    options.rank = 2;
    options.alpha = 4;
    options.weights = weights;
    return options;
  }
  std::string Model() const { return scratch_ / "run/checkpoints/step-1"; }
  RunFormat Trained(std::string* notes = nullptr) const {
    return TrainedFormat(Model(), "--weights f32", [=](const std::string& note) {
      if (notes) *notes += note + "\n";
    });
  }
  std::string WriteFinetuning(const AdapterOptions& adapter, const std::string& precision) {
    FinetuneRecipe recipe;
    recipe.adapter = adapter;
    recipe.finetune.precision = precision;
    return scratch_.Write("run/recipe.toml", ToToml(recipe));
  }
  std::vector<float> Hidden(const Transformer& model, const ModelWeights& weights) const {
    const TokenBatch batch{{5, 9, 2, 30}, {{0, 4, 0, 0}}};
    Arena arena;
    const Matrix out = model.Forward(weights, batch, nullptr, arena, nullptr);
    return {out.data, out.data + out.size()};
  }

  ScratchDirectory scratch_;
  ModelConfig config_;
};

// The bits of training, whatever the base and the products were computed in.
TEST_F(RunFormatTest, AnAdapterRunsAsItWasTrained) {
  std::vector<std::vector<float>> all;
  for (const char* weights : {"auto", "bf16", "q8"}) {
    for (const char* precision : {"f32", "bf16"}) {
      WriteFinetuning(Adapter(weights), precision);
      const TrainingStart start(Model(), Adapter(weights), FormatOf(precision));
      const auto trained = start.Make({}, Activations::kKept, 1);
      const std::vector<float> want = Hidden(trained->model(), trained->bound_weights());
      const LoadedModel loaded(Model(), Trained());
      EXPECT_EQ(Hidden(loaded.model(), loaded.weights()), want) << weights << precision;
      for (const auto& other : all) EXPECT_NE(other, want) << weights << precision;
      all.push_back(want);
    }
  }
}

TEST_F(RunFormatTest, WhatIsNotAsTheFilesHoldItIsTold) {
  const auto expect = [&](std::optional<Format> weights, Format adapter, const std::string& note) {
    std::string notes;
    const RunFormat format = Trained(&notes);
    EXPECT_EQ(format.weights, weights);
    EXPECT_EQ(format.adapter, adapter);
    EXPECT_EQ(notes, note);
  };
  expect(std::nullopt, Format::kF32, "");  // no run
  std::string recipe = WriteFinetuning(Adapter(), "f32");
  expect(std::nullopt, Format::kF32, "");
  WriteFinetuning(Adapter("f32"), "f32");
  expect(Format::kF32, Format::kF32,
         fmt::format("the base's weights are f32, as {} trained it\n", recipe));
  WriteFinetuning(Adapter("q4"), "bf16");
  expect(
      Format::kQ4, Format::kBf16,
      fmt::format("the base's weights are q4, the adapter's products are bf16, as {} trained it; "
                  "--weights f32 computes in f32\n",
                  recipe));
  ReinforceRecipe reinforcement;
  reinforcement.rl.tasks = {"sum:1"};
  reinforcement.adapter = Adapter("q8");
  reinforcement.rl.precision = "bf16";
  scratch_.Write("run/recipe.toml", ToToml(reinforcement));
  expect(
      Format::kQ8, Format::kBf16,
      fmt::format("the base's weights are q8, the adapter's products are bf16, as {} trained it; "
                  "--weights f32 computes in f32\n",
                  recipe));
}

}  // namespace
}  // namespace darkhorse
