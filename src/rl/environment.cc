#include "rl/environment.h"

#include "base/error.h"
#include "base/random.h"
#include "task/corpus.h"

namespace darkhorse {

std::vector<WeightedTask> ParseMixture(const std::vector<std::string>& tasks) {
  std::vector<WeightedTask> mixture;
  for (const std::string& entry : tasks) {
    for (const TaskShare& share : ParseTaskShares(entry)) {
      const Task& task = FindTask(share.task);
      task.Make(0, 0, share.level);  // throws for a level the task does not have
      if (!(share.weight > 0))
        FailUsage("task {}: weight is {}; it must be positive", entry, share.weight);
      mixture.push_back({&task, share.level, share.weight});
    }
  }
  if (mixture.empty()) FailUsage("no task is named; give at least one, as in countdown:1");
  return mixture;
}

Problem TrainingProblem(const std::vector<WeightedTask>& mixture, uint64_t seed, uint64_t index) {
  double total = 0;
  for (const WeightedTask& entry : mixture) total += entry.weight;
  double left = RandomUniform(seed, RandomStream::kRollout, index) * total;
  const WeightedTask* chosen = &mixture.back();
  for (const WeightedTask& entry : mixture) {
    if ((left -= entry.weight) < 0) {
      chosen = &entry;
      break;
    }
  }
  return MakeProblem(*chosen->task, seed, index, chosen->level, Split::kTrain);
}

}  // namespace darkhorse
