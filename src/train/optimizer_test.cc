#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "kernel/gemm_bf16.h"
#include "kernel/ops.h"
#include "train/muon.h"
#include "train/schedule.h"

namespace darkhorse {
namespace {

// Muon's iteration, p(x) = a x + b x^3 + c x^5 on the singular values. On x > 0, p rises to 1.20237
// at x = 0.5545, falls to 0.68183 at x = 1.0501 and rises again. So every x in (0, 1] stays at or
// below 1.20237; from [0.68183, 1.20237] p comes back into it (p(0.68183) = 1.134, p(1.20237) =
// 0.947, and the minimum between them is 0.68183 itself). Below it p(x) / x falls with x,
// from 3.4445 to 1.664: what starts at 0.00151 or above (found by inverting p on its first rise,
// five times from 0.68183) is inside after five steps.
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
constexpr double kLow = 0.68183, kHigh = 1.20237, kReachesInFiveSteps = 0.00151;

// [rows][cols] in double, for formulas written out.
struct Table {
  int64_t rows, cols;
  std::vector<double> data;
  Table(int64_t rows_in, int64_t cols_in)
      : rows(rows_in), cols(cols_in), data(static_cast<size_t>(rows * cols)) {}
  double& operator()(int64_t row, int64_t col) {
    return data[static_cast<size_t>(row * cols + col)];
  }
  double operator()(int64_t row, int64_t col) const {
    return data[static_cast<size_t>(row * cols + col)];
  }
};

double Norm(const Table& m) {
  double squares = 0;
  for (const double x : m.data) squares += x * x;
  return std::sqrt(squares);
}

// a b^T
Table TimesTransposed(const Table& a, const Table& b) {
  Table out(a.rows, b.rows);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < b.rows; ++j) {
      for (int64_t k = 0; k < a.cols; ++k) out(i, j) += a(i, k) * b(j, k);
    }
  }
  return out;
}

Table Transposed(const Table& m) {
  Table out(m.cols, m.rows);
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) out(j, i) = m(i, j);
  }
  return out;
}

// Five steps X <- a X + b (X X^T) X + c (X X^T)^2 X from m / |m|, as Jordan et al. write them.
Table NewtonSchulz(const Table& m) {
  Table x = m;
  const double norm = Norm(m);
  for (double& value : x.data) value /= norm;
  for (int step = 0; step < 5; ++step) {
    const Table third = TimesTransposed(TimesTransposed(x, x), Transposed(x));
    const Table fifth = TimesTransposed(TimesTransposed(x, x), Transposed(third));
    for (size_t i = 0; i < x.data.size(); ++i) {
      x.data[i] = kA * x.data[i] + kB * third.data[i] + kC * fifth.data[i];
    }
  }
  return x;
}

// How far f32 may be from NewtonSchulz, in the spectral norm. A product that sums k terms is off by
// k 2^-24 of the product of the absolute values, whose norm is at most n (the short side) times
// that of the matrices; a step's products sum n, n and the long side, on matrices of norm up to
// kHigh, with weights |a| + |b| + |c|; 8 more for scaling, momentum and the rounded coefficients.
// Each later step stretches a difference by at most the largest slope of p on (0, kHigh], 3.97. The
// scale's 1e-7 shrinks x by as much: less than one of the roundings counted.
double NewtonSchulzBound(int64_t rows, int64_t cols) {
  const auto shorter = static_cast<double>(std::min(rows, cols));
  const auto longer = static_cast<double>(std::max(rows, cols));
  const double of_a_step = shorter * (2 * shorter + longer + 8) * 0x1p-24 * (kA - kB + kC) * kHigh;
  double bound = 0;
  for (int step = 0; step < 5; ++step) bound = 3.97 * bound + of_a_step;
  return bound;
}

struct Orthogonalised {
  Table m, o;
};

Orthogonalised Orthogonalise(int64_t rows, int64_t cols) {
  Arena arena;
  const Matrix matrix = arena.NewMatrix(rows, cols);
  Orthogonalised out{Table(rows, cols), Table(rows, cols)};
  for (int64_t i = 0; i < matrix.size(); ++i) {
    matrix.data[i] =
        static_cast<float>(RandomNormal(9, RandomStream::kTest, static_cast<uint64_t>(i)));
    out.m.data[static_cast<size_t>(i)] = matrix.data[i];
  }
  Orthogonalise(matrix, arena);
  std::copy_n(matrix.data, matrix.size(), out.o.data.begin());
  return out;
}

