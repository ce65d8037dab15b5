// How good a model is at a task: unbiased pass@k, maj@k, lengths, on held-out problems.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/interval.h"
#include "rl/options.h"
#include "rl/rollout.h"

namespace darkhorse {

// How often answers are right. Intervals are over problems.
struct Accuracies {
  Interval pass_at_1;
  std::vector<std::pair<int64_t, Interval>> pass_at_k;  // k = 1, 2, 4, …, samples
  // maj@samples: the most frequent answer is right (R1's cons@k). Answers are the same if their
  // scorer spells them the same (Score::canonical), or if their texts are. Not measured where no
  // sample has an answer to vote with.
  std::optional<Interval> majority;
};

// Its accuracies are strict: of answers where they were asked for.
struct TaskEvaluation : Accuracies {
  std::string task;
  int level = 1;  // 0: none
  int64_t problems = 0;
  int64_t samples = 0;  // per problem
  // Of answers wherever they stand (Score::lenient); none: the scorer has one reading.
  std::optional<Accuracies> lenient;
  // Completions whose form is right, of those whose scorer judges it; none: it judges no form.
  std::optional<double> format_rate;
  double truncated_rate = 0;
  double mean_length = 0;  // tokens
};

// Whether the completion's form is right, whatever its answer; none where its scorer does not say.
std::optional<bool> WellFormed(const Score& score);

// 1 - C(n-c, k) / C(n, k): the probability that k of n samples, c of them right, hold a right one
// (Chen et al. 2021).
double PassAtK(int64_t n, int64_t c, int64_t k);

// Samples of one task's problems (all of one task and level), as Rollout returns them.
TaskEvaluation Summarize(const std::vector<Problem>& problems, const std::vector<Sample>& samples,
                         int64_t samples_per_problem);

// pass@1, the mean over tasks, whose problems are independent.
Interval MeanAccuracy(const std::vector<TaskEvaluation>& evaluations);

// How far an evaluation is.
struct EvaluationProgress {
  int64_t done = 0, total = 0;  // samples
  int64_t tokens = 0;           // generated
};
using EvaluationProgressCallback = std::function<void(const EvaluationProgress&)>;

// How good the model is at the environment's held-out problems: one evaluation a task and level.
// kept, kept_problems: what it said to what; on_progress hears after each forward pass and each
// sample. Interruption.
std::vector<TaskEvaluation> Evaluate(const Transformer& model, const ModelWeights& packed_weights,
                                     const Prompter& prompter, Environment& environment,
                                     const EvaluationOptions& options, const StopRequest& stop,
                                     std::vector<Sample>* kept = nullptr,
                                     std::vector<Problem>* kept_problems = nullptr,
                                     const EvaluationProgressCallback& on_progress = {});

}  // namespace darkhorse
