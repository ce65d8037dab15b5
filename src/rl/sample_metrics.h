// What a step's samples look like, as numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/recipe.h"
#include "rl/rollout.h"

namespace darkhorse {

struct ReinforceMetrics;

// What a sample earns: its score, less the penalty for running out of room.
double RewardOf(const ReinforceOptions& options, const Sample& sample);

// Whether a group's rewards differ and a sample that they move is trained on.
bool HasSignal(const ReinforceOptions& options, std::span<const Sample> group);

// Whether the last 64 tokens repeat a phrase of at most 16: each equals the one a period before it.
// A closing end mark is not the caller's to pass.
bool EndsInRepetition(std::span<const int32_t> tokens);

// Reward, accuracy, format, lengths, repetition.
void DescribeSamples(const ReinforceOptions& options, const std::vector<Sample>& samples,
                     ReinforceMetrics& metrics);

}  // namespace darkhorse
