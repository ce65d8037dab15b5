// `darkhorse task list|show|score`: look at problems and verify answers by hand.
#include "task/task.h"

#include <iostream>
#include <iterator>

#include "app/app.h"
#include "app/output.h"
#include "base/error.h"
#include "base/file.h"

namespace darkhorse {
namespace {

struct ProblemOptions {
  std::string task;
  int level = 1;
  uint64_t seed = 0;
  uint64_t index = 0;
  bool held_out = false;
  std::string completion = "-";
  bool json = false;
};

Problem MakeProblem(const ProblemOptions& options) {
  return MakeProblem(FindTask(options.task), options.seed, options.index, options.level,
                     options.held_out ? Split::kHeldOut : Split::kTrain);
}

void List(bool json) {
  Json tasks = Json::object();
  for (const std::string& name : TaskNames()) {
    const Task& task = FindTask(name);
    tasks[name] = {{"levels", task.Levels()}, {"help", task.Help()}};
  }
  PrintResult(tasks, json);
}

void Show(const ProblemOptions& options) {
  const Problem problem = MakeProblem(options);
  const std::string oracle = FindTask(options.task).Oracle(problem);
  if (options.json) {
    return PrintResult({{"task", problem.task},
                        {"level", problem.level},
                        {"seed", problem.seed},
                        {"index", problem.index},
                        {"prompt", problem.prompt},
                        {"answer", problem.answer},
                        {"completion", oracle}},
                       true);
  }
  PrintText(problem.prompt + oracle + "\n");
}

void ScoreOne(const ProblemOptions& options) {
  const Problem problem = MakeProblem(options);
  const std::string completion = options.completion == "-"
                                     ? std::string{std::istreambuf_iterator<char>(std::cin), {}}
                                     : ReadFile(options.completion);
  const Score score = FindTask(options.task).ScoreCompletion(completion, problem);
  Json parts = Json::object();
  for (const auto& [name, value] : score.parts) parts[name] = value;
  PrintResult({{"reward", score.value},
               {"correct", score.correct},
               {"parts", parts},
               {"parsed", score.parsed},
               {"why", score.why}},
              options.json);
}

void AddProblemFlags(CLI::App& command, ProblemOptions* options) {
  command.add_option("task", options->task, "a name from `darkhorse task list`")->required();
  command.add_option("--level", options->level, "difficulty, from 1");
  command.add_option("--seed", options->seed, "which series of problems");
  command.add_option("--index", options->index, "which problem of the series");
  command.add_flag("--held-out", options->held_out, "from the problems kept out of training");
  AddJsonFlag(command, &options->json);
}

}  // namespace

void RegisterTask(CLI::App& app) {
  CLI::App* command = app.add_subcommand("task", "Verifiable problems: list, show, score");
  command->require_subcommand(1);
  const auto json = std::make_shared<bool>(false);
  CLI::App* list = command->add_subcommand("list", "The built-in tasks");
  AddJsonFlag(*list, json.get());
  list->callback([json] { List(*json); });
  const auto show_options = std::make_shared<ProblemOptions>();
  CLI::App* show = command->add_subcommand("show", "A problem and a completion that solves it");
  AddProblemFlags(*show, show_options.get());
  show->callback([show_options] { Show(*show_options); });
  const auto score_options = std::make_shared<ProblemOptions>();
  CLI::App* score = command->add_subcommand("score", "The reward of a completion of a problem");
  AddProblemFlags(*score, score_options.get());
  score->add_option("completion", score_options->completion,
                    "file with <think>…</think><answer>…</answer>; - for standard input");
  score->callback([score_options] { ScoreOne(*score_options); });
}

}  // namespace darkhorse