// Wide and tall: a square Gaussian may have singular values below what five steps lift. Those of
// [n, m] lie around sqrt(m) ± sqrt(n), and the norm is about sqrt(m n).
const std::vector<std::pair<int64_t, int64_t>> kShapes = {{4, 12}, {12, 4}, {1, 7}, {7, 1}};

TEST(Muon, FollowsTheIterationAsItIsWritten) {
  for (const auto& [rows, cols] : kShapes) {
    const Orthogonalised got = Orthogonalise(rows, cols);
    // The iteration is the same on the transpose.
    const Table want =
        rows > cols ? Transposed(NewtonSchulz(Transposed(got.m))) : NewtonSchulz(got.m);
    for (size_t i = 0; i < want.data.size(); ++i) {
      EXPECT_NEAR(got.o.data[i], want.data[i], NewtonSchulzBound(rows, cols));
    }
  }
}

// In bf16 the products alone differ, each as kernel/gemm_bf16.h defines it.
TEST(Muon, RoundsTheOperandsOfItsProductsInBf16) {
  constexpr int64_t kRows = 5, kCols = 40;
  Arena arena;
  const Matrix got = arena.NewMatrix(kRows, kCols);
  for (int64_t i = 0; i < got.size(); ++i)
    got.data[i] =
        static_cast<float>(RandomNormal(9, RandomStream::kTest, static_cast<uint64_t>(i)));
  std::vector<float> values(got.data, got.data + got.size());
  Orthogonalise(got, arena, Format::kBf16);

  const float scale =
      static_cast<float>(1 / (std::sqrt(SumSquares(values.data(), kRows * kCols)) + 1e-7));
  for (float& value : values) value *= scale;
  for (int step = 0; step < 5; ++step) {
    std::vector<float> gram(kRows * kRows), poly(kRows * kRows), next(kRows * kCols);
    const Matrix x(values.data(), kRows, kCols), a(gram.data(), kRows, kRows);
    const Matrix p(poly.data(), kRows, kRows);
    Bf16GemmNT(x, x, a);
    Bf16GemmNN(a, a, p);
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < kRows; ++j) {
        const float quintic = static_cast<float>(kB) * a(i, j) + static_cast<float>(kC) * p(i, j);
        p(i, j) = quintic + (i == j ? static_cast<float>(kA) : 0.0f);
      }
    }
    Bf16GemmNN(p, x, Matrix(next.data(), kRows, kCols));
    values = next;
  }
  EXPECT_TRUE(std::equal(values.begin(), values.end(), got.data));
}

// The singular values of O are where the comment above says. x^T O O^T x lies between their least
// and greatest square for every unit vector x; off the diagonal, O O^T is at most half the spread.
TEST(Muon, SingularValuesComeNearOne) {
  for (const auto& [rows, cols] : kShapes) {
    const Orthogonalised got = Orthogonalise(rows, cols);
    const Table o = rows > cols ? Transposed(got.o) : got.o;
    const Table gram = TimesTransposed(o, o);
    const double bound = NewtonSchulzBound(rows, cols);
    const double low = (kLow - bound) * (kLow - bound), high = (kHigh + bound) * (kHigh + bound);
    for (int64_t i = 0; i < gram.rows; ++i) {
      EXPECT_GT(gram(i, i), low);
      EXPECT_LT(gram(i, i), high);
      for (int64_t j = 0; j < i; ++j) EXPECT_LT(std::abs(gram(i, j)), (high - low) / 2);
    }
  }
}

