#include "kernel/gemm_quant.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"
#include "kernel/linear.h"

namespace darkhorse {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr Format kFormats[] = {Format::kQ8, Format::kQ4};

std::string Name(Format format) { return format == Format::kQ8 ? "q8" : "q4"; }

// Weights as a product reads them, with memory of their own that held something else before.
class Quantised {
 public:
  Quantised(Format format, ConstMatrix w)
      : memory_(QuantBytes(format, w.rows, w.cols) / 4 + 16),
        operand_{format, w.rows, w.cols, memory_.data()} {
    std::fill(memory_.begin(), memory_.end(), kGuard);
    QuantizeWeights(format, w, memory_.data());
  }
  const QuantOperand& operand() const { return operand_; }
  float behind() const { return memory_.data()[memory_.size() - 16]; }

 private:
  FloatBuffer memory_;
  QuantOperand operand_;
};

// Which NaN an instruction gives is not defined.
std::vector<float> Defined(std::vector<float> x) {
  for (float& v : x) v = std::isnan(v) ? kNan : v;
  return x;
}

struct Problem {
  TestMatrix x, w, start;
};

Problem MakeProblem(int64_t m, int64_t n, int64_t k, int64_t gap) {
  return {TestMatrix::Random(1, m, k, gap), TestMatrix::Random(2, n, k, gap, 0.05),
          TestMatrix::Random(3, m, n, gap)};
}

void ExpectDefinition(const Problem& p) {
  for (const Format format : kFormats) {
    const Quantised w(format, p.w);
    EXPECT_EQ(w.behind(), kGuard);
    for (const bool accumulate : {false, true}) {
      TestMatrix expected = p.start;
      QuantGemmReference(format, p.x, p.w, expected.view(), accumulate);
      WithEveryQuantLoop([&] {
        TestMatrix c = p.start;
        QuantGemm(p.x, w.operand(), c.view(), accumulate);
        EXPECT_TRUE(SameBits(Defined(c.all()), Defined(expected.all())))
            << Name(format) << " " << p.x.rows() << "x" << p.w.rows() << "x" << p.x.cols()
            << (accumulate ? " accumulated" : "");
      });
    }
  }
}

// Around the blocks (64 of k, 16 rows and columns), the groups (4 panels, 8 blocks), the register
// tiles of every instruction set, and nothing at all.
TEST(QuantGemmTest, EveryInstructionSetIsTheDefinition) {
  struct Shape {
    int64_t m, n, k;
  };
  std::vector<Shape> shapes = {
      {0, 5, 3},     {5, 0, 3},     {3, 5, 0},     {1, 1, 1},      {1, 65, 63},  {16, 64, 64},
      {32, 32, 65},  {33, 49, 31},  {17, 130, 95}, {20, 16, 600},  {21, 15, 70}, {7, 1057, 36},
      {270, 20, 70}, {1, 34, 1100}, {2, 40, 513},  {40, 70, 1030}, {1030, 3, 5}, {16, 129, 1090}};
  for (int64_t m = 1; m <= 18; ++m) shapes.push_back({m, 1 + (m * 37) % 90, 1 + (m * 23) % 150});
  for (const Shape& s : shapes) ExpectDefinition(MakeProblem(s.m, s.n, s.k, s.m % 3));
}

// Sums as large as they become, of one sign; scales at the ends of f16; blocks of zeros, of a
// constant, of what counts as zero.
TEST(QuantGemmTest, ExtremesAreTheDefinition) {
  Problem p = MakeProblem(20, 40, 256, 1);
  for (int64_t k = 0; k < 256; ++k) {
    for (const int64_t i : {0, 1, 17}) p.x(i, k) = i == 1 ? -1.0f : 1.0f;
    for (const int64_t j : {0, 1, 33}) p.w(j, k) = j == 1 ? -0.5f : 0.5f;
    p.w(2, k) = k % 64 == 0 ? -1.0f : 1.0f;  // q4: 15 everywhere else
    p.w(3, k) *= 1e-6f;
    p.w(4, k) *= 1e5f;
    p.w(5, k) *= 1e-9f;
    p.x(2, k) *= 0x1p-100f;
    p.x(3, k) *= 0x1p-110f;
    p.x(4, k) *= 0x1p100f;
    p.w(6, k) = 0;
    p.x(5, k) = k < 64 ? 0.0f : p.x(5, k);
  }
  ExpectDefinition(p);
}

TEST(QuantGemmTest, WhatIsNotFiniteIsNan) {
  for (const float bad : {kInfinity, -kInfinity, kNan}) {
    Problem p = MakeProblem(20, 33, 130, 0);
    p.x(3, 70) = bad;
    p.w(17, 129) = bad;
    ExpectDefinition(p);
    for (const Format format : kFormats) {
      TestMatrix c(20, 33);
      QuantGemm(p.x, Quantised(format, p.w).operand(), c.view());
      for (int64_t i = 0; i < 20; ++i) {
        for (int64_t j = 0; j < 33; ++j) EXPECT_EQ(std::isnan(c(i, j)), i == 3 || j == 17);
      }
    }
  }
  // Finite, but with a scale that f16 does not hold.
  Problem p = MakeProblem(2, 3, 64, 0);
  p.w(1, 5) = 3e38f;
  p.w(2, 5) = -3e38f;
  ExpectDefinition(p);
}

TEST(QuantGemmTest, GroupsAreProductsOfTheirOwn) {
  const std::vector<int64_t> begin = {0, 0, 1, 18, 18, 51, 57};
  const int64_t rows = begin.back(), n = 50, k = 200;
  const TestMatrix x = TestMatrix::Random(1, rows, k, 2);
  for (const Format format : kFormats) {
    std::vector<TestMatrix> matrices;
    std::vector<Quantised> quantised;
    std::vector<Weight> weights;
    TestMatrix expected(rows, n, 1);
    for (size_t g = 0; g + 1 < begin.size(); ++g) {
      matrices.push_back(TestMatrix::Random(10 + g, n, k));
      quantised.emplace_back(format, matrices.back());
      const int64_t count = begin[g + 1] - begin[g];
      QuantGemmReference(format, x.view().Rows(begin[g], count), matrices.back(),
                         expected.view().Rows(begin[g], count), false);
    }
    for (size_t g = 0; g < matrices.size(); ++g)
      weights.push_back({matrices[g].view(), format, quantised[g].operand().data});
    WithEveryQuantLoop([&] {
      TestMatrix c(rows, n, 1);
      GroupedForward(x, begin, weights, c.view());
      EXPECT_TRUE(SameBits(c.all(), expected.all())) << Name(format);
    });
  }
}

// The bound that gemm_quant.h gives, and the product as that of the numbers that the integers stand
// for. Each block rounds the sum once or twice, of magnitudes below M = the sum of
// |x| (|sw wq| + |mw|), and of its terms sx sw, sx float(sum) and here the three of the numbers.
TEST(QuantGemmTest, NumbersAreNearAndTheProductIsTheirs) {
  const int64_t m = 3, n = 40, k = 320, blocks = k / kQuantBlock;
  Problem p = MakeProblem(m, n, k, 0);
  for (int64_t i = 0; i < k; ++i) {
    p.w(0, i) *= 1e-5f;  // f16's denormals
    p.w(1, i) += 3;
  }
  const std::vector<float> x = QuantisedActivations(p.x);
  for (const Format format : kFormats) {
    const std::vector<float> w = QuantisedWeights(format, p.w);
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t b = 0; b < k; b += kQuantBlock) {
        const float* numbers = p.w.data() + j * k + b;
        const auto [least, greatest] = std::minmax_element(numbers, numbers + kQuantBlock);
        const double a = std::max(std::fabs(*least), std::fabs(*greatest));
        const bool q4 = format == Format::kQ4;
        const double d = (q4 ? 2 : 1) * 0x1p-11 * a + 0x1p-18;
        const double step = q4 ? (static_cast<double>(*greatest) - *least) / 15 : a / 127;
        for (int64_t i = 0; i < kQuantBlock; ++i)
          EXPECT_NEAR(w[static_cast<size_t>(j * k + b + i)], numbers[i], step / 2 + 2 * d);
      }
    }
    TestMatrix c(m, n);
    QuantGemm(p.x, Quantised(format, p.w).operand(), c.view());
    for (int64_t j = 0; j < n; ++j) {
      double least = 0;  // no |mw| is above
      for (int64_t l = 0; l < k && format == Format::kQ4; ++l)
        least = std::max(least, 1.001 * std::fabs(static_cast<double>(p.w(j, l))));
      for (int64_t i = 0; i < m; ++i) {
        double sum = 0, magnitude = 0;
        for (int64_t l = 0; l < k; ++l) {
          const double a = x[static_cast<size_t>(i * k + l)], b = w[static_cast<size_t>(j * k + l)];
          sum += a * b;
          magnitude += std::fabs(a) * (std::fabs(b) + 2 * least);
        }
        EXPECT_NEAR(c(i, j), sum, static_cast<double>(2 * blocks + 5) * kUnit * magnitude);
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
