#include "kernel/ops.h"

#include "kernel/ops_testing.h"

namespace darkhorse {
namespace {

float Exp1(float x) {
  float y;
  Kernels().ops.exp(&x, &y, 1);
  return y;
}

float FromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

TEST(Exp, IsWithinTwoUlpWhereTheResultIsNormal) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 1511) {
    const float f = FromBits(static_cast<uint32_t>(bits));
    if (f > -86.98f && f < 88.72f) x.push_back(f);
  }
  for (float f = -86.98f; f < 88.72f; f += 0x1.0p-12f) x.push_back(f);
  std::vector<float> y(x.size());
  Kernels().ops.exp(x.data(), y.data(), static_cast<int64_t>(x.size()));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - exact) / ulp);
  }
  EXPECT_LE(worst, 2.0);
}

TEST(Exp, HoldsAtTheEnds) {
  EXPECT_EQ(Exp1(0.0f), 1.0f);
  EXPECT_EQ(Exp1(-0.0f), 1.0f);
  EXPECT_EQ(Exp1(-kInf), 0.0f);
  EXPECT_EQ(Exp1(-87.1f), 0.0f);
  EXPECT_EQ(Exp1(std::numeric_limits<float>::lowest()), 0.0f);
  EXPECT_GT(Exp1(-86.98f), 0.0f);
  EXPECT_LT(Exp1(88.7228f), kInf);
  EXPECT_EQ(Exp1(88.7229f), kInf);
  EXPECT_EQ(Exp1(std::numeric_limits<float>::max()), kInf);
  EXPECT_EQ(Exp1(kInf), kInf);
  EXPECT_TRUE(std::isnan(Exp1(kNan)));
}

TEST(RmsNorm, ForwardMatchesTheFormula) {
  for (const int64_t n : kSizes) {
    const TestMatrix x = Input(1, n);
    const TestMatrix w = TestMatrix::Random(2, 1, n);
    TestMatrix y(kRows, n, 1);
    std::vector<float> inv(kRows);
    RmsNormForward(x, w.data(), 1e-5f, y, inv.data());
    // mean + eps has SumUnits + 2 roundings, halved by the root; then root, quotient and two
    // products.
    const double units = (SumUnits(n) + 2) / 2 + 4;
    for (int64_t r = 0; r < kRows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x(r, i)) * x(r, i);
      const double exact =
          1 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(1e-5f));
      Near(inv[static_cast<size_t>(r)], exact, units * exact);
      for (int64_t i = 0; i < n; ++i) {
        const double expected = x(r, i) * exact * w(0, i);
        Near(y(r, i), expected, units * std::abs(expected));
      }
      EXPECT_TRUE(r + 1 == kRows || y(r, n) == kGuard);
    }
  }
}

TEST(RmsNorm, BackwardIsTheGradient) {
  for (const int64_t n : {1, 5, 16, 40}) {
    const TestMatrix x = Input(1, n);
    const TestMatrix w = TestMatrix::Random(2, 1, n);
    const TestMatrix dy = Input(3, n);
    TestMatrix y(kRows, n);
    std::vector<float> inv(kRows);
    RmsNormForward(x, w.data(), 1e-5f, y, inv.data());
    TestMatrix dx(kRows, n);
    TestMatrix dx_added(kRows, n, 0, 1.0f);
    TestMatrix dw(1, n);
    RmsNormBackward(dy, x, w.data(), inv.data(), dx, false, dw.data());
    RmsNormBackward(dy, x, w.data(), inv.data(), dx_added, true, dw.data());
    std::vector<double> dw_expected(static_cast<size_t>(n));
    std::vector<double> dw_terms(static_cast<size_t>(n));
    const double inv_units = (SumUnits(n) + 2) / 2 + 2;
    for (int64_t r = 0; r < kRows; ++r) {
      const std::vector<double> expected = ComplexStep(x.view().Row(r), n, [&](const auto& z) {
        std::complex<double> squares = 0;
        for (const auto& zi : z) squares += zi * zi;
        const auto scale =
            1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(1e-5f));
        std::complex<double> loss = 0;
        for (int64_t i = 0; i < n; ++i)
          loss += static_cast<double>(dy(r, i)) * z[i] * scale * static_cast<double>(w(0, i));
        return loss;
      });
      const double s = inv[static_cast<size_t>(r)];
      double mean_terms = 0;
      for (int64_t i = 0; i < n; ++i)
        mean_terms += std::abs(dy(r, i) * w(0, i) * x(r, i) * s) / static_cast<double>(n);
      for (int64_t i = 0; i < n; ++i) {
        // inv enters three times in the second term and once in the first.
        const double first = std::abs(s * dy(r, i) * w(0, i));
        const double second = std::abs(s * x(r, i) * s) * mean_terms;
        const double units = first * (inv_units + 4) + second * (3 * inv_units + SumUnits(n) + 8);
        Near(dx(r, i), expected[static_cast<size_t>(i)], units);
        Near(dx_added(r, i), 1.0 + expected[static_cast<size_t>(i)], units + 1 + first + second);
        const double term = dy(r, i) * x(r, i) * s;
        dw_expected[static_cast<size_t>(i)] += 2 * term;  // two calls
        dw_terms[static_cast<size_t>(i)] += 2 * std::abs(term);
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      Near(dw(0, i), dw_expected[static_cast<size_t>(i)],
           dw_terms[static_cast<size_t>(i)] * (kRows + 4));
    }
  }
}

