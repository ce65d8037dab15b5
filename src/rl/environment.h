// Where problems come from and what an answer is worth: the seam between reinforcement learning and
// tasks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "task/task.h"

namespace darkhorse {

// One kind of problem in the mixture that is trained on.
struct TaskMixture {
  std::vector<std::string> tasks = {"countdown:1"};  // "name:level" or "name:level=weight"
};

struct WeightedTask {
  const Task* task;
  int level;
  double weight;
};

// UsageError naming an unknown task (and the nearest known one) or level.
std::vector<WeightedTask> ParseMixture(const std::vector<std::string>& tasks);

// Training problem `index` of a mixture: the task is drawn by weight, the problem made from (seed,
// index). Pure.
Problem TrainingProblem(const std::vector<WeightedTask>& mixture, uint64_t seed, uint64_t index);

}  // namespace darkhorse
