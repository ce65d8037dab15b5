#include "infer/sampler.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/error.h"

namespace darkhorse {
namespace {

constexpr size_t kMassBlock = 64;

// Sum of the probabilities begin … end, in four chains so that additions overlap.
template <typename Probability>
double Mass(size_t begin, size_t end, const Probability& probability) {
  double sum[4] = {};
  size_t i = begin;
  for (; i + 4 <= end; i += 4) {
    for (size_t j = 0; j < 4; ++j) sum[j] += probability(i + j);
  }
  for (; i < end; ++i) sum[0] += probability(i);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// First index at which the running sum exceeds u * total: the block first, then the index in it.
template <typename Probability>
size_t PickByMass(size_t count, double u, const Probability& probability) {
  const auto block_end = [&](size_t begin) { return std::min(begin + kMassBlock, count); };
  double total = 0;
  for (size_t b = 0; b < count; b += kMassBlock) total += Mass(b, block_end(b), probability);
  const double wanted = u * total;
  double sum = 0;
  for (size_t b = 0; b < count; b += kMassBlock) {
    const double with_block = sum + Mass(b, block_end(b), probability);
    for (size_t i = b; i < block_end(b) && with_block > wanted; ++i) {
      sum += probability(i);
      if (sum > wanted && probability(i) > 0) return i;
    }
    sum = with_block;
  }
  // Rounding left the sum a hair short.
  size_t last = count - 1;
  while (last > 0 && probability(last) <= 0) --last;
  return last;
}

// Those that top_k, top_p and min_p leave, the most probable first. Of a large vocabulary few are
// probable: only those above a bound are sorted, which sinks until it lies below all that stay.
std::vector<int32_t> MostProbable(std::span<const float> p, const SamplingParams& params) {
  constexpr float kSink = 1.0f / 256;
  const auto at = [p](size_t i) { return static_cast<double>(p[i]); };
  const size_t top_k =
      params.top_k > 0 ? std::min(p.size(), static_cast<size_t>(params.top_k)) : p.size();
  const double all = Mass(0, p.size(), at);
  const float best = *std::max_element(p.begin(), p.end());
  // Whatever lies below goes in the end, but may count in the mass of the top_k.
  const float least = params.top_k > 0 && params.top_p < 1 ? 0 : params.min_p * best;
  std::vector<int32_t> order;
  for (float bound = best * kSink;; bound *= kSink) {
    bound = std::max(bound, least);
    order.clear();
    double mass = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] < bound) continue;
      order.push_back(static_cast<int32_t>(i));
      mass += at(i);
    }
    if (order.size() >= top_k || bound <= least) break;
    // Sums in another order may round differently.
    if (params.top_k == 0 && mass * (1 - 1e-9) >= params.top_p * all) break;
  }
  const auto sorted = order.begin() + static_cast<int64_t>(std::min(order.size(), top_k));
  std::partial_sort(order.begin(), sorted, order.end(), [p](int32_t a, int32_t b) {
    const float pa = p[static_cast<size_t>(a)], pb = p[static_cast<size_t>(b)];
    return pa != pb ? pa > pb : a < b;
  });
  order.erase(sorted, order.end());

  const auto in_order = [&](size_t i) { return at(static_cast<size_t>(order[i])); };
  if (params.top_p < 1) {
    double kept = all;
    if (params.top_k > 0) {
      kept = 0;
      for (size_t i = 0; i < order.size(); ++i) kept += in_order(i);
    }
    double sum = 0;
    size_t n = 0;
    while (n < order.size() && sum < params.top_p * kept) sum += in_order(n++);
    order.resize(std::max<size_t>(n, 1));
  }
  while (order.size() > 1 && p[static_cast<size_t>(order.back())] < params.min_p * best)
    order.pop_back();
  return order;
}

}  // namespace

void ListFields(SamplingParams& params, FieldList& list) {
  list.Add("temperature", params.temperature, "0: the most probable token");
  list.Add("top_k", params.top_k, "keep the k most probable tokens; 0: all");
  list.Add("top_p", params.top_p, "keep the most probable of this mass");
  list.Add("min_p", params.min_p, "keep those this near to the most probable one");
  list.Add("repetition_penalty", params.repetition_penalty,
           "divides the logits of tokens in prompt and text; 1: off");
  list.Add("presence_penalty", params.presence_penalty, "off the logits of tokens in the text");
  list.Add("frequency_penalty", params.frequency_penalty, "the same, for each time they are there");
}

void Validate(const SamplingParams& params) {
  const auto& [temperature, top_k, top_p, min_p, repetition, presence, frequency] = params;
  // Below, its inverse is beyond what a logit can be multiplied with.
  if (!(temperature == 0 || (temperature >= 1e-6f && temperature <= 100)))
    FailUsage("temperature is {}; it must be 0 or in [1e-6, 100]", temperature);
  if (top_k < 0) FailUsage("top_k is {}; it must be 0 (off) or positive", top_k);
  if (!(top_p > 0 && top_p <= 1)) FailUsage("top_p is {}; it must be in (0, 1]", top_p);
  if (!(min_p >= 0 && min_p < 1)) FailUsage("min_p is {}; it must be in [0, 1)", min_p);
  if (!(repetition >= 0.01f && repetition <= 100))
    FailUsage("repetition_penalty is {}; it must be in [0.01, 100]", repetition);
  if (!(presence >= -100 && presence <= 100))
    FailUsage("presence_penalty is {}; it must be in [-100, 100]", presence);
  if (!(frequency >= -100 && frequency <= 100))
    FailUsage("frequency_penalty is {}; it must be in [-100, 100]", frequency);
}

void PenalizeLogits(std::span<float> logits, const SamplingParams& params,
                    std::span<const int32_t> prompt, std::span<const int32_t> completion) {
  // How often each token was said; of the prompt's own, 0 times.
  std::unordered_map<int32_t, int64_t> said;
  if (params.repetition_penalty != 1) {
    for (const int32_t token : prompt) said.try_emplace(token, 0);
  }
  for (const int32_t token : completion) ++said[token];
  for (const auto& [token, times] : said) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    if (times == 0) continue;
    logit -= params.presence_penalty + params.frequency_penalty * static_cast<float>(times);
  }
}

int32_t SampleToken(std::span<const float> p, const SamplingParams& params, double u) {
  CHECK(!p.empty());
  if (params.temperature == 0) {
    return static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin());
  }
  if (params.top_k == 0 && params.top_p >= 1 && params.min_p <= 0) {
    return static_cast<int32_t>(
        PickByMass(p.size(), u, [&](size_t i) { return static_cast<double>(p[i]); }));
  }
  const std::vector<int32_t> kept = MostProbable(p, params);
  return kept[PickByMass(kept.size(), u, [&](size_t i) {
    return static_cast<double>(p[static_cast<size_t>(kept[i])]);
  })];
}

}  // namespace darkhorse
