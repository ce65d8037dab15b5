#include "rl/environment.h"

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "rl/answers.h"
#include "task/corpus.h"

namespace darkhorse {
namespace {

class TaskEnvironment : public Environment {
 public:
  TaskEnvironment(std::vector<WeightedTask> mixture, const ProblemsOptions& options)
      : options_(options),
        mixture_(std::move(mixture)),
        words_(WordsOf(options)),
        own_(options.answer == "auto"),
        reading_(ReadingOf(options)) {}

  std::vector<MixturePart> Parts() const override {
    std::vector<MixturePart> parts;
    for (const WeightedTask& entry : mixture_)
      parts.push_back({fmt::format("{}:{}", entry.task->Name(), entry.level), entry.weight});
    return parts;
  }

  Problem TrainingProblemOf(size_t part, uint64_t seed, uint64_t index) override {
    const auto& [task, level, weight] = mixture_[part];
    return InWords(MakeProblem(*task, seed, index, level, Split::kTrain));
  }

  std::vector<std::vector<Problem>> HeldOut(int64_t count) const override {
    std::vector<std::vector<Problem>> held_out;
    for (const WeightedTask& entry : mixture_) {
      held_out.push_back(HeldOutProblems(*entry.task, entry.level, static_cast<int>(count)));
      for (Problem& problem : held_out.back()) problem = InWords(std::move(problem));
      if (held_out.back().empty())
        Fail("task {}: level {} has no held-out problems", entry.task->Name(), entry.level);
    }
    return held_out;
  }

  std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest&) override {
    std::vector<Score> scores(answers.size());
    ParallelFor(static_cast<int64_t>(answers.size()), [&](int64_t i) {
      const auto& [problem, completion] = answers[static_cast<size_t>(i)];
      const Task& task = FindTask(problem->task);
      scores[static_cast<size_t>(i)] =
          own_ ? task.ScoreCompletion(completion, *problem)
               : ReadScore(reading_, task.JudgeOf(*problem), completion);
    });
    AddScript(options_, answers, &scores);
    return scores;
  }

 private:
  // After the split, which goes by the notation.
  Problem InWords(Problem problem) const {
    problem.prompt = FindTask(problem.task).Worded(problem, words_);
    return problem;
  }

  ProblemsOptions options_;
  std::vector<WeightedTask> mixture_;
  Words words_;
  bool own_;  // answers as this program's own models write them
  Reading reading_;
};

}  // namespace

size_t DrawPart(std::span<const double> weights, uint64_t seed, uint64_t index) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double left = RandomUniform(seed, RandomStream::kRollout, index) * total;
  for (size_t part = 0; part + 1 < weights.size(); ++part) {
    if ((left -= weights[part]) < 0) return part;
  }
  return weights.size() - 1;
}

Problem Environment::TrainingProblem(uint64_t seed, uint64_t index) {
  std::vector<double> weights;
  for (const MixturePart& part : Parts()) weights.push_back(part.weight);
  return TrainingProblemOf(DrawPart(weights, seed, index), seed, index);
}

std::vector<WeightedTask> ParseMixture(const std::vector<std::string>& tasks) {
  if (tasks.empty()) FailUsage("no task is named; give at least one, as in countdown:1");
  std::vector<WeightedTask> mixture;
  for (const TaskShare& share : ParseTaskShares(fmt::format("{}", fmt::join(tasks, ",")))) {
    const Task& task = FindTask(share.task);
    task.Make(0, 0, share.level);  // throws for a level the task does not have
    if (!(share.weight > 0 && std::isfinite(share.weight))) {
      FailUsage("task {}:{}: weight is {}; it must be a positive number", share.task, share.level,
                share.weight);
    }
    mixture.push_back({&task, share.level, share.weight});
  }
  return mixture;
}

void CheckTasks(const std::vector<std::string>& tasks, const char* field) {
  try {
    ParseMixture(tasks);
  } catch (const UsageError& error) {
    FailUsage("{} is not understood: {}", field, error.what());
  }
}

std::unique_ptr<Environment> MakeTaskEnvironment(const std::vector<std::string>& tasks,
                                                 const ProblemsOptions& options) {
  return std::make_unique<TaskEnvironment>(ParseMixture(tasks), options);
}

}  // namespace darkhorse
