#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "train/muon.h"
#include "train/schedule.h"

namespace darkhorse {
namespace {

Matrix RandomMatrix(Arena& arena, int64_t rows, int64_t cols) {
  const Matrix m = arena.NewMatrix(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i)
    m.data[i] = static_cast<float>(RandomNormal(9, RandomStream::kTest, static_cast<uint64_t>(i)));
  return m;
}

// The quintic p(x) = 3.4445 x - 4.7750 x^3 + 2.0315 x^5 maps [0.7, 1.2] into itself and lifts small
// values by at least 3.4 a step until they are there; so five steps bring a singular value of s
// into it if s >= 0.7 / 3.4^5 = 0.0016 of the norm. Random square Gaussians can have smaller ones,
// so wide and tall matrices are used: theirs are within (1 ± sqrt(n/m)) of each other.
TEST(Muon, SingularValuesComeNearOne) {
  Arena arena;
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{16, 64}, {64, 16}, {1, 7}}) {
    const Matrix m = RandomMatrix(arena, rows, cols);
    Orthogonalise(m, arena);
    // For each of the short side's vectors the squared norm is the mean of squared singular values,
    // weighted: within their range.
    const bool tall = rows > cols;
    for (int64_t a = 0; a < std::min(rows, cols); ++a) {
      for (int64_t b = 0; b < std::min(rows, cols); ++b) {
        double dot = 0;
        for (int64_t i = 0; i < std::max(rows, cols); ++i) {
          dot += tall ? static_cast<double>(m(i, a)) * m(i, b)
                      : static_cast<double>(m(a, i)) * m(b, i);
        }
        if (a == b) {
          EXPECT_GT(dot, 0.68 * 0.68);
          EXPECT_LT(dot, 1.21 * 1.21);
        } else {
          // Off-diagonal entries of M M^T are at most half the spread of the squared singular
          // values.
          EXPECT_LT(std::abs(dot), (1.21 * 1.21 - 0.68 * 0.68) / 2);
        }
      }
    }
  }
}

ModelConfig TinyConfig() {
  ModelConfig config;
  config.vocab_size = 5;
  config.hidden_size = 4;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 1;
  config.kv_lora_rank = 2;
  config.qk_nope_head_dim = 2;
  config.qk_rope_head_dim = 2;
  config.v_head_dim = 2;
  config.first_k_dense_replace = 0;
  config.moe_intermediate_size = 3;
  config.n_routed_experts = 2;
  config.num_experts_per_tok = 1;
  return config;
}

class OptimizerTest : public testing::Test {
 protected:
  std::vector<float> Buffer(uint64_t seed) {
    std::vector<float> buffer(static_cast<size_t>(layout_.buffer_size()));
    for (const ParamInfo& param : layout_.params()) {
      if (param.kind == ParamKind::kRouterBias) continue;
      for (int64_t i = 0; i < param.size; ++i) {
        buffer[static_cast<size_t>(param.offset + i)] = static_cast<float>(
            RandomNormal(seed, RandomStream::kTest, static_cast<uint64_t>(param.offset + i)));
      }
    }
    return buffer;
  }
  ParamLayout layout_{TinyConfig()};
};

// M = mu M + g, U = NS(g + mu M), W = (1 - lr decay) W - lr 0.2 sqrt(max(A,B)) U, g clipped.
TEST_F(OptimizerTest, MuonFollowsItsFormula) {
  OptimizerOptions options;
  options.learning_rate = 0.01;
  options.muon_momentum = 0.9;
  options.weight_decay = 0.3;
  options.max_grad_norm = 2;
  Optimizer optimizer(layout_, options);
  std::vector<float> weights = Buffer(1);
  std::vector<float> w = weights, m(w.size());
  Arena arena;
  for (int step = 1; step <= 3; ++step) {
    const std::vector<float> grads = Buffer(static_cast<uint64_t>(20 + step));
    const float clip = static_cast<float>(2 / GradientNorm(layout_, grads.data()));
    ASSERT_LT(clip, 1);
    optimizer.Step(grads.data(), 0.5, weights.data());
    int matrices = 0;
    for (const ParamInfo& param : layout_.params()) {
      if (param.kind != ParamKind::kMatrix) continue;
      ++matrices;
      const Matrix update = arena.NewMatrix(param.shape[0], param.shape[1]);
      const size_t offset = static_cast<size_t>(param.offset);
      for (size_t i = 0; i < static_cast<size_t>(param.size); ++i) {
        const float g = clip * grads[offset + i];
        m[offset + i] = 0.9f * m[offset + i] + g;
        update.data[i] = g + 0.9f * m[offset + i];
      }
      Orthogonalise(update, arena);
      const double scale = 0.2 * std::sqrt(std::max(param.shape[0], param.shape[1]));
      for (size_t i = 0; i < static_cast<size_t>(param.size); ++i) {
        const double want = (1 - 0.005 * 0.3) * w[offset + i] - 0.005 * scale * update.data[i];
        // Some five roundings of each term, 2^-24 of it at most.
        const double bound = 5 * 6e-8 * (std::abs(w[offset + i]) + 0.005 * scale);
        EXPECT_NEAR(weights[offset + i], want, bound) << param.name;
        w[offset + i] = weights[offset + i];
      }
    }
    EXPECT_GT(matrices, 3);
  }
}

