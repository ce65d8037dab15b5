// What a reinforcement-learning run writes as it goes: metrics.jsonl, samples.jsonl, and the loop's
// own state in a checkpoint.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "rl/guards.h"
#include "rl/learner.h"
#include "train/metrics.h"

namespace darkhorse {

// One line of a file. Model output may be any bytes; what is not UTF-8 is replaced.
std::string JsonLine(const nlohmann::ordered_json& json);

nlohmann::ordered_json Bounds(const Interval& interval);  // [low, high]
// pass@k with 95 % intervals, maj@k, rates, mean length.
nlohmann::ordered_json ToJson(const TaskEvaluation& evaluation);

// What a step writes, one object per file.
struct StepLines {
  nlohmann::ordered_json metrics, sample;  // null where there is none
  bool empty() const { return metrics.is_null(); }
};
// Without its evaluation. with_load: the load of each expert too; worth a look now and then, not a
// line of hundreds of numbers every step.
StepLines DescribeStep(const ReinforceMetrics& metrics, bool with_load);
// To the lines of its step. Of the evaluation before the first step it is all there is.
void AddEvaluation(const ReinforceMetrics& metrics, StepLines& lines);

struct LoopState {
  RunProgress progress;
  double best_accuracy = -1;  // that of the model it began with included
  // CheckpointFingerprint of best/, "" where there was none; none: an older version does not say.
  std::optional<std::string> best;
  std::string problems;  // Environment::Fingerprint
  GuardState guards;
  std::string stopped;    // why the run ended before its last step; "": it did not
  StepLines unevaluated;  // of the step just done, where its evaluation was interrupted
};
std::string WriteLoopState(const LoopState& state);
LoopState ParseLoopState(const std::string& json, const std::string& name);

class ReinforceLog {
 public:
  // Lines of steps after `last_step`, left by a run killed after its last checkpoint, are removed.
  ReinforceLog(const std::string& run, int64_t last_step);
  void Append(const StepLines& lines);
  void Sync();  // before a checkpoint that counts on the lines

 private:
  JsonLinesFile metrics_;
  JsonLinesFile samples_;
};

}  // namespace darkhorse
