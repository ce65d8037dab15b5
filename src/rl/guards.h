// What goes wrong in reinforcement learning, noticed while it does: warnings, each given once, and
// rules that end a run. Pure functions of the metrics and of a state that checkpoints keep.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rl/metrics.h"
#include "rl/options.h"

namespace darkhorse {

struct GuardState {
  // Of the first step; the entropy of the first that trained, 0 before; the accuracy of the first
  // that could be scored, below 0 before.
  bool begun = false;
  double first_entropy = 0, first_length = 0, first_clipped = 0, first_accuracy = -1;
  // Share of completions in form: a running mean over the steps, and the highest it has been; below
  // 0 before the first step that could be scored.
  double mean_format = -1, best_format = -1;
  int64_t silent_steps = 0;         // in a row: no group had a signal
  int64_t stale_evaluations = 0;    // in a row: held-out accuracy was not the best yet
  std::optional<Interval> start;    // held-out accuracy before the first step
  std::vector<std::string> warned;  // names of the warnings given
};

// Warnings that this step gives rise to and that were not given before (docs/recipes.md, "Guards").
std::vector<Warning> NewWarnings(const ReinforceMetrics& metrics, GuardState& state);

// The same of an evaluation after a step, whose held-out accuracy this is.
std::vector<Warning> NewEvaluationWarnings(const Interval& accuracy, GuardState& state);

// After such an evaluation: why the run ends here, or "". best_before: the best held-out accuracy
// of the evaluations before this one, that before the first step included.
std::string StopReason(const StopOptions& options, const Interval& accuracy, double best_before,
                       GuardState& state);

}  // namespace darkhorse