TEST_F(OptimizerTest, AdamWFollowsItsFormula) {
  OptimizerOptions options;
  options.optimizer = "adamw";
  options.learning_rate = 0.01;
  options.max_grad_norm = 2;
  Optimizer optimizer(layout_, options);
  std::vector<float> weights = Buffer(1);
  std::vector<double> w(weights.begin(), weights.end()), m(w.size()), v(w.size());
  for (int step = 1; step <= 3; ++step) {
    const std::vector<float> grads = Buffer(static_cast<uint64_t>(10 + step));
    double norm = 0;
    for (const float g : grads) norm += static_cast<double>(g) * g;
    norm = std::sqrt(norm);
    EXPECT_NEAR(optimizer.Step(grads.data(), 0.5, weights.data()), norm, 1e-5 * norm);
    for (const ParamInfo& param : layout_.params()) {
      if (param.kind == ParamKind::kRouterBias) continue;
      const double decay = param.kind == ParamKind::kNorm || param.kind == ParamKind::kRouter
                               ? 0
                               : options.weight_decay;
      for (int64_t k = 0; k < param.size; ++k) {
        const size_t i = static_cast<size_t>(param.offset + k);
        const double g = grads[i] * std::min(1.0, 2 / norm), lr = 0.005;
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.95 * v[i] + 0.05 * g * g;
        w[i] -= lr * (m[i] / (1 - std::pow(0.9, step)) /
                          (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + 1e-8) +
                      decay * w[i]);
        // About twenty roundings a step on terms no larger than lr * 10 (bias-corrected ratio) and
        // |w|.
        EXPECT_NEAR(weights[i], w[i], step * 20 * 6e-8 * (std::abs(w[i]) + 10 * lr)) << param.name;
      }
    }
  }
}

TEST_F(OptimizerTest, MuonMovesMatricesByASetRootMeanSquareAndLeavesTheRestToAdamW) {
  OptimizerOptions options;
  options.learning_rate = 0.01;
  options.weight_decay = 0;
  options.max_grad_norm = 0;
  Optimizer muon(layout_, options);
  options.optimizer = "adamw";
  Optimizer adamw(layout_, options);
  const std::vector<float> before = Buffer(1), grads = Buffer(2);
  std::vector<float> a = before, b = before;
  muon.Step(grads.data(), 1, a.data());
  adamw.Step(grads.data(), 1, b.data());
  for (const ParamInfo& param : layout_.params()) {
    double squares = 0;
    bool same = true;
    for (size_t i = static_cast<size_t>(param.offset);
         i < static_cast<size_t>(param.offset + param.size); ++i) {
      squares += (static_cast<double>(a[i]) - before[i]) * (static_cast<double>(a[i]) - before[i]);
      same = same && a[i] == b[i];
    }
    if (param.kind == ParamKind::kRouterBias) {
      EXPECT_EQ(squares, 0);
    }
    if (param.kind != ParamKind::kMatrix) {
      EXPECT_TRUE(same) << param.name;
      continue;
    }
    // 0.2 * lr where all singular values are 1; each lies in (0, 1.21].
    EXPECT_GT(squares, 0) << param.name;
    EXPECT_LE(std::sqrt(squares / static_cast<double>(param.size)), 0.2 * 0.01 * 1.21)
        << param.name;
  }
}

TEST_F(OptimizerTest, RefusesAGradientThatIsNotFiniteAndChangesNothing) {
  Optimizer optimizer(layout_, {});
  std::vector<float> weights = Buffer(1), grads = Buffer(2);
  const std::vector<float> before = weights;
  grads[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    optimizer.Step(grads.data(), 1, weights.data());
    ADD_FAILURE();
  } catch (const Error& error) {  // the first step is number 1, as in metrics.jsonl
    EXPECT_NE(std::string(error.what()).find(" at step 1;"), std::string::npos) << error.what();
  }
  EXPECT_EQ(weights, before);
  EXPECT_EQ(optimizer.step(), 0);
}

TEST(Schedule, ShapesAndEnds) {
  const ScheduleOptions wsd{
      .schedule = "wsd", .warmup_steps = 4, .decay_fraction = 0.5, .final_lr_fraction = 0.1};
  EXPECT_DOUBLE_EQ(LearningRateFactor(wsd, 0, 20), 0.25);
  EXPECT_DOUBLE_EQ(LearningRateFactor(wsd, 3, 20), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(wsd, 10, 20), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(wsd, 19, 20), 0.1);
  EXPECT_LT(LearningRateFactor(wsd, 15, 20), LearningRateFactor(wsd, 14, 20));
  const ScheduleOptions cosine{.schedule = "cosine", .warmup_steps = 0, .final_lr_fraction = 0.2};
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 0, 21), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 10, 21), 0.6);
  EXPECT_NEAR(LearningRateFactor(cosine, 20, 21), 0.2, 1e-15);
  const ScheduleOptions constant{.schedule = "constant", .warmup_steps = 2};
  EXPECT_DOUBLE_EQ(LearningRateFactor(constant, 0, 10), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateFactor(constant, 9, 10), 1);
}

}  // namespace
}  // namespace darkhorse
