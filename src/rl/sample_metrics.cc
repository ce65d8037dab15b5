#include "rl/sample_metrics.h"

#include <algorithm>
#include <cmath>

#include "rl/metrics.h"

namespace darkhorse {

double RewardOf(const ReinforceOptions& options, const Sample& sample) {
  return sample.score.value - (sample.truncated ? options.overlong_penalty : 0.0);
}

bool HasSignal(const ReinforceOptions& options, std::span<const Sample> group) {
  bool differ = false, trained = !options.mask_truncated;
  for (const Sample& sample : group) {
    differ |= RewardOf(options, sample) != RewardOf(options, group.front());
    trained |= !sample.truncated;
  }
  return differ && trained;
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
  double terminated = 0, terminated_length = 0;
  m.min_length = 1e18;
  for (const Sample& sample : samples) {
    const double length = static_cast<double>(sample.completion.size());
    m.reward += RewardOf(options, sample) / n;
    m.accuracy += sample.score.correct / n;
    m.format_rate += WellFormed(sample.score) / n;
    m.mean_length += length / n;
    m.min_length = std::min(m.min_length, length);
    m.max_length = std::max(m.max_length, length);
    m.clipped_ratio += sample.truncated / n;
    std::span<const int32_t> text = sample.completion;
    if (!sample.truncated) {
      ++terminated;
      terminated_length += length;
      if (!text.empty()) text = text.first(text.size() - 1);
    }
    m.repeated_ratio += EndsInRepetition(text) / n;
  }
  m.mean_terminated_length = terminated > 0 ? terminated_length / terminated : 0;
  for (const Sample& sample : samples) {
    const double off = RewardOf(options, sample) - m.reward;
    m.reward_std += off * off / n;
  }
  m.reward_std = std::sqrt(m.reward_std);
}

}  // namespace darkhorse
