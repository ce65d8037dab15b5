#include "model/gqa.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/random.h"
#include "model/params.h"
#include "model/transformer.h"

namespace darkhorse {
namespace {

constexpr int64_t kTokens = 150;  // more than two key blocks

ModelConfig Config() {
  ModelConfig config;
  config.vocab_size = 8;
  config.hidden_size = 40;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 6;
  config.q_lora_rank = config.kv_lora_rank = 0;
  config.num_key_value_heads = 2;
  config.head_dim = 18;
  config.rope_interleave = false;
  config.attention_bias = config.attention_output_bias = config.qk_norm = true;
  config.intermediate_size = 16;
  config.max_position_embeddings = 256;
  config.initializer_range = 0.3;
  return config;
}

class Gqa : public testing::Test {
 protected:
  Gqa() : weights_(static_cast<size_t>(layout_.buffer_size())) {
    InitializeWeights(config_, layout_, 3, weights_.data());
    for (const ParamInfo& param : layout_.params()) {  // initial ones are 0
      for (int64_t i = 0; param.kind == ParamKind::kBias && i < param.size; ++i)
        weights_[static_cast<size_t>(param.offset + i)] = static_cast<float>(i % 5) - 2;
    }
    x_ = arena_.NewMatrix(2 * kTokens, config_.hidden_size);
    for (int64_t i = 0; i < x_.size(); ++i) {
      x_.data[i] =
          static_cast<float>(RandomNormal(1, RandomStream::kTest, static_cast<uint64_t>(i)));
    }
  }

  // The layer's output for two sequences of kTokens, given to it in chunks of these sizes, both in
  // one batch. `cache` null: whole sequences at once.
  Matrix Run(KvCache* cache, const std::vector<int64_t>& chunks, Format format) {
    const ModelWeights model = Bind(config_, layout_, weights_.data(), format);
    const Matrix y(arena_.Zeros(x_.size()), x_.rows, x_.cols);
    int64_t done = 0;
    for (const int64_t rows : chunks) {
      TokenBatch batch;
      batch.tokens.assign(static_cast<size_t>(2 * rows), 0);
      batch.segments = {{0, rows, done, cache ? 1 : -1}, {rows, rows, done, cache ? 0 : -1}};
      const Matrix in = arena_.NewMatrix(2 * rows, x_.cols);
      const Matrix out(arena_.Zeros(in.size()), in.rows, in.cols);
      const auto part = [&](Matrix all, int64_t sequence) {
        return all.Rows(sequence * kTokens + done, rows);
      };
      for (int64_t s = 0; s < 2; ++s)
        std::memcpy(in.Row(s * rows), part(x_, s).data, Bytes(rows * x_.cols));
      const PassContext pass{config_, rope_.table(batch.positions()),
                             batch,   RowPositions(batch, config_, arena_),
                             cache,   arena_};
      GqaForward(pass, model.layers[0].gqa, 0, in, out, nullptr);
      for (int64_t s = 0; s < 2; ++s)
        std::memcpy(part(y, s).data, out.Row(s * rows), Bytes(rows * x_.cols));
      done += rows;
    }
    EXPECT_EQ(done, kTokens);
    return y;
  }
  static size_t Bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

  ModelConfig config_ = Config();
  ParamLayout layout_{config_};
  RopeCache rope_{config_};
  std::vector<float> weights_;
  Arena arena_;
  Matrix x_;
};

TEST_F(Gqa, CacheGivesTrainingsBits) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    const Matrix whole = Run(nullptr, {kTokens}, format);
    for (const auto& chunks :
         {std::vector<int64_t>{kTokens}, {1, 63, 64, 22}, std::vector<int64_t>(kTokens, 1)}) {
      KvCache cache(config_, CacheForm::kExpanded, 2, kTokens, format);
      const Matrix y = Run(&cache, chunks, format);
      EXPECT_EQ(std::memcmp(whole.data, y.data, Bytes(y.size())), 0);
    }
  }
}

TEST_F(Gqa, HasNoLatentsToCache) {
  const KvCache cache(config_, CacheForm::kLatent, 2, 64);
  EXPECT_EQ(cache.form(), CacheForm::kExpanded);
  EXPECT_EQ(cache.bytes(), 2 * 64 * 2 * (18 + 18) * 4);
}

}  // namespace
}  // namespace darkhorse
