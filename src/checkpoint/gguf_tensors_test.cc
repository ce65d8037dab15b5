#include "checkpoint/gguf_tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/scratch_testing.h"
#include "checkpoint/gguf_testing.h"
#include "checkpoint/model_source.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

std::vector<float> Counting(int64_t count, float from = 0) {
  std::vector<float> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), from);
  return values;
}

GgufBuilder Architecture(const std::string& name, uint32_t heads = 2,
                         uint32_t key_value_heads = 1) {
  GgufBuilder builder;
  builder.String("general.architecture", name).Int(name + ".attention.head_count", heads);
  builder.Int(name + ".attention.head_count_kv", key_value_heads);
  return builder;
}

class GgufTensorsTest : public testing::Test {
 protected:
  // The builder's file, open until the next one is.
  const GgufTensors& Open(const GgufBuilder& builder) {
    tensors_.reset();
    files_.emplace(dir_.Write("m.gguf", builder.Build()));
    return tensors_.emplace(*files_);
  }
  std::string path() const { return dir_ / "m.gguf"; }
  static std::vector<float> Read(const GgufParam& param) {
    std::vector<float> values(static_cast<size_t>(param.rows() * param.cols()));
    param.ReadRows(0, param.rows(), values.data());
    // Range by range gives the same.
    std::vector<float> again(values.size());
    for (int64_t begin = 0; begin < param.rows(); begin += 3) {
      param.ReadRows(begin, std::min<int64_t>(3, param.rows() - begin),
                     again.data() + begin * param.cols());
    }
    EXPECT_EQ(values, again);
    return values;
  }
  std::string FindError(std::string_view name, std::vector<int64_t> shape) {
    return MessageOf([&] { tensors_->Find(name, shape); });
  }

 private:
  ScratchDirectory dir_;
  std::optional<GgufFiles> files_;
  std::optional<GgufTensors> tensors_;
};

using Shape = std::vector<int64_t>;

TEST_F(GgufTensorsTest, NamesAreTranslated) {
  GgufBuilder builder = Architecture("qwen2");
  builder.Tensor("token_embd.weight", {2, 3}, Counting(6));
  builder.Tensor("blk.11.attn_output.weight", {3, 2}, Counting(6, 10));
  builder.Tensor("blk.11.attn_q.bias", {8}, Counting(8, 20));
  const GgufTensors& tensors = Open(builder);
  EXPECT_EQ(Read(tensors.Find("model.embed_tokens.weight", Shape{2, 3})), Counting(6));
  const GgufParam param = tensors.Find("model.layers.11.self_attn.o_proj.weight", Shape{3, 2});
  EXPECT_EQ(Read(param), Counting(6, 10));
  EXPECT_EQ(param.type()->name, "F32");
  EXPECT_TRUE(param.rows_in_order());
  EXPECT_EQ(std::memcmp(param.Row(2), Counting(2, 14).data(), 8), 0);
  // A vector has rows of one number; qwen2's lie in order.
  const GgufParam bias = tensors.Find("model.layers.11.self_attn.q_proj.bias", Shape{8});
  EXPECT_EQ(bias.rows(), 8);
  EXPECT_EQ(bias.cols(), 1);
  EXPECT_EQ(Read(bias), Counting(8, 20));  // two heads with halves of two
}

TEST_F(GgufTensorsTest, WhatIsMissingOrOfAnotherShapeIsNamed) {
  GgufBuilder builder = Architecture("qwen2");
  builder.Tensor("output_norm.weight", {3}, Counting(3));
  builder.Tensor("output.weight", {1, 256}, 16, std::string(66, '\0'));
  builder.Tensor("blk.0.attn_norm.weight", {32}, 8, std::string(34, '\0'));
  Open(builder);
  EXPECT_EQ(FindError("model.norm.weight", {4}),
            path() +
                ": tensor 'output_norm.weight', which holds model.norm.weight, has shape [3] where "
                "the file's keys ask for [4]; fetch the model again");
  EXPECT_EQ(FindError("model.embed_tokens.weight", {4, 3}),
            path() +
                ": tensor 'token_embd.weight', which holds model.embed_tokens.weight, is missing; "
                "fetch the model again");
  EXPECT_EQ(FindError("lm_head.weight", {1, 256}),
            path() +
                ": tensor 'output.weight' is IQ2_XXS, which is not read; fetch the model in one "
                "of " +
                ReadableGgmlTypes());
  EXPECT_EQ(FindError("model.layers.0.input_layernorm.weight", {32}),
            path() +
                ": tensor 'blk.0.attn_norm.weight', which holds "
                "model.layers.0.input_layernorm.weight, is a vector in blocks of Q8_0; fetch the "
                "model again");
  for (const char* name :
       {"model.layers.0.enorm.weight", "model.layers.x.mlp.gate.weight", "model.layers.0",
        "model.layers.0_mlp.gate.weight", "model.layers.0.mlp.experts.1.bias",
        "model.layers.99999999999999999999.mlp.gate.weight", ""}) {
    EXPECT_EQ(FindError(name, {4, 3}), path() + ": no tensor of GGUF is known to hold " + name +
                                           "; take the model from safetensors");
  }
}