// The weight's gradient is summed over chunks of 64 rows, each from zero, and the chunks are added
// in order.
TEST(RmsNorm, WeightGradientIsSummedByChunks) {
  constexpr int64_t kChunk = 64, kAll = 300, kN = 33;
  const TestMatrix x = TestMatrix::Random(1, kAll, kN), dy = TestMatrix::Random(2, kAll, kN);
  const TestMatrix w = TestMatrix::Random(3, 1, kN);
  const std::vector<float> inv = TestMatrix::Random(4, 1, kAll).all();
  TestMatrix dx(kAll, kN);
  TestMatrix expected = TestMatrix::Random(5, 1, kN);
  TestMatrix dw = expected;
  for (int64_t row = 0; row < kAll; row += kChunk) {
    const int64_t rows = std::min(kChunk, kAll - row);
    TestMatrix part(1, kN);
    RmsNormBackward(dy.view().Rows(row, rows), x.view().Rows(row, rows), w.data(), inv.data() + row,
                    dx.view().Rows(row, rows), false, part.data());
    for (int64_t i = 0; i < kN; ++i) expected(0, i) += part(0, i);
  }
  RmsNormBackward(dy, x, w.data(), inv.data(), dx, false, dw.data());
  EXPECT_TRUE(SameBits(dw.all(), expected.all()));
}

TEST(RmsNorm, WeightGradientGivesTheSameBitsEverywhere) {
  ExpectSameEverywhere([] {
    const TestMatrix x = TestMatrix::Random(1, 300, 33);
    const TestMatrix dy = TestMatrix::Random(2, 300, 33);
    const TestMatrix w = TestMatrix::Random(3, 1, 33);
    const std::vector<float> inv = TestMatrix::Random(4, 1, 300).all();
    TestMatrix dx(300, 33);
    TestMatrix dw = TestMatrix::Random(5, 1, 33);
    RmsNormBackward(dy, x, w.data(), inv.data(), dx, false, dw.data());
    return dw.all();
  });
}

// Halves are neighbours in another order of columns, to the bit.
TEST(Rope, HalvesRotateAsNeighboursDo) {
  for (const int64_t pairs : {1, 3, 16, 37}) {
    std::vector<double> inv_freq;
    for (int64_t j = 0; j < pairs; ++j) inv_freq.push_back(1.0 / static_cast<double>(1 + j));
    const std::vector<int32_t> position = {3, 41};
    for (const bool inverse : {false, true}) {
      const TestMatrix x = TestMatrix::Random(1, 2, 4 * pairs);
      const auto rotate = [&](RopeOrder order, TestMatrix y) {
        const std::vector<float> table = RopeTableOf(inv_freq, 1.25, order, 50);
        RopeInPlace(y, 0, 2, 2 * pairs, {2 * pairs, table.data(), 50, order}, position.data(),
                    inverse);
        return y;
      };
      // Column of pair j's member m in each order.
      const auto permute = [&](const TestMatrix& from) {
        TestMatrix to = from;
        for (int64_t r = 0; r < 2; ++r) {
          for (int64_t head = 0; head < 2; ++head) {
            for (int64_t j = 0; j < 2 * pairs; ++j)
              to(r, head * 2 * pairs + j % 2 * pairs + j / 2) = from(r, head * 2 * pairs + j);
          }
        }
        return to;
      };
      EXPECT_EQ(rotate(RopeOrder::kHalves, permute(x)).all(),
                permute(rotate(RopeOrder::kNeighbours, x)).all());
    }
  }
}

