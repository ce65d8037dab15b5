#include "model/mla.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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
  config.num_attention_heads = 3;
  config.kv_lora_rank = 20;
  config.qk_nope_head_dim = 12;
  config.qk_rope_head_dim = 6;
  config.v_head_dim = 10;
  config.intermediate_size = 16;
  config.max_position_embeddings = 256;
  config.initializer_range = 0.3;
  return config;
}

class Mla : public testing::Test {
 protected:
  Mla() : weights_(static_cast<size_t>(layout_.buffer_size())) {
    InitializeWeights(config_, layout_, 3, weights_.data());
    model_ = Bind(config_, layout_, weights_.data());
    x_ = arena_.NewMatrix(kTokens, config_.hidden_size);
    for (int64_t i = 0; i < x_.size(); ++i) {
      x_.data[i] =
          static_cast<float>(RandomNormal(1, RandomStream::kTest, static_cast<uint64_t>(i)));
    }
  }

  // The layer's output for all tokens, given to it in chunks of these sizes.
  Matrix Run(KvCache* cache, const std::vector<int64_t>& chunks, MlaSaved* saved = nullptr) {
    const Matrix y(arena_.Zeros(x_.size()), kTokens, config_.hidden_size);
    int64_t done = 0;
    for (const int64_t rows : chunks) {
      TokenBatch batch;
      batch.tokens.assign(static_cast<size_t>(rows), 0);
      batch.segments = {{0, rows, done, cache ? 0 : -1}};
      const PassContext pass{config_, rope_.table(batch.positions()),
                             batch,   RowPositions(batch, config_, arena_),
                             cache,   arena_};
      MlaForward(pass, model_.layers[0].mla, 0, x_.Rows(done, rows), y.Rows(done, rows), saved);
      done += rows;
    }
    EXPECT_EQ(done, kTokens);
    return y;
  }

  ModelConfig config_ = Config();
  ParamLayout layout_{config_};
  RopeCache rope_{config_};
  std::vector<float> weights_;
  ModelWeights model_;
  Arena arena_;
  Matrix x_;
};

TEST_F(Mla, ExpandedCacheGivesTrainingsBits) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    model_ = Bind(config_, layout_, weights_.data(), format);
    const Matrix whole = Run(nullptr, {kTokens});
    for (const auto& chunks :
         {std::vector<int64_t>{kTokens}, {1, 63, 64, 22}, std::vector<int64_t>(kTokens, 1)}) {
      KvCache cache(config_, CacheForm::kExpanded, 1, kTokens, format);
      const Matrix y = Run(&cache, chunks);
      EXPECT_EQ(std::memcmp(whole.data, y.data, static_cast<size_t>(y.size()) * sizeof(float)), 0);
    }
  }
}

// Largest error that the format may make of the layer's output, for either cache form, from the
// values at hand. Both forms sum the same products, q_d W_dr c_r for a score and p_j W_dr c_jr for
// an output, in different orders; a sum of n products in any order is off by at most n u
// sum|products| to first order (Higham 2002, section 4.2), and a perturbation e of the scores
// changes each probability by at most a factor 1 + 2e. In bf16 what enters a product is rounded, by
// 2^-9 of it: for a score query, weight, latent and what comes of the first product, for an output
// weight, latent, probability and what comes of the first.
std::vector<double> OutputBound(const ModelConfig& config, const MlaWeights& w, const MlaSaved& s,
                                Format format) {
  const double u = std::numeric_limits<float>::epsilon() / 2;
  const double rounded = format == Format::kBf16 ? std::ldexp(1.0, -9) : 0;
  const int64_t nope = config.qk_nope_head_dim, rope = config.qk_rope_head_dim,
                value = config.v_head_dim, rank = config.kv_lora_rank;
  const int64_t heads = config.num_attention_heads, hidden = config.hidden_size,
                query = config.key_dim();
  const double scale = config.SoftmaxScale();
  std::vector<double> bound(static_cast<size_t>(kTokens * hidden));
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<double> head_bound(static_cast<size_t>(heads * value)),
        head_size(head_bound.size());
    for (int64_t h = 0; h < heads; ++h) {
      const ConstMatrix key_up = w.kv_b_proj.w.Rows(h * (nope + value), nope),
                        value_up = w.kv_b_proj.w.Rows(h * (nope + value) + nope, value);
      std::vector<double> score(static_cast<size_t>(t + 1));
      double score_error = 0, top = -1e300;
      for (int64_t j = 0; j <= t; ++j) {
        double sum = 0, size = 0;
        const auto add = [&](double product) {
          sum += product;
          size += std::abs(product);
        };
        for (int64_t d = 0; d < nope; ++d) {
          for (int64_t r = 0; r < rank; ++r)
            add(static_cast<double>(s.q(t, h * query + d)) * key_up(d, r) * s.latent(j, r));
        }
        for (int64_t d = 0; d < rope; ++d)
          add(static_cast<double>(s.q(t, h * query + nope + d)) * s.kv_a(j, rank + d));
        score[static_cast<size_t>(j)] = sum * scale;
        score_error = std::max(
            score_error,
            ((static_cast<double>(nope + rank + rope) + 2) * u + 4 * rounded) * size * scale);
        top = std::max(top, score[static_cast<size_t>(j)]);
      }
      // Rounding of score - max, and of the exponential itself (2 ulp).
      score_error += u * 2 * std::abs(top) + 4 * u;
      double total = 0;
      for (double& p : score) total += (p = std::exp(p - top));
      const double probability_error = 2 * score_error + (static_cast<double>(t) + 8) * u;
      for (int64_t d = 0; d < value; ++d) {
        double size = 0;
        for (int64_t j = 0; j <= t; ++j) {
          double v = 0;
          for (int64_t r = 0; r < rank; ++r)
            v += std::abs(static_cast<double>(value_up(d, r)) * s.latent(j, r));
          size += score[static_cast<size_t>(j)] / total * v;
        }
        head_size[static_cast<size_t>(h * value + d)] = size;
        head_bound[static_cast<size_t>(h * value + d)] =
            (probability_error + (static_cast<double>(t + rank) + 4) * u + 4 * rounded) * size;
      }
    }
    for (int64_t i = 0; i < hidden; ++i) {
      double& b = bound[static_cast<size_t>(t * hidden + i)];
      for (int64_t d = 0; d < heads * value; ++d) {
        const double weight = std::abs(static_cast<double>(w.o_proj.w(i, d)));
        b += weight * (head_bound[static_cast<size_t>(d)] +
                       (static_cast<double>(heads * value) * u + 2 * rounded) *
                           head_size[static_cast<size_t>(d)]);
      }
    }
  }
  return bound;
}

