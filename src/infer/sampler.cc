#include "infer/sampler.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace darkhorse {
namespace {

// First index at which the running sum exceeds u * total.
template <typename Probability>
size_t PickByMass(size_t count, double u, const Probability& probability) {
  double total = 0;
  for (size_t i = 0; i < count; ++i) total += probability(i);
  const double wanted = u * total;
  double sum = 0;
  size_t last_possible = 0;
  for (size_t i = 0; i < count; ++i) {
    if (probability(i) <= 0) continue;
    last_possible = i;
    sum += probability(i);
    if (sum > wanted) return i;
  }
  return last_possible;  // rounding left the sum a hair short
}

}  // namespace

void SamplingParams::Validate() const {
  if (!(temperature >= 0 && temperature <= 100))
    FailUsage("temperature is {}; it must be in [0, 100]", temperature);
  if (top_k < 0) FailUsage("top_k is {}; it must be 0 (off) or positive", top_k);
  if (!(top_p > 0 && top_p <= 1)) FailUsage("top_p is {}; it must be in (0, 1]", top_p);
  if (!(min_p >= 0 && min_p < 1)) FailUsage("min_p is {}; it must be in [0, 1)", min_p);
}

int32_t SampleToken(std::span<const float> p, const SamplingParams& params, double u) {
  CHECK(!p.empty());
  const size_t best = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
  if (params.temperature == 0) return static_cast<int32_t>(best);
  if (params.top_k == 0 && params.top_p >= 1 && params.min_p <= 0) {
    return static_cast<int32_t>(
        PickByMass(p.size(), u, [&](size_t i) { return static_cast<double>(p[i]); }));
  }
  std::vector<int32_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  const auto more_probable = [&](int32_t a, int32_t b) {
    const float pa = p[static_cast<size_t>(a)], pb = p[static_cast<size_t>(b)];
    return pa != pb ? pa > pb : a < b;
  };
  std::sort(order.begin(), order.end(), more_probable);
  size_t keep = params.top_k > 0 ? std::min<size_t>(order.size(), static_cast<size_t>(params.top_k))
                                 : order.size();
  double kept_mass = 0;
  for (size_t i = 0; i < keep; ++i) kept_mass += p[static_cast<size_t>(order[i])];
  if (params.top_p < 1) {
    double sum = 0;
    size_t n = 0;
    while (n < keep && sum < params.top_p * kept_mass) sum += p[static_cast<size_t>(order[n++])];
    keep = std::max<size_t>(n, 1);
  }
  while (keep > 1 && p[static_cast<size_t>(order[keep - 1])] < params.min_p * p[best]) --keep;
  return order[PickByMass(
      keep, u, [&](size_t i) { return static_cast<double>(p[static_cast<size_t>(order[i])]); })];
}

}  // namespace darkhorse
