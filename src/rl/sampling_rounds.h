// A step's groups are sampled in rounds: the first has as many as the step wants, each further one
// replaces those groups of the round before it that teach nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/interrupt.h"
#include "rl/rollout.h"

namespace darkhorse {

struct DrawnProblem {
  Problem problem;
  size_t part = 0;  // of the mixture
};

struct SamplingRound {
  std::vector<DrawnProblem> drawn;
  std::vector<Sample> samples;  // by problem, as many of each as the rollout's options say; scored
};

struct RoundsWork {
  const Prompter& prompter;
  const std::vector<int32_t>& stop_tokens;
  Environment& environment;
  RolloutOptions options;  // but for the stream
  int64_t groups = 1;      // of the first round
  int64_t most_rounds = 1;
  // The problem of that number among the step's, round after round. Pure.
  std::function<DrawnProblem(int64_t number)> draw;
  std::function<uint64_t(int64_t round)> stream;  // RolloutOptions::stream of a round
  // Has the last word on the score of a round's sample; may be null.
  std::function<void(uint64_t stream, size_t index, Score&)> rescore;
  // Of all samples of a group; what is true of some of them is true of all.
  std::function<bool(std::span<const Sample>)> teaches;
  // An engine that holds all of these problems. One that was returned before may be gone then, so
  // it must be idle.
  std::function<Engine&(const std::vector<Problem>&)> engine;
  // Whether a problem fits the engine that was returned last.
  std::function<bool(const Problem&)> fits;
  StopRequest stop;
};

// One round after the other. Interruption.
std::vector<SamplingRound> SampleRounds(const RoundsWork& work, RolloutCost* cost);

// The same samples in less time: as soon as some groups certainly teach nothing, as many problems
// of the next round begin, so that the longest answers of a round are not waited for alone. Samples
// are scored as they come, a few at a time.
std::vector<SamplingRound> SampleRoundsAtOnce(const RoundsWork& work, RolloutCost* cost);

}  // namespace darkhorse