// O has M's singular vectors and positive singular values, exactly when M O^T is symmetric and
// positive definite: M O^T = U S f(S) U^T. A fixed orthonormal matrix fails the first, -U V^T the
// second. No decomposition is needed: a symmetric matrix is positive definite when elimination
// meets positive pivots alone.
TEST(Muon, TurnsNeitherTheSingularVectorsNorTheSign) {
  for (const auto& [rows, cols] : kShapes) {
    const Orthogonalised got = Orthogonalise(rows, cols);
    const bool tall = rows > cols;
    const Table m = tall ? Transposed(got.m) : got.m;
    Table s = TimesTransposed(m, tall ? Transposed(got.o) : got.o);
    double asymmetry = 0;
    for (int64_t i = 0; i < s.rows; ++i) {
      for (int64_t j = 0; j < s.cols; ++j) asymmetry += (s(i, j) - s(j, i)) * (s(i, j) - s(j, i));
    }
    // The error of O, times M, twice.
    EXPECT_LE(std::sqrt(asymmetry), 2 * Norm(m) * NewtonSchulzBound(rows, cols));
    for (int64_t pivot = 0; pivot < s.rows; ++pivot) {
      ASSERT_GT(s(pivot, pivot), 0) << rows << " x " << cols;
      for (int64_t i = pivot + 1; i < s.rows; ++i) {
        const double factor = s(i, pivot) / s(pivot, pivot);
        for (int64_t j = pivot; j < s.cols; ++j) s(i, j) -= factor * s(pivot, j);
      }
    }
  }
}

// What the range of singular values is derived from.
TEST(Muon, ThePolynomialMapsItsRangeIntoItself) {
  const auto p = [](double x) { return kA * x + kB * x * x * x + kC * x * x * x * x * x; };
  const auto after_five = [&](double x) {
    for (int step = 0; step < 5; ++step) x = p(x);
    return x;
  };
  constexpr double kStep = 1e-5;
  for (double x = kStep; x <= kHigh; x += kStep) {
    ASSERT_LE(p(x), kHigh + 1e-5) << x;
    ASSERT_TRUE(x < kLow || p(x) >= kLow - 1e-5) << x;
    ASSERT_TRUE(x >= kLow || p(x) / x >= 1.66) << x;
    ASSERT_TRUE(x < kReachesInFiveSteps || after_five(x) >= kLow - 1e-3) << x;
    ASSERT_LE(std::abs(kA + 3 * kB * x * x + 5 * kC * x * x * x * x), 3.97) << x;
  }
  EXPECT_LT(after_five(kReachesInFiveSteps - kStep), kLow);
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

// M = mu M + g, U = NS(g + mu M), W = (1 - lr decay) W - lr 0.2 sqrt(max(A,B)) U, g clipped; all of
// it in double, step after step.
TEST_F(OptimizerTest, MuonFollowsItsFormula) {
  OptimizerOptions options;
  options.learning_rate = 0.01;
  options.muon_momentum = 0.9;
  options.weight_decay = 0.3;
  options.max_grad_norm = 2;
  Optimizer optimizer(layout_, options);
  std::vector<float> weights = Buffer(1);
  std::vector<double> w(weights.begin(), weights.end()), m(w.size());
  constexpr double kRate = 0.01 * 0.5;
  for (int step = 1; step <= 3; ++step) {
    const std::vector<float> grads = Buffer(static_cast<uint64_t>(20 + step));
    double squares = 0;
    for (const float g : grads) squares += static_cast<double>(g) * g;
    const double clip = 2 / std::sqrt(squares);
    ASSERT_LT(clip, 1);
    optimizer.Step(grads.data(), 0.5, weights.data());
    int matrices = 0;
    for (const ParamInfo& param : layout_.params()) {
      if (param.kind != ParamKind::kMatrix) continue;
      ++matrices;
      const auto offset = static_cast<size_t>(param.offset);
      Table update(param.shape[0], param.shape[1]);
      for (size_t i = 0; i < update.data.size(); ++i) {
        const double g = clip * grads[offset + i];
        m[offset + i] = 0.9 * m[offset + i] + g;
        update.data[i] = g + 0.9 * m[offset + i];
      }
      update = update.rows > update.cols ? Transposed(NewtonSchulz(Transposed(update)))
                                         : NewtonSchulz(update);
      const auto longer = static_cast<double>(std::max(update.rows, update.cols));
      const double scale = kRate * 0.2 * std::sqrt(longer);
      for (size_t i = 0; i < update.data.size(); ++i) {
        double& want = w[offset + i];
        want = (1 - kRate * 0.3) * want - scale * update.data[i];
        // Each step adds the error of U, and five roundings of the two terms.
        const double bound = step * (scale * NewtonSchulzBound(update.rows, update.cols) +
                                     5 * 0x1p-24 * (std::abs(want) + kHigh * scale));
        EXPECT_NEAR(weights[offset + i], want, bound) << param.name << " step " << step;
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
