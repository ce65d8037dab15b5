// `darkhorse task list|show|score|check`: look at problems and verify answers by hand.
#include "task/task.h"

#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "base/error.h"
#include "base/file.h"
#include "task/corpus.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

struct ProblemOptions {
  std::string task;
  std::optional<int64_t> level;
  uint64_t seed = 0;
  uint64_t index = 0;
  bool held_out = false;
  std::string completion = "-";
  bool json = false;
};

// "sum:2" as other commands have it.
ProblemOptions WithLevel(ProblemOptions options) {
  const size_t colon = options.task.find(':');
  if (colon == std::string::npos) {
    if (!options.level) options.level = 1;
    return options;
  }
  const std::vector<TaskShare> tasks = ParseTaskShares(options.task);
  if (tasks.size() != 1 || options.task.find('=') != std::string::npos)
    FailUsage("task is '{}'; it must be one name, or one name:level", options.task);
  if (options.level && *options.level != tasks[0].level)
    FailUsage("--level is {}, but task is '{}'; leave one of the levels out", *options.level,
              options.task);
  options.task = tasks[0].task;
  options.level = tasks[0].level;
  return options;
}

Problem MakeProblem(const ProblemOptions& options) {
  return MakeProblem(FindTask(options.task), options.seed, options.index,
                     static_cast<int>(*options.level),
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
  const std::string completion =
      options.completion == "-" ? ReadStandardInput() : ReadFileOrPipe(options.completion);
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

struct CheckOptions {
  ProblemFlags flags;
  bool json = false;
};

// Rows that ask the same and answer otherwise: what is right for the one is wrong for the other.
// Notes the first few, returns how many rows contradict an earlier one.
int64_t NoteContradictions(Environment& environment, const std::vector<const Problem*>& all) {
  std::map<std::string_view, const Problem*> first;
  std::vector<std::pair<const Problem*, const Problem*>> pairs;  // the earlier one, the later one
  for (const Problem* problem : all) {
    const Problem* earlier = first.emplace(problem->prompt, problem).first->second;
    if (earlier->answer != problem->answer) pairs.emplace_back(earlier, problem);
  }
  std::vector<std::string> completions;
  std::vector<Answer> answers;
  for (const auto& [earlier, later] : pairs) completions.push_back(Completion("", later->answer));
  for (size_t i = 0; i < pairs.size(); ++i) answers.push_back({pairs[i].first, completions[i]});
  const std::vector<Score> scores = environment.ScoreAll(answers, {});
  int64_t count = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    // Another spelling, or another solution.
    if (scores[i].correct || scores[i].failed) continue;
    const auto& [earlier, later] = pairs[i];
    constexpr int64_t kShown = 10;
    if (++count > kShown) continue;
    Note(fmt::format("{}: has the prompt of {} and another answer: '{}', not '{}'", later->where,
                     earlier->where, Printable(later->answer), Printable(earlier->answer)));
  }
  return count;
}

// What training would read and how it would score: every row, its own answer given to the scorer.
void Check(const CheckOptions& options) {
  ProblemsOptions problems;
  options.flags.Apply(&problems);
  if (problems.file.empty()) FailUsage("task check: give --problems, the file to check");
  const std::unique_ptr<Environment> environment =
      MakeOwnEnvironment(problems, NoteWithFlags(ProblemFlags::Names()));
  const std::vector<const Problem*> all = environment->AllProblems();
  std::vector<std::string> completions;
  std::vector<Answer> answers;
  for (const Problem* problem : all) completions.push_back(Completion("", problem->answer));
  for (size_t i = 0; i < all.size(); ++i) answers.push_back({all[i], completions[i]});
  const std::vector<Score> scores = environment->ScoreAll(answers, {});
  int64_t own = 0, right = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    own += !all[i]->answer.empty();
    right += scores[i].correct && !all[i]->answer.empty();
    constexpr int64_t kShown = 10;
    if (scores[i].correct || all[i]->answer.empty() || own - right > kShown) continue;
    const std::string worth = scores[i].failed ? "could not be scored"
                                               : fmt::format("is worth {}, not 1", scores[i].value);
    Note(fmt::format("{}: its own answer '{}' {}: {}", all[i]->where,
                     all[i]->answer.substr(0, all[i]->answer.find('\n')), worth, scores[i].why));
  }
  if (own > 0 && right == 0 && problems.rule != "regex") {
    Note(
        "no row's own answer is right by this scorer: the two do not fit each other, unless the "
        "answers are targets rather than solutions");
  }
  const int64_t contradictions = NoteContradictions(*environment, all);
  const auto held_out = environment->HeldOut(static_cast<int64_t>(all.size()));
  const size_t kept = held_out.empty() ? 0 : held_out.front().size();
  PrintResult({{"problems", all.size()},
               {"train", all.size() - kept},
               {"held_out", kept},
               {"own_answers", own},
               {"own_answers_right", right},
               {"contradictions", contradictions},
               {"reward_program_failures", environment->TakeFaults().samples}},
              options.json);
}

void AddProblemFlags(Command command, ProblemOptions* options) {
  command.Add("task", options->task, "a name from `darkhorse task list`, or name:level").Required();
  command.Add("--level", options->level, "difficulty, from 1 (default: 1)").Within(1, 1000);
  command.Add("--seed", options->seed, "which series of problems");
  command.Add("--index", options->index, "which problem of the series");
  command.Add("--held-out", options->held_out, "from the problems kept out of training");
  AddJsonFlag(command, &options->json);
}

}  // namespace

void RegisterTask(Command app) {
  Command command = app.AddCommand("task", "Verifiable problems: list, show, score, check");
  command.NeedsCommand();
  const auto json = std::make_shared<bool>(false);
  Command list = command.AddCommand("list", "The built-in tasks");
  AddJsonFlag(list, json.get());
  list.Runs([json] { List(*json); });
  const auto show_options = std::make_shared<ProblemOptions>();
  Command show = command.AddCommand("show", "A problem and a completion that solves it");
  AddProblemFlags(show, show_options.get());
  show.Runs([show_options] { Show(WithLevel(*show_options)); });
  const auto score_options = std::make_shared<ProblemOptions>();
  Command score = command.AddCommand("score", "The reward of a completion of a problem");
  AddProblemFlags(score, score_options.get());
  score.Add("completion", score_options->completion,
            "file with <think>…</think><answer>…</answer>; - for standard input");
  score.Runs([score_options] { ScoreOne(WithLevel(*score_options)); });
  const auto check_options = std::make_shared<CheckOptions>();
  Command check = command.AddCommand(
      "check", "Read a file of your own problems and score its own answers, as training would");
  check_options->flags.Register(check);
  AddJsonFlag(check, &check_options->json);
  check.Runs(
      [check_options] { TellingFlags(ProblemFlags::Names(), [&] { Check(*check_options); }); });
}

}  // namespace darkhorse
