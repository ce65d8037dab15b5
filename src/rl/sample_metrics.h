// What a step's samples look like, as numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/metrics.h"
#include "rl/options.h"
#include "rl/rollout.h"

namespace darkhorse {

// What each sample earns: its score, less the penalty for running out of room. Samples lie group by
// group; one whose scorer failed takes the mean of its group's others (0 if there are none): it has
// the advantage 0 and moves nothing.
std::vector<double> RewardsOf(const ReinforceOptions& options, std::span<const Sample> samples);

// Whether the rewards of a group's scored samples differ.
bool RewardsDiffer(const ReinforceOptions& options, std::span<const Sample> group);

// Contributes nothing to the loss.
bool IsMasked(const ReinforceOptions& options, const Sample& sample);

// Whether a group's rewards differ and a sample that they move is trained on.
bool HasSignal(const ReinforceOptions& options, std::span<const Sample> group);

// Whether the last 64 tokens repeat a phrase of at most 16: each equals the one a period before it.
// A closing end mark is not the caller's to pass.
bool EndsInRepetition(std::span<const int32_t> tokens);

// Reward, accuracy and format of those that could be scored; lengths, repetition.
void DescribeSamples(const ReinforceOptions& options, const std::vector<Sample>& samples,
                     ReinforceMetrics& metrics);

}  // namespace darkhorse
