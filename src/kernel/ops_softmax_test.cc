// Softmax, log-softmax and their gradient beside their formulas.
#include <algorithm>

#include "kernel/ops.h"
#include "kernel/ops_testing.h"

namespace darkhorse {
namespace {

// log-softmax of a row in double, with the sums that its error bounds need.
struct SoftmaxRow {
  SoftmaxRow(const float* x, int64_t n) {
    const double max = *std::max_element(x, x + n);
    for (int64_t i = 0; i < n; ++i) d.push_back(static_cast<double>(x[i]) - max);
    double sum = 0;
    for (const double di : d) sum += std::exp(di);
    log_sum = std::log(sum);
    for (const double di : d) {
      p.push_back(std::exp(di - log_sum));
      if (p.back() == 0) continue;
      entropy -= p.back() * (di - log_sum);
      mean_d += p.back() * std::abs(di);
      mean_d2 += p.back() * di * di;
    }
    // each exp: its own units and the rounding of x - max; then the sum
    sum_units = kExpUnits + mean_d + SumUnits(n);
    entropy_units =
        (sum_units + kExpUnits + SumUnits(n) + 4) * mean_d + mean_d2 + sum_units + entropy;
  }
  std::vector<double> d, p;
  double log_sum = 0, entropy = 0, mean_d = 0, mean_d2 = 0, sum_units = 0, entropy_units = 0;
};

TEST(Softmax, MatchesTheFormula) {
  for (const int64_t n : kSizes) {
    const TestMatrix x = TestMatrix::Random(1, kRows, n, 3, 4.0);
    TestMatrix y(kRows, n, 1);
    SoftmaxRows(x, y);
    for (int64_t r = 0; r < kRows; ++r) {
      const SoftmaxRow row(x.view().Row(r), n);
      for (int64_t i = 0; i < n; ++i) {
        const double p = row.p[static_cast<size_t>(i)];
        Near(y(r, i), p,
             p * (kExpUnits + std::abs(row.d[static_cast<size_t>(i)]) + row.sum_units + 1));
      }
    }
  }
}

TEST(LogSoftmax, MatchesTheFormula) {
  for (const int64_t n : {1, 2, 16, 33, 257, 5000}) {
    const TestMatrix x = TestMatrix::Random(1, kRows, n, 3, 4.0);
    const std::vector<int32_t> target = Targets(n);
    std::vector<float> logp(kRows), logp_only(kRows), entropy(kRows);
    LogSoftmaxRows(x, target.data(), logp.data(), entropy.data());
    LogSoftmaxRows(x, target.data(), logp_only.data(), nullptr);
    EXPECT_TRUE(SameBits(logp, logp_only));
    for (size_t r = 0; r < kRows; ++r) {
      const SoftmaxRow row(x.view().Row(static_cast<int64_t>(r)), n);
      const double expected = row.d[static_cast<size_t>(target[r])] - row.log_sum;
      Near(logp[r], expected, row.sum_units + std::abs(expected));
      Near(entropy[r], row.entropy, row.entropy_units);
    }
  }
}

TEST(LogSoftmax, ExcludedLogitsAreHarmlessAndNanIsNot) {
  TestMatrix x(3, 3);
  const float rows[3][3] = {{1.0f, -kInf, 1.0f}, {0.0f, kNan, 0.0f}, {-kInf, -kInf, -kInf}};
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 3; ++c) x(r, c) = rows[r][c];
  }
  const std::vector<int32_t> target = {0, 0, 0};
  std::vector<float> logp(3), entropy(3);
  LogSoftmaxRows(x, target.data(), logp.data(), entropy.data());
  EXPECT_FLOAT_EQ(logp[0], -0.69314718f);
  EXPECT_FLOAT_EQ(entropy[0], 0.69314718f);
  EXPECT_TRUE(std::isnan(logp[1]) && std::isnan(entropy[1]));
  EXPECT_TRUE(std::isnan(logp[2]));
  const std::vector<float> ones = {1, 1, 1};
  LogSoftmaxBackwardRows(x, target.data(), ones.data(), ones.data(), nullptr);
  EXPECT_EQ(x(0, 1), 0.0f);
  EXPECT_FLOAT_EQ(x(0, 0), 0.5f);
  EXPECT_TRUE(std::isnan(x(1, 0)));
}

TEST(LogSoftmax, BackwardIsTheGradient) {
  for (const int64_t n : {1, 2, 16, 45}) {
    const TestMatrix x = TestMatrix::Random(1, kRows, n, 3, 3.0);
    const std::vector<int32_t> target = Targets(n);
    const std::vector<float> dlogp = RowFloats(5);
    const std::vector<float> dentropy = RowFloats(6);
    for (const bool with_entropy : {false, true}) {
      TestMatrix dx = x;
      std::vector<float> logp(kRows), logp_expected(kRows);
      LogSoftmaxRows(x, target.data(), logp_expected.data(), nullptr);
      LogSoftmaxBackwardRows(dx, target.data(), dlogp.data(),
                             with_entropy ? dentropy.data() : nullptr, logp.data());
      EXPECT_TRUE(SameBits(logp, logp_expected));
      for (int64_t r = 0; r < kRows; ++r) {
        const size_t t = static_cast<size_t>(target[static_cast<size_t>(r)]);
        const double a = dlogp[static_cast<size_t>(r)];
        const double b = with_entropy ? dentropy[static_cast<size_t>(r)] : 0;
        const std::vector<double> expected = ComplexStep(x.view().Row(r), n, [&](const auto& z) {
          std::complex<double> sum = 0, weighted = 0;
          for (const auto& zi : z) sum += std::exp(zi);
          const auto log_sum = std::log(sum);
          for (const auto& zi : z) weighted += std::exp(zi - log_sum) * (zi - log_sum);
          return a * (z[t] - log_sum) - b * weighted;
        });
        const SoftmaxRow row(x.view().Row(r), n);
        for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
          const double parts = std::abs(row.d[i]) + row.log_sum + row.entropy;
          const double slope = std::abs(a) + std::abs(b) * parts;
          const double slope_units = std::abs(b) * (row.entropy_units + 4 * parts) + slope;
          const double p_units = kExpUnits + std::abs(row.d[i]) + row.sum_units + 3;
          const double target_units = i == t ? std::abs(expected[i]) : 0;
          Near(dx(r, static_cast<int64_t>(i)), expected[i],
               row.p[i] * (slope_units + p_units * slope) + target_units);
        }
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
