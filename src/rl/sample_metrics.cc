#include "rl/sample_metrics.h"

#include <algorithm>
#include <cmath>

#include "rl/metrics.h"

namespace darkhorse {

namespace {

double RewardOf(const ReinforceOptions& options, const Sample& sample) {
  return sample.score.value - (sample.truncated ? options.overlong_penalty : 0.0);
}

bool WasScored(const Sample& sample) { return !sample.score.failed; }

}  // namespace

std::vector<double> RewardsOf(const ReinforceOptions& options, std::span<const Sample> samples) {
  std::vector<double> rewards;
  const size_t size = static_cast<size_t>(options.group_size);
  for (size_t begin = 0; begin < samples.size(); begin += size) {
    const auto group = samples.subspan(begin, std::min(size, samples.size() - begin));
    double sum = 0, scored = 0;
    for (const Sample& sample : group) {
      if (!WasScored(sample)) continue;
      sum += RewardOf(options, sample);
      ++scored;
    }
    for (const Sample& sample : group)
      rewards.push_back(WasScored(sample) ? RewardOf(options, sample)
                                          : sum / std::max(1.0, scored));
  }
  return rewards;
}

bool RewardsDiffer(const ReinforceOptions& options, std::span<const Sample> group) {
  const auto first = std::find_if(group.begin(), group.end(), WasScored);
  return std::any_of(first, group.end(), [&](const Sample& sample) {
    return WasScored(sample) && RewardOf(options, sample) != RewardOf(options, *first);
  });
}

bool IsMasked(const ReinforceOptions& options, const Sample& sample) {
  return !WasScored(sample) || (options.mask_truncated && sample.truncated);
}

bool HasSignal(const ReinforceOptions& options, std::span<const Sample> group) {
  return RewardsDiffer(options, group) &&
         std::any_of(group.begin(), group.end(),
                     [&](const Sample& sample) { return !IsMasked(options, sample); });
}

bool EndsInRepetition(std::span<const int32_t> tokens) {
  constexpr size_t kWindow = 64, kLongestPhrase = 16;
  if (tokens.size() < kWindow) return false;
  const std::span<const int32_t> tail = tokens.last(kWindow);
  for (size_t period = 1; period <= kLongestPhrase; ++period) {
    if (std::equal(tail.begin() + static_cast<int64_t>(period), tail.end(), tail.begin()))
      return true;
  }
  return false;
}

void DescribeSamples(const ReinforceOptions& options, const std::vector<Sample>& samples,
                     ReinforceMetrics& m) {
  const double n = static_cast<double>(samples.size());
  const double scored = std::max<double>(
      1, static_cast<double>(std::count_if(samples.begin(), samples.end(), WasScored)));
  m.scored = std::any_of(samples.begin(), samples.end(), WasScored);
  // Sums, divided once: a share that is 1 is written as 1.
  double terminated = 0, terminated_length = 0, well_formed = 0, judged = 0;
  double right_leniently = 0, read_leniently = 0;
  m.min_length = 1e18;
  for (const Sample& sample : samples) {
    const double length = static_cast<double>(sample.completion.size());
    if (WasScored(sample)) {
      m.reward += RewardOf(options, sample);
      m.accuracy += sample.score.correct;
      if (sample.score.lenient) {
        right_leniently += sample.score.lenient->correct;
        ++read_leniently;
      }
      if (const std::optional<bool> form = WellFormed(sample.score)) {
        well_formed += *form;
        ++judged;
      }
    }
    m.mean_length += length;
    m.min_length = std::min(m.min_length, length);
    m.max_length = std::max(m.max_length, length);
    m.clipped_ratio += sample.truncated;
    std::span<const int32_t> text = sample.completion;
    if (!sample.truncated) {
      ++terminated;
      terminated_length += length;
      if (!text.empty()) text = text.first(text.size() - 1);
    }
    m.repeated_ratio += EndsInRepetition(text);
  }
  for (double* sum : {&m.reward, &m.accuracy}) *sum /= scored;
  if (read_leniently > 0) m.accuracy_lenient = right_leniently / read_leniently;
  if (judged > 0) m.format_rate = well_formed / judged;
  for (double* sum : {&m.mean_length, &m.clipped_ratio, &m.repeated_ratio}) *sum /= n;
  if (terminated > 0) m.mean_terminated_length = terminated_length / terminated;
  for (const Sample& sample : samples) {
    if (!WasScored(sample)) continue;
    const double off = RewardOf(options, sample) - m.reward;
    m.reward_std += off * off;
  }
  m.reward_std = std::sqrt(m.reward_std / scored);
}

}  // namespace darkhorse