TEST_F(GgufTensorsTest, OtherArchitecturesAreRefused) {
  EXPECT_EQ(
      MessageOf([&] { Open(Architecture("qwen33")); }),
      path() +
          ": general.architecture is 'qwen33', which is not supported; did you mean 'qwen3'?; "
          "supported: llama, qwen2, qwen3, qwen3moe, deepseek2");
}

// The converter cuts each head's rows in two halves and interleaves them.
TEST_F(GgufTensorsTest, InterleavedHalvesOfLlamaAreParted) {
  constexpr int64_t kHeads = 2, kHeadRows = 6, kCols = 32;
  // Row r holds r, as Q8_0: scale 1, so integers are exact.
  const auto rows = [](const std::vector<int>& order) {
    std::string bytes;
    for (const int row : order) {
      bytes += BytesOf<uint16_t>(0x3c00) + std::string(kCols, static_cast<char>(row));
    }
    return bytes;
  };
  GgufBuilder builder = Architecture("llama", kHeads, 1);
  builder.Tensor("blk.0.attn_q.weight", {kHeads * kHeadRows, kCols}, 8,
                 rows({0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  builder.Tensor("blk.0.attn_k.weight", {kHeadRows, kCols}, 8, rows({0, 3, 1, 4, 2, 5}));
  builder.Tensor("blk.0.attn_v.weight", {kHeadRows, kCols}, 8, rows({0, 1, 2, 3, 4, 5}));
  builder.Tensor("blk.0.attn_q.bias", {12}, {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
  builder.Tensor("blk.1.attn_q.weight", {7, kCols}, 8, rows({0, 1, 2, 3, 4, 5, 6}));
  const GgufTensors& tensors = Open(builder);
  for (const auto& [name, count] : {std::pair<const char*, int64_t>{"q", 12}, {"k", 6}, {"v", 6}}) {
    const GgufParam param = tensors.Find(
        fmt::format("model.layers.0.self_attn.{}_proj.weight", name), Shape{count, kCols});
    EXPECT_EQ(param.rows_in_order(), *name == 'v');
    const std::vector<float> values = Read(param);
    for (int64_t row = 0; row < count; ++row) {
      EXPECT_EQ(values[static_cast<size_t>(row * kCols)], static_cast<float>(row)) << name;
      EXPECT_EQ(static_cast<int64_t>(param.Row(row)[2]), row) << name;
    }
  }
  EXPECT_EQ(Read(tensors.Find("model.layers.0.self_attn.q_proj.bias", Shape{12})), Counting(12));
  EXPECT_EQ(FindError("model.layers.1.self_attn.q_proj.weight", {7, kCols}),
            path() +
                ": tensor 'blk.1.attn_q.weight' has 7 rows, which are no two halves of 2 heads; "
                "fetch the model again");
}

TEST_F(GgufTensorsTest, ExpertsAreSlices) {
  GgufBuilder builder = Architecture("qwen3moe");
  builder.Int("qwen3moe.expert_count", 2);
  builder.Tensor("blk.0.ffn_down_exps.weight", {2, 3, 2}, Counting(12));
  builder.Tensor("blk.0.ffn_gate_exps.weight", {2, 2, 3}, Counting(12, 20));
  // Newer files may have gate and up in one.
  builder.Tensor("blk.1.ffn_gate_up_exps.weight", {2, 4, 3}, Counting(24, 40));
  builder.Tensor("blk.2.ffn_down_exps.weight", {3, 3, 2}, Counting(18));
  const GgufTensors& tensors = Open(builder);
  const auto expert = [&](int layer, int e, const char* kind, const Shape& shape) {
    return Read(tensors.Find(
        fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", layer, e, kind), shape));
  };
  EXPECT_EQ(expert(0, 1, "down", {3, 2}), Counting(6, 6));
  EXPECT_EQ(expert(0, 0, "gate", {2, 3}), Counting(6, 20));
  EXPECT_EQ(expert(1, 0, "gate", {2, 3}), Counting(6, 40));
  EXPECT_EQ(expert(1, 0, "up", {2, 3}), Counting(6, 46));
  EXPECT_EQ(expert(1, 1, "gate", {2, 3}), Counting(6, 52));
  EXPECT_EQ(expert(1, 1, "up", {2, 3}), Counting(6, 58));
  EXPECT_EQ(FindError("model.layers.0.mlp.experts.2.down_proj.weight", {3, 2}),
            path() +
                ": tensor 'blk.0.ffn_down_exps.weight' has 2 experts, too few for "
                "model.layers.0.mlp.experts.2.down_proj.weight; fetch the model again");
  EXPECT_NE(FindError("model.layers.2.mlp.experts.0.down_proj.weight", {3, 2}), "");
  EXPECT_NE(FindError("model.layers.0.mlp.experts.0.up_proj.weight", {2, 3}), "");
}

// The parameter and both layouts of it, from numbers that tell where they belong.
TEST_F(GgufTensorsTest, KvBComesWholeOrInItsParts) {
  constexpr int64_t kHeads = 2, kNope = 3, kValue = 5, kLatent = 4;
  constexpr int64_t kRows = kHeads * (kNope + kValue);
  const std::vector<float> whole = Counting(kRows * kLatent);
  std::vector<float> keys, values;
  for (int64_t head = 0; head < kHeads; ++head) {
    const float* rows = whole.data() + head * (kNope + kValue) * kLatent;
    for (int64_t j = 0; j < kLatent; ++j) {
      for (int64_t i = 0; i < kNope; ++i) keys.push_back(rows[i * kLatent + j]);
    }
    values.insert(values.end(), rows + kNope * kLatent, rows + (kNope + kValue) * kLatent);
  }
  GgufBuilder builder = Architecture("deepseek2", kHeads);
  builder.Tensor("blk.0.attn_kv_b.weight", {kRows, kLatent}, whole);
  builder.Tensor("blk.1.attn_k_b.weight", {kHeads, kLatent, kNope}, keys);
  builder.Tensor("blk.1.attn_v_b.weight", {kHeads, kValue, kLatent}, values);
  builder.Tensor("blk.2.attn_k_b.weight", {kHeads, kLatent, kNope}, keys);
  builder.Tensor("blk.2.attn_v_b.weight", {kHeads, kValue - 1, kLatent},
                 Counting(kHeads * (kValue - 1) * kLatent));
  const GgufTensors& tensors = Open(builder);
  const auto kv_b = [](int layer) {
    return fmt::format("model.layers.{}.self_attn.kv_b_proj.weight", layer);
  };
  const GgufParam stored = tensors.Find(kv_b(0), Shape{kRows, kLatent});
  EXPECT_EQ(Read(stored), whole);
  EXPECT_NE(stored.type(), nullptr);
  const GgufParam parts = tensors.Find(kv_b(1), Shape{kRows, kLatent});
  EXPECT_EQ(Read(parts), whole);
  EXPECT_EQ(parts.type(), nullptr);
  EXPECT_FALSE(parts.rows_in_order());
  EXPECT_NE(FindError(kv_b(2), {kRows, kLatent}), "");
  EXPECT_NE(FindError(kv_b(3), {kRows, kLatent}), "");
}

// A whole model of deepseek2 as new files have it.
class GgufWeightsTest : public GgufTensorsTest {
 protected:
  GgufWeightsTest() : layout_(config_), weights_(static_cast<size_t>(layout_.buffer_size())) {
    InitializeWeights(config_, layout_, 1, weights_.data());
  }

  GgufBuilder Model() const {
    GgufBuilder builder =
        Architecture("deepseek2", static_cast<uint32_t>(config_.num_attention_heads));
    builder.Int("deepseek2.expert_count", static_cast<uint32_t>(config_.n_routed_experts));
    const std::pair<std::string, std::string> spellings[] = {
        {"model.embed_tokens", "token_embd"},
        {"model.norm", "output_norm"},
        {"lm_head", "output"},
        {"model.layers.", "blk."},
        {"input_layernorm", "attn_norm"},
        {"post_attention_layernorm", "ffn_norm"},
        {"self_attn.q_a_proj", "attn_q_a"},
        {"self_attn.q_a_layernorm", "attn_q_a_norm"},
        {"self_attn.q_b_proj", "attn_q_b"},
        {"self_attn.q_proj", "attn_q"},
        {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
        {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
        {"self_attn.kv_b_proj", "attn_kv_b"},
        {"self_attn.o_proj", "attn_output"},
        {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
        {"mlp.gate.weight", "ffn_gate_inp.weight"},
        {"mlp.gate_proj", "ffn_gate"},
        {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},
        {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
        {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
        {"mlp.shared_experts.down_proj", "ffn_down_shexp"}};
    for (const ParamInfo& info : layout_.params()) {
      if (info.expert >= 0) continue;
      std::string name = info.name;
      for (const auto& [from, to] : spellings) {
        if (const size_t at = name.find(from); at != std::string::npos) {
          name.replace(at, from.size(), to);
        }
      }
      builder.Tensor(name, info.shape, Numbers(info));
    }
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
      if (!config_.IsMoeLayer(layer)) continue;
      for (const std::string kind : {"gate", "up", "down"}) {
        std::vector<float> all;
        Shape shape = {config_.n_routed_experts};
        for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
          const ParamInfo* info = layout_.Find(
              fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", layer, e, kind));
          const std::vector<float> numbers = Numbers(*info);
          all.insert(all.end(), numbers.begin(), numbers.end());
          if (e == 0) shape.insert(shape.end(), info->shape.begin(), info->shape.end());
        }
        builder.Tensor(fmt::format("blk.{}.ffn_{}_exps.weight", layer, kind), shape, all);
      }
    }
    return builder;
  }
  std::vector<float> Numbers(const ParamInfo& info) const {
    return {weights_.begin() + info.offset, weights_.begin() + info.offset + info.size};
  }

  // With a tensor that is loaded in two ranges of rows.
  static ModelConfig Config() {
    ModelConfig config = TinyConfig();
    config.vocab_size = 40000;
    return config;
  }
  ModelConfig config_ = Config();
  ParamLayout layout_;
  std::vector<float> weights_;
};

TEST_F(GgufWeightsTest, FillTheLayout) {
  GgufBuilder builder = Model();
  builder.Tensor("rope_freqs.weight", {4}, Counting(4));  // the configuration's
  const GgufTensors& tensors = Open(builder);
  std::vector<float> loaded(weights_.size(), NAN);
  ReadWeights(tensors, layout_, loaded.data());
  EXPECT_EQ(std::memcmp(loaded.data(), weights_.data(), loaded.size() * sizeof(float)), 0);
}

TEST_F(GgufWeightsTest, KvBMayBeThereTwice) {
  GgufBuilder builder = Model();
  builder.Tensor("blk.0.attn_k_b.weight", {1}, Counting(1));
  builder.Tensor("blk.0.attn_v_b.weight", {1}, Counting(1));
  Open(builder).CheckLayout(layout_);
  builder.Tensor("blk.99.attn_v_b.weight", {1}, Counting(1));
  EXPECT_EQ(MessageOf([&] { Open(builder).CheckLayout(layout_); }),
            path() +
                ": tensor 'blk.99.attn_v_b.weight' is unknown to a model of 'deepseek2'; take the "
                "model from safetensors");
}

TEST_F(GgufWeightsTest, NumbersThatAreNotFinite) {
  const ParamInfo& info = *layout_.Find("model.layers.0.self_attn.o_proj.weight");
  weights_[static_cast<size_t>(info.offset + info.size - 1)] = INFINITY;
  const GgufTensors& tensors = Open(Model());
  std::vector<float> loaded(weights_.size());
  EXPECT_EQ(
      MessageOf([&] { ReadWeights(tensors, layout_, loaded.data()); }),
      path() +
          ": model.layers.0.self_attn.o_proj.weight holds numbers that are not finite; take a "
          "sound copy");
}

}  // namespace
}  // namespace darkhorse