TEST(AddColumnSums, AddsRowsInOrder) {
  const TestMatrix x = TestMatrix::Random(1, 200, 131, 3);
  std::vector<float> y = TestMatrix::Random(2, 1, 131).all();
  std::vector<float> expected = y;
  for (int64_t r = 0; r < 200; ++r) {
    for (int64_t c = 0; c < 131; ++c) expected[static_cast<size_t>(c)] += x(r, c);
  }
  AddColumnSums(x, y.data());
  EXPECT_EQ(y, expected);
  AddColumnSums(x, nullptr);  // not wanted
}

TEST(Rope, RotatesPairsByPositionAndBack) {
  const std::vector<double> inv_freq = {1.0, 0.1, 0.037};
  const double mscale = 1.25;
  const std::vector<float> table = RopeTableOf(inv_freq, mscale, RopeOrder::kNeighbours, 100);
  const std::vector<int32_t> position = {0, 99, 7};
  const TestMatrix x = TestMatrix::Random(1, 3, 30, 2);
  for (const bool inverse : {false, true}) {
    TestMatrix y = x;
    RopeInPlace(y, 4, 3, 9, {6, table.data(), 100}, position.data(), inverse);
    TestMatrix expected = x;
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t head = 0; head < 3; ++head) {
        for (int64_t j = 0; j < 3; ++j) {
          const int64_t at = 4 + head * 9 + 2 * j;
          const double angle = position[static_cast<size_t>(r)] * inv_freq[static_cast<size_t>(j)] *
                               (inverse ? -1 : 1);
          const double a = x(r, at);
          const double b = x(r, at + 1);
          // table, product and sum: three roundings of each term
          const double units = 3 * mscale * (std::abs(a) + std::abs(b));
          Near(y(r, at), mscale * (a * std::cos(angle) - b * std::sin(angle)), units);
          Near(y(r, at + 1), mscale * (a * std::sin(angle) + b * std::cos(angle)), units);
          expected(r, at) = y(r, at);
          expected(r, at + 1) = y(r, at + 1);
        }
      }
    }
    EXPECT_TRUE(SameBits(y.all(), expected.all())) << "columns outside the slices changed";
  }
}

TEST(SwiGlu, ForwardAndBackwardMatchTheFormula) {
  constexpr int64_t kN = 100;
  const TestMatrix gate = TestMatrix::Random(1, kRows, kN, 0, 5.0);
  const TestMatrix up = Input(2, kN);
  const TestMatrix dy = Input(3, kN);
  TestMatrix y(kRows, kN), dgate(kRows, kN), dup(kRows, kN), sigmoid(kRows, kN);
  SwiGluForward(gate, up, y);
  SwiGluBackward(dy, gate, up, dgate, dup);
  Sigmoid(gate, sigmoid);
  const double s_units = kExpUnits + 2;  // sum, quotient
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < kN; ++i) {
      const double g = gate(r, i);
      const double u = up(r, i);
      const double d = dy(r, i);
      const double s = 1 / (1 + std::exp(-g));
      Near(sigmoid(r, i), s, s * s_units);
      Near(y(r, i), g * s * u, std::abs(g * s * u) * (s_units + 2));
      Near(dup(r, i), d * g * s, std::abs(d * g * s) * (s_units + 2));
      const float g1[] = {gate(r, i)};
      const double slope =
          ComplexStep(g1, 1, [](const auto& z) { return z[0] / (1.0 + std::exp(-z[0])); })[0];
      const double factor_units = std::abs(g) * (s * s_units + (1 - s)) + std::abs(1 + g * (1 - s));
      Near(dgate(r, i), d * u * slope,
           std::abs(d * u) * (std::abs(slope) * (s_units + 3) + s * factor_units));
    }
  }
}

