// What n independent measurements say of a mean: an estimate with its 95 % interval.
#pragma once

#include <span>

namespace darkhorse {

struct Interval {
  double value = 0;
  double low = 0, high = 0;  // 95 %
};

// The mean of n > 0 values in [0, 1], each of another problem: right or wrong, or the share of its
// samples that were. Wilson's score interval (Wilson 1927; Newcombe 1998, method 3) with the
// values' own variance s² = mean (v - mean)² in the place of p (1 - p), which no values of that
// mean exceed:
//
//   (n mean + z²/2  ±  z sqrt(n s² + z²/4)) / (n + z²),   z = 1.96
//
// Of rights and wrongs it is Wilson's. It holds the mean, lies in [0, 1], and however alike the
// values are it is as wide as Wilson's is where all n are wrong or all right: z² / (n + z²).
Interval MeanInterval(std::span<const double> values);

// The mean of independent estimates: the distances from estimate to bound are added as standard
// errors are, each side for itself (Zou and Donner 2008). Of none: 0.
Interval MeanOf(std::span<const Interval> estimates);

// Whether `a` is less than `b` by more than the 95 % interval of their difference (Newcombe 1998,
// Statistics in Medicine 17:873, method 10).
bool IsBelow(const Interval& a, const Interval& b);

}  // namespace darkhorse
