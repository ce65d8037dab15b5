// One step of reinforcement learning in numbers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rl/evaluate.h"

namespace darkhorse {

// What goes wrong, noticed while it does (rl/guards.h).
struct Warning {
  std::string name;  // "entropy_collapse"
  std::string text;  // what was seen and what helps, one line
};

// A part of the mixture under the curriculum.
struct PartShare {
  std::string name;
  double share = 0;    // of this step's problems, as drawn from
  double success = 0;  // running mean after it
};

// One step's outcome, under TRL's metric names where TRL has one (docs/recipes.md). All but the
// timings is a pure function of recipe and model.
struct ReinforceMetrics {
  int64_t step = 0;  // 0: the evaluation before the first, and nothing else
  // Some of it is measured only where there is something to measure, and said nowhere else: a
  // number that stands for none would be taken for one.
  bool scored = false;  // a sample could be scored: these five
  double reward = 0, reward_std = 0;
  double accuracy = 0;
  std::optional<double> accuracy_lenient;  // none too where the scorer has one reading
  std::optional<double> format_rate;       // none too where the scorer judges no form
  double mean_length = 0, min_length = 0, max_length = 0, clipped_ratio = 0;
  std::optional<double> mean_terminated_length;  // none: all were cut off
  double repeated_ratio = 0;                     // completions that end in one phrase over and over
  double frac_reward_zero_std = 0;
  bool trained = false;  // an update was made: from here to `load`
  double entropy = 0, loss = 0, grad_norm = 0, learning_rate = 0;
  std::optional<double> kl;          // none: without a reference
  std::optional<double> teacher_kl;  // none: without a teacher
  double clip_ratio_low = 0, clip_ratio_high = 0;
  double sampling_gap = 0;  // largest |log p(training) - log p(sampling)| of a token
  double max_violation = 0;
  std::vector<std::vector<int64_t>> load;  // tokens to each expert, [MoE layer][expert], this step
  int64_t refills = 0;
  bool scoring_can_fail = false;  // a program of the user's scores
  ScoringFaults faults;           // of the step
  ScoringFaults evaluation_faults;
  int64_t num_tokens = 0;                  // generated so far
  std::vector<TaskEvaluation> evaluation;  // where evaluated
  std::vector<PartShare> curriculum;       // where success weighs the mixture
  std::vector<Warning> warnings;           // new ones, of the step itself
  std::vector<Warning> evaluation_warnings;
  std::optional<Interval> start;  // where evaluated again: accuracy before the first step
  std::string stopped;            // why the run ends here, before rl.steps
  Sample shown;                   // one sample, to be read
  Problem shown_problem;
  std::string shown_asked;  // as the model was asked it, where that is more than its prompt
  // Timings, in timings.jsonl instead of metrics.jsonl.
  double flops = 0;  // the model's own operations, sampling and training
  double sample_seconds = 0, score_seconds = 0, train_seconds = 0, evaluate_seconds = 0;
  double tail_seconds = 0;          // of sample_seconds: RolloutCost's
  double generated_per_second = 0;  // sampled and scored
};

}  // namespace darkhorse
