// What the tests of kernel/ops.h share: sizes, fixed inputs, bounds of rounding, gradients.
#pragma once

#include <complex>
#include <limits>
#include <vector>

#include "kernel/kernel_testing.h"
#include "kernel/ops.h"

// Bounds count roundings: kUnit = 2^-24 each, first order; the 1.01 that Near allows covers the
// second order. A sum of n terms in sixteen partial sums and a tree of four levels adds at most
// n/16 + 5 roundings to every term.
namespace darkhorse {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline const std::vector<int64_t> kSizes = {1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 100, 257};
inline constexpr double kExpUnits = 4;  // Exp is within 2 ulp, an ulp is at most 2 units

inline double SumUnits(int64_t n) { return static_cast<double>(n) / 16 + 5; }

inline void Near(double value, double expected, double units) {
  EXPECT_LE(std::abs(value - expected), 1.01 * kUnit * units) << value << " for " << expected;
}

inline constexpr int64_t kRows = 37;

inline TestMatrix Input(uint64_t seed, int64_t cols) {
  return TestMatrix::Random(seed, kRows, cols, 3, 2.0);
}

inline std::vector<int32_t> Targets(int64_t cols) {
  std::vector<int32_t> target(kRows);
  for (int64_t r = 0; r < kRows; ++r)
    target[static_cast<size_t>(r)] = static_cast<int32_t>(r * 7 % cols);
  return target;
}

inline std::vector<float> RowFloats(uint64_t seed) {
  return TestMatrix::Random(seed, 1, kRows).all();
}

inline std::vector<float> RopeTableOf(const std::vector<double>& inv_freq, double mscale,
                                      RopeOrder order, int64_t positions) {
  std::vector<float> table(static_cast<size_t>(positions) * inv_freq.size() * 2);
  RopeCosSin(inv_freq, mscale, order, 0, positions, table.data());
  return table;
}

// The gradient of f at x by the complex step: f'(x_i) = Im f(x + i h e_i) / h, exact to double
// rounding.
template <typename F>
std::vector<double> ComplexStep(const float* x, int64_t n, const F& f) {
  constexpr double kStep = 1e-30;
  std::vector<std::complex<double>> z(x, x + n);
  std::vector<double> gradient;
  for (auto& zi : z) {
    zi += std::complex<double>(0, kStep);
    gradient.push_back(f(z).imag() / kStep);
    zi = zi.real();
  }
  return gradient;
}

}  // namespace darkhorse