TEST(Sigmoid, Saturates) {
  TestMatrix x(1, 4);
  for (int64_t i = 0; i < 4; ++i)
    x(0, i) = std::vector<float>{-200.0f, 200.0f, 0.0f, kNan}[static_cast<size_t>(i)];
  Sigmoid(x, x);
  EXPECT_EQ(x(0, 0), 0.0f);
  EXPECT_EQ(x(0, 1), 1.0f);
  EXPECT_EQ(x(0, 2), 0.5f);
  EXPECT_TRUE(std::isnan(x(0, 3)));
}

TEST(Rows, GatherAndScatterKeepTheOrder) {
  constexpr int64_t kN = 150, kTokens = 200, kTable = 17;
  const TestMatrix dy = TestMatrix::Random(1, kTokens, kN, 1);
  std::vector<int32_t> token(kTokens);
  for (size_t i = 0; i < token.size(); ++i) token[i] = static_cast<int32_t>(i * i % kTable);
  TestMatrix expected = TestMatrix::Random(2, kTable, kN, 2);
  ExpectSameEverywhere([&] {
    TestMatrix table = expected;
    ScatterAddRows(dy, token, table);
    return table.all();
  });
  TestMatrix table = expected;
  ScatterAddRows(dy, token, table);
  for (int64_t r = 0; r < kTokens; ++r) {
    for (int64_t c = 0; c < kN; ++c) expected(token[static_cast<size_t>(r)], c) += dy(r, c);
  }
  EXPECT_TRUE(SameBits(table.all(), expected.all()));

  token[3] = -1;
  TestMatrix gathered(kTokens, kN);
  GatherRows(table, token, gathered);
  for (int64_t r = 0; r < kTokens; ++r) {
    const int32_t from = token[static_cast<size_t>(r)];
    for (int64_t c = 0; c < kN; ++c) EXPECT_EQ(gathered(r, c), from < 0 ? 0.0f : table(from, c));
  }
}

// Against the definition, element by element in its order: equal bits.
TEST(Rows, CombineAndItsGradientAreTheirDefinition) {
  for (const int64_t n : {1, 17, 64, 150}) {
    for (const int64_t k : {1, 2, 3, 8}) {
      constexpr int64_t kTokens = 61;
      const TestMatrix x = TestMatrix::Random(1, kTokens * k, n, 2);
      const TestMatrix dy = TestMatrix::Random(2, kTokens, n, 1);
      const std::vector<float> weight = TestMatrix::Random(3, 1, kTokens * k).all();
      std::vector<int32_t> slot(static_cast<size_t>(kTokens * k));
      for (size_t j = 0; j < slot.size(); ++j)
        slot[j] = static_cast<int32_t>(j * 487 % slot.size());  // 487 is prime
      const TestMatrix y0 = TestMatrix::Random(4, kTokens, n, 3);
      TestMatrix weighted = y0, plain(kTokens, n, 3), dx(kTokens * k, n, 2);
      std::vector<float> dweight(slot.size());
      for (int64_t j = 0; j < kTokens * k; ++j) {
        const int64_t from = slot[static_cast<size_t>(j)];
        double dot = 0;
        for (int64_t c = 0; c < n; ++c) {
          const float product = weight[static_cast<size_t>(j)] * x(from, c);
          weighted(j / k, c) += product;
          plain(j / k, c) += x(from, c);
          dx(from, c) = weight[static_cast<size_t>(j)] * dy(j / k, c);
          dot += static_cast<double>(dy(j / k, c)) * static_cast<double>(x(from, c));
        }
        dweight[static_cast<size_t>(j)] = static_cast<float>(dot);
      }
      std::vector<float> expected = weighted.all();
      for (const auto& part : {plain.all(), dx.all(), dweight}) Append(part, &expected);
      const auto run = [&] {
        TestMatrix a = y0, b = y0, c = x;
        std::vector<float> d(slot.size());
        CombineRows(x, slot.data(), weight.data(), k, a, true);
        CombineRows(x, slot.data(), nullptr, k, b, false);
        CombineRowsBackward(dy, c, slot.data(), weight.data(), k, c, d.data());
        std::vector<float> all = a.all();
        for (const auto& part : {b.all(), c.all(), d}) Append(part, &all);
        return all;
      };
      EXPECT_TRUE(SameBits(run(), expected)) << n << " columns, " << k << " a token";
      ExpectSameEverywhere(run);
    }
  }
}

