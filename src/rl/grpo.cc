#include "rl/grpo.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace darkhorse {
namespace {

double Mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

double Deviation(std::span<const double> x) {
  const double mean = Mean(x);
  double sum = 0;
  for (const double v : x) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(x.size()));
}

double TokenWeight(const GrpoOptions& options, const GrpoScale& scale, size_t length) {
  if (options.normalization == "token")
    return 1.0 / static_cast<double>(std::max<int64_t>(1, scale.tokens));
  const double samples = static_cast<double>(std::max<int64_t>(1, scale.samples));
  const double own = options.normalization == "sequence" ? static_cast<double>(length)
                                                         : static_cast<double>(scale.max_tokens);
  return 1.0 / (samples * own);
}

}  // namespace

void GrpoMetrics::Add(const GrpoMetrics& other) {
  loss += other.loss;
  kl += other.kl;
  teacher_kl += other.teacher_kl;
  tokens += other.tokens;
  clipped_low += other.clipped_low;
  clipped_high += other.clipped_high;
  ratio_sum += other.ratio_sum;
  sampling_gap = std::max(sampling_gap, other.sampling_gap);
}

GrpoMetrics GrpoSampleLoss(const GrpoOptions& o, const GrpoScale& scale, const GrpoSample& s,
                           std::span<float> dlogp, std::span<float> dentropy) {
  const size_t n = s.logp.size();
  CHECK(s.logp_old.size() == n && s.logp_sample.size() == n && dlogp.size() == n &&
        dentropy.size() == n && (o.kl_beta == 0 || s.masked || s.logp_ref.size() == n) &&
        (s.logp_teacher.empty() || s.logp_teacher.size() == n));
  GrpoMetrics metrics;
  for (size_t t = 0; t < n; ++t) {
    metrics.sampling_gap = std::max(
        metrics.sampling_gap, std::abs(static_cast<double>(s.logp_old[t]) - s.logp_sample[t]));
  }
  std::fill(dlogp.begin(), dlogp.end(), 0.0f);
  std::fill(dentropy.begin(), dentropy.end(), 0.0f);
  if (s.masked || n == 0) return metrics;

  double mean_log_ratio = 0;
  for (size_t t = 0; t < n; ++t)
    mean_log_ratio += (static_cast<double>(s.logp[t]) - s.logp_old[t]) / static_cast<double>(n);
  const bool sequence = o.ratio == "sequence";
  const double w = TokenWeight(o, scale, n);
  // d(loss)/d(log ratio), gathered here and spread evenly in the sequence form, where every token
  // moves the same ratio.
  double shared = 0;
  for (size_t t = 0; t < n; ++t) {
    const double logp = s.logp[t];
    const double r = std::exp(sequence ? mean_log_ratio : logp - s.logp_old[t]);
    double a = s.advantage;
    if (!s.logp_teacher.empty()) {
      const double above = static_cast<double>(s.logp_teacher[t]) - s.logp_old[t];
      a += s.teacher_weight * above;
      metrics.teacher_kl -= above;
    }
    // How far the sampler's distribution was from the trainer's, truncated; 1 where they are the
    // same arithmetic.
    const double importance =
        o.importance_cap > 0
            ? std::min(std::exp(static_cast<double>(s.logp_old[t]) - s.logp_sample[t]),
                       o.importance_cap)
            : 1.0;
    double gradient = 0;  // d(loss)/d(log ratio) or, for cispo and reinforce, d(loss)/d(logp)
    bool through_ratio = false;
    if (o.objective == "clip") {
      const double clipped = std::clamp(r, 1 - o.clip_low, 1 + o.clip_high);
      const bool active = r * a <= clipped * a;  // the min takes the unclipped branch
      metrics.loss -= w * importance * std::min(r * a, clipped * a);
      gradient = active ? -w * importance * r * a : 0.0;
      through_ratio = true;
      metrics.clipped_low += r < 1 - o.clip_low && a < 0;
      metrics.clipped_high += r > 1 + o.clip_high && a > 0;
    } else if (o.objective == "cispo") {
      const double weight = std::min(r, 1 + o.clip_high);
      metrics.loss -= w * importance * weight * a * logp;
      gradient = -w * importance * weight * a;
      metrics.clipped_high += r > 1 + o.clip_high && a != 0;
    } else {
      metrics.loss -= w * importance * a * logp;
      gradient = -w * importance * a;
    }
    if (sequence && through_ratio) {
      shared += gradient / static_cast<double>(n);
      gradient = 0;
    }
    if (o.kl_beta > 0) {
      const double d = static_cast<double>(s.logp_ref[t]) - logp;
      const double k3 = std::exp(d) - d - 1;
      metrics.kl += k3;
      metrics.loss += o.kl_beta * w * k3;
      gradient += o.kl_beta * w * (1 - std::exp(d));
    }
    dlogp[t] = static_cast<float>(gradient);
    dentropy[t] = static_cast<float>(-o.entropy_bonus * w);
    metrics.ratio_sum += r;
    ++metrics.tokens;
  }
  if (shared != 0) {
    for (float& d : dlogp) d = static_cast<float>(d + shared);
  }
  return metrics;
}

std::vector<double> Advantages(const GrpoOptions& o, std::span<const double> rewards,
                               int64_t group_size) {
  CHECK(group_size >= 1 && static_cast<int64_t>(rewards.size()) % group_size == 0);
  constexpr double kEpsilon = 1e-6;  // a deviation below this is rounding
  std::vector<double> advantages(rewards.size());
  for (size_t begin = 0; begin < rewards.size(); begin += static_cast<size_t>(group_size)) {
    const auto group = rewards.subspan(begin, static_cast<size_t>(group_size));
    const double mean = Mean(group);
    const double deviation = Deviation(group);
    const double divisor = o.advantage == "mean_std" && deviation > kEpsilon ? deviation : 1.0;
    for (size_t i = 0; i < group.size(); ++i)
      advantages[begin + i] = deviation > kEpsilon ? (group[i] - mean) / divisor : 0.0;
  }
  if (o.advantage == "batch_std" && !rewards.empty()) {
    const double deviation = Deviation(rewards);
    if (deviation > kEpsilon) {
      for (double& a : advantages) a /= deviation;
    }
  }
  return advantages;
}

}  // namespace darkhorse
