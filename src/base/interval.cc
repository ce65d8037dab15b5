#include "base/interval.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace darkhorse {

Interval MeanInterval(std::span<const double> values) {
  constexpr double kZ2 = 1.96 * 1.96;
  CHECK(!values.empty());
  const auto n = static_cast<double>(values.size());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  const double mean = sum / n;
  double squares = 0;  // n s²
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double centre = (sum + kZ2 / 2) / (n + kZ2);
  const double half = std::sqrt(kZ2 * (squares + kZ2 / 4)) / (n + kZ2);
  // Where a bound is the mean itself, 0 or 1, it is so in spite of rounding.
  return {mean, std::clamp(centre - half, 0.0, mean), std::clamp(centre + half, mean, 1.0)};
}

Interval MeanOf(std::span<const Interval> estimates) {
  if (estimates.empty()) return {};
  double sum = 0, below = 0, above = 0;
  for (const Interval& e : estimates) {
    sum += e.value;
    below = std::hypot(below, e.value - e.low);
    above = std::hypot(above, e.high - e.value);
  }
  const auto n = static_cast<double>(estimates.size());
  return {sum / n, (sum - below) / n, (sum + above) / n};
}

bool IsBelow(const Interval& a, const Interval& b) {
  return b.value - a.value > std::hypot(b.value - b.low, a.high - a.value);
}

}  // namespace darkhorse