TEST(SumSquares, IsExactToDoubleAndTheSameEverywhere) {
  for (const int64_t n : {0, 1, 15, 16, 1000, 40000}) {
    const std::vector<float> x = TestMatrix::Random(1, 1, n).all();
    double expected = 0;
    for (const float f : x) expected += static_cast<double>(f) * f;
    const double units =
        0x1.0p-53 * static_cast<double>(n + 1);  // the reference's own chain is the longest
    EXPECT_LE(std::abs(SumSquares(x.data(), n) - expected), 2 * units * expected);
    ExpectSameEverywhere([&] {
      const double sum = SumSquares(x.data(), n);
      std::vector<float> bits(2);
      std::memcpy(bits.data(), &sum, sizeof(sum));
      return bits;
    });
  }
}

TEST(AdamW, MatchesTheFormula) {
  constexpr int64_t kN = 1003;
  const AdamWParams p = {.lr = 3e-3f,
                         .beta1 = 0.9f,
                         .beta2 = 0.95f,
                         .eps = 1e-8f,
                         .weight_decay = 0.1f,
                         .bias1 = 0.271f,
                         .bias2 = 0.1426f,
                         .grad_scale = 0.37f};
  const TestMatrix g = TestMatrix::Random(1, 1, kN);
  const TestMatrix w0 = TestMatrix::Random(2, 1, kN);
  const TestMatrix m0 = TestMatrix::Random(3, 1, kN);
  TestMatrix v0 = TestMatrix::Random(4, 1, kN);
  for (int64_t i = 0; i < kN; ++i) v0(0, i) *= v0(0, i);
  TestMatrix w = w0, m = m0, v = v0;
  AdamWUpdate(p, g.data(), w.data(), m.data(), v.data(), kN);
  for (int64_t i = 0; i < kN; ++i) {
    const double grad = static_cast<double>(g(0, i)) * p.grad_scale;
    const double old_part = static_cast<double>(p.beta1) * m0(0, i);
    const double new_part = (1.0 - p.beta1) * grad;
    const double mean = old_part + new_part;
    const double mean_units = std::abs(old_part) + 3 * std::abs(new_part);
    const double square = static_cast<double>(p.beta2) * v0(0, i) + (1.0 - p.beta2) * grad * grad;
    Near(m(0, i), mean, mean_units);
    Near(v(0, i), square, 5 * square);
    const double denominator = std::sqrt(square / p.bias2) + p.eps;
    const double step = mean / p.bias1 / denominator;
    // bias1's inverse and product; the root halves square's 5 + 2; root, sum, quotient
    const double step_units = mean_units / p.bias1 / denominator + std::abs(step) * (2 + 3.5 + 3);
    const double decay = static_cast<double>(p.weight_decay) * w0(0, i);
    const double expected = w0(0, i) - p.lr * (step + decay);
    Near(w(0, i), expected,
         std::abs(expected) + p.lr * (step_units + std::abs(step) + std::abs(decay)));
  }
  const TestMatrix big = TestMatrix::Random(1, 1, 50000);
  ExpectSameEverywhere([&] {
    TestMatrix w1 = big, m1 = big, v1 = big;
    for (int64_t i = 0; i < v1.cols(); ++i) v1(0, i) *= v1(0, i);
    AdamWUpdate(p, big.data(), w1.data(), m1.data(), v1.data(), big.cols());
    std::vector<float> all = w1.all();
    Append(m1.all(), &all);
    Append(v1.all(), &all);
    return all;
  });
}

}  // namespace
}  // namespace darkhorse
