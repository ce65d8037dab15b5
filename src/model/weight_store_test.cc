#include "model/weight_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "kernel/block_formats.h"
#include "kernel/ggml_encode.h"
#include "kernel/linear.h"
#include "model/config_testing.h"
#include "model/packed_weights.h"
#include "model/reference_cases_testing.h"
#include "model/transformer.h"

namespace darkhorse {
namespace {

// A layout's buffer as a source.
class BufferSource : public ParamSource {
 public:
  BufferSource(const ParamLayout& layout, const float* buffer) : layout_(layout), buffer_(buffer) {}
  void ReadRows(const ParamSpec& param, int64_t begin, int64_t count, float* out) const override {
    const ParamInfo& info = *layout_.Find(param.name);
    const int64_t cols = info.size / info.shape[0];
    EXPECT_LE(begin + count, info.shape[0]);
    std::memcpy(out, buffer_ + info.offset + begin * cols,
                static_cast<size_t>(count * cols) * sizeof(float));
  }
  StoredRows Rows(const ParamSpec& param) const override {
    const ParamInfo& info = *layout_.Find(param.name);
    const float* first = buffer_ + info.offset;
    const int64_t cols = info.size / info.shape[0];
    return {&InfoOf(GgmlType::kF32),
            [=](int64_t row) { return reinterpret_cast<const std::byte*>(first + row * cols); },
            in_order};
  }
  bool in_order = true;

 private:
  const ParamLayout& layout_;
  const float* buffer_;
};

std::vector<float> Hidden(const ModelConfig& config, const ModelWeights& weights,
                          const TokenBatch& batch) {
  Arena arena;
  const Transformer model(config);
  const Matrix hidden = model.Forward(weights, batch, nullptr, arena, nullptr);
  const Matrix logits = arena.NewMatrix(hidden.rows, config.vocab_size);
  LinearForward(hidden, weights.lm_head, logits);
  std::vector<float> out(hidden.data, hidden.data + hidden.size());
  out.insert(out.end(), logits.data, logits.data + logits.size());
  return out;
}

// What the same weights give, packed from a whole copy.
TEST(WeightStore, ComputesWhatPackedWeightsDo) {
  for (const ReferenceCase& c : ReferenceCases()) {
    SCOPED_TRACE(c.name);
    ModelConfig config = c.config;
    config.num_nextn_predict_layers = 0;
    config.vocab_size = 300;  // more rows than are read at once
    const ParamLayout layout(config);
    std::vector<float> weights = RandomWeights(config, 5);
    BufferSource source(layout, weights.data());
    for (const Format format : {Format::kF32, Format::kBf16, Format::kQ8, Format::kQ4}) {
      const PackedWeights packed(config, layout, weights.data(), format);
      const auto choose = [&](const ParamSpec&) { return format; };
      for (const bool in_order : {true, false}) {
        source.in_order = in_order;
        const WeightStore store(config, source, choose);
        EXPECT_EQ(store.bytes(), WeightStore::Bytes(config, source, choose));
        EXPECT_EQ(Hidden(config, store.model(), c.batch), Hidden(config, packed.model(), c.batch));
        EXPECT_EQ(store.model().embed_tokens.w.data == nullptr, in_order);
      }
    }
  }
}

// The latent cache reads slices of a weight, forward and backward.
TEST(WeightStore, DecodesFromLatents) {
  const ModelConfig config = TinyConfig();
  const ParamLayout layout(config);
  std::vector<float> weights = RandomWeights(config, 5);
  const BufferSource source(layout, weights.data());
  for (const Format format : {Format::kF32, Format::kQ8}) {
    const WeightStore store(config, source, [&](const ParamSpec&) { return format; });
    const PackedWeights packed(config, layout, weights.data(), format);
    const auto decoded = [&](const ModelWeights& model) {
      KvCache cache(config, CacheForm::kLatent, 1, 8);
      std::vector<float> all;
      for (int32_t position = 0; position < 4; ++position) {
        Arena arena;
        const TokenBatch batch{{position}, {{0, 1, position, 0}}};
        const Matrix hidden = Transformer(config).Forward(model, batch, &cache, arena, nullptr);
        all.insert(all.end(), hidden.data, hidden.data + hidden.size());
      }
      return all;
    };
    EXPECT_EQ(decoded(store.model()), decoded(packed.model()));
  }
}

// A source whose matrices are Q8_0.
class BlockSource : public BufferSource {
 public:
  BlockSource(const ParamLayout& layout, const float* buffer) : BufferSource(layout, buffer) {
    for (const ParamInfo& param : layout.params()) {
      if (param.shape.size() < 2) continue;
      auto& bytes = blocks_[param.name];
      bytes.resize(static_cast<size_t>(type_.BytesOf(param.size)));
      EncodeGgml(type_.type, buffer + param.offset, param.size, bytes.data());
    }
  }
  StoredRows Rows(const ParamSpec& param) const override {
    const std::byte* first = blocks_.at(param.name).data();
    const int64_t row_bytes = type_.BytesOf(param.shape[1]);
    return {&type_, [=](int64_t row) { return first + row * row_bytes; }, true};
  }

 private:
  const GgmlTypeInfo& type_ = InfoOf(GgmlType::kQ8_0);
  std::map<std::string, std::vector<std::byte>> blocks_;
};

// Read in parts, they are what they are packed at once.
TEST(WeightStore, BlocksStayAsTheFileHasThem) {
  ModelConfig config = TinyConfig();
  config.kv_lora_rank = config.qk_nope_head_dim = config.qk_rope_head_dim = config.v_head_dim = 0;
  config.q_lora_rank = 0;
  config.num_key_value_heads = 1;
  config.head_dim = 32;
  config.hidden_size = config.intermediate_size = 64;
  config.first_k_dense_replace = 2;
  config.vocab_size = 300;
  config.tie_word_embeddings = true;
  const ParamLayout layout(config);
  const std::vector<float> weights = RandomWeights(config, 5);
  const BlockSource source(layout, weights.data());
  const WeightStore store(
      config, source, [&](const ParamSpec& param) { return WeightStore::AsStored(source, param); });
  const Weight& head = store.model().lm_head;
  ASSERT_EQ(head.format, Format::kQ8_0);
  const auto bytes = static_cast<size_t>(ForwardBytes(head.format, 300, 64));
  FloatBuffer whole(static_cast<int64_t>(bytes) / 4 + 16);
  const ParamInfo& embedding = *layout.Find("model.embed_tokens.weight");
  PackBlocks(head.format, 300, 64, source.Rows(embedding).row, whole.data());
  EXPECT_EQ(std::memcmp(head.forward, whole.data(), bytes), 0);
}

TEST(WeightStore, FormatsAreChosenByTensor) {
  const ReferenceCase c = ReferenceCases().front();
  const ParamLayout layout(c.config);
  std::vector<float> weights = c.weights;
  const BufferSource source(layout, weights.data());
  const WeightStore store(c.config, source, [](const ParamSpec& param) {
    return param.name.ends_with("o_proj.weight") ? Format::kBf16 : Format::kF32;
  });
  const LayerWeights& layer = store.model().layers.back();
  EXPECT_EQ(layer.mla.o_proj.format, Format::kBf16);
  EXPECT_EQ(layer.mla.q_b_proj.format, Format::kF32);
  const WeightStore bf16(c.config, source, [](const ParamSpec&) { return Format::kBf16; });
  EXPECT_EQ(bf16.model().layers.back().moe.gate.format, Format::kF32);
  EXPECT_EQ(bf16.model().lm_head.format, Format::kBf16);
}

}  // namespace
}  // namespace darkhorse