TEST_F(Mla, LatentCacheAgreesWithinTheRoundingOfBoth) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    MlaSaved saved;
    const MlaWeights exact = model_.layers[0].mla;
    const ModelWeights in_f32 = model_;
    model_ = Bind(config_, layout_, weights_.data(), format);
    const Matrix expanded = Run(nullptr, {kTokens}, &saved);
    const std::vector<double> bound = OutputBound(config_, exact, saved, format);
    // A prompt expanded and then continued, one absorbed from the start, token by token.
    for (const auto& chunks :
         {std::vector<int64_t>{100, 30, 20}, {7, 143}, std::vector<int64_t>(kTokens, 1)}) {
      KvCache cache(config_, CacheForm::kLatent, 1, kTokens, format);
      const Matrix latent = Run(&cache, chunks);
      double worst = 0;
      for (int64_t i = 0; i < latent.size(); ++i) {
        const double difference = std::abs(static_cast<double>(latent.data[i]) - expanded.data[i]);
        worst = std::max(worst, difference / (2 * bound[static_cast<size_t>(i)]));
      }
      EXPECT_LE(worst, 1) << (format == Format::kBf16 ? "bf16" : "f32");
      EXPECT_GT(worst, 0) << (format == Format::kBf16
                                  ? "bf16"
                                  : "f32");  // another order of sums, not the same code
    }
    model_ = in_f32;
  }
}

// Where the room was another sequence's, whatever it left.
TEST_F(Mla, LatentsDoNotDependOnWhatLayThereOrOnTheirChunks) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    const ModelWeights in_f32 = model_;
    model_ = Bind(config_, layout_, weights_.data(), format);
    KvCache cache(config_, CacheForm::kLatent, 1, kTokens, format);
    const Matrix first = Run(&cache, {100, 1, 1, 48});
    const Matrix again = Run(&cache, {100, 20, 30});
    EXPECT_EQ(std::memcmp(first.data, again.data, static_cast<size_t>(first.size()) * 4), 0)
        << (format == Format::kBf16 ? "bf16" : "f32");
    model_ = in_f32;
  }
}

TEST_F(Mla, LatentCacheIsSmaller) {
  const KvCache latent(config_, CacheForm::kLatent, 2, 64),
      expanded(config_, CacheForm::kExpanded, 2, 64);
  EXPECT_EQ(expanded.bytes(), 2 * 64 * 3 * (18 + 10) * 4);
  EXPECT_EQ(latent.bytes(), 2 * 64 * (20 + 6 + 20) * 4);
  // Tiles are 32 wide and 16 values deep.
  EXPECT_EQ(KvCache(config_, CacheForm::kLatent, 2, 64, Format::kBf16).bytes(),
            2 * 64 * (32 + 32) * 2);
}

}  // namespace
}  // namespace darkhorse
