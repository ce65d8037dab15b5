// Where problems come from and what an answer is worth: the seam between reinforcement learning and
// tasks. The built-in tasks stand behind it, and a file of the user's with a rule or a program that
// scores (rl/own_problems.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/interrupt.h"
#include "rl/options.h"
#include "task/task.h"

namespace darkhorse {

struct Answer {
  const Problem* problem;
  std::string_view completion;
};

// Samples that could not be scored through no fault of the model's.
struct ScoringFaults {
  int64_t samples = 0;
  std::string last;  // what went wrong with the last one
};

// What training problems are drawn from: a task at a level, or a file.
struct MixturePart {
  std::string name;  // "countdown:1"
  double weight = 1;
};

// The part that training problem `index` of the run with this seed comes from. Pure.
size_t DrawPart(std::span<const double> weights, uint64_t seed, uint64_t index);

class Environment {
 public:
  virtual ~Environment() = default;
  virtual std::vector<MixturePart> Parts() const = 0;  // at least one
  // Training problem `index` of a part, in the run with this seed. Pure.
  virtual Problem TrainingProblemOf(size_t part, uint64_t seed, uint64_t index) = 0;
  // The same of the part that is drawn by the mixture's own weights.
  Problem TrainingProblem(uint64_t seed, uint64_t index);
  // Held-out problems, at most `count` of each task; the same for every run. Each inner list is of
  // one task and level.
  virtual std::vector<std::vector<Problem>> HeldOut(int64_t count) const = 0;
  // One score per answer, in order. Interruption.
  virtual std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest& stop) = 0;

  // Every problem there is, where that is a list; empty where problems are made as they are asked.
  virtual std::vector<const Problem*> AllProblems() const { return {}; }
  // Names the content of that list: a run goes on only with the one that it began with.
  virtual std::string Fingerprint() const { return ""; }
  // Whether scoring can fail, and how often it did since the last call.
  virtual bool CanFail() const { return false; }
  virtual ScoringFaults TakeFaults() { return {}; }
};

struct WeightedTask {
  const Task* task;
  int level;
  double weight;
};

// From "name:level" or "name:level=weight". UsageError naming an unknown task (and the nearest
// known one) or level.
std::vector<WeightedTask> ParseMixture(const std::vector<std::string>& tasks);
// The same of a recipe's field, which the UsageError names.
void CheckTasks(const std::vector<std::string>& tasks, const char* field);

// A mixture of built-in tasks, each problem made from (seed, index). `options`, decided
// (rl/answers.h), say how answers are read.
std::unique_ptr<Environment> MakeTaskEnvironment(const std::vector<std::string>& tasks,
                                                 const ProblemsOptions& options = {});

}  // namespace darkhorse
