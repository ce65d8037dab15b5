// `darkhorse reinforce`: a model to a better one, by reinforcement learning on verifiable problems.
#include "rl/reinforce.h"

#include <filesystem>
#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "pipeline/run_report.h"
#include "report/data.h"

namespace darkhorse {
namespace {

struct ReinforceArguments {
  RecipeArguments recipe;
  ProblemFlags problems;
  std::string model;
  std::string out;
  bool resume = false;
  bool probe_only = false;
  bool json = false;
};

void ProbeOnly(const ReinforceRecipe& recipe, const ReinforceArguments& arguments,
               const Teller& note) {
  const ProbeReport report = ProbeModel(recipe, arguments.model, {.on_note = note});
  if (arguments.json) {
    PrintResult(ToJson(report), true);
    return;
  }
  for (const std::string& line : DescribeProbe(report)) PrintText(EscapedForTerminal(line) + "\n");
}

// Of a field over the run's steps; none where no step has it.
std::optional<int64_t> SumOver(const std::vector<Json>& steps, const char* field) {
  std::optional<int64_t> sum;
  for (const Json& step : steps) {
    if (step.contains(field)) sum = sum.value_or(0) + step[field].get<int64_t>();
  }
  return sum;
}

void Run(ReinforceArguments arguments, const Teller& note) {
  if (arguments.recipe.recipe.empty()) arguments.recipe.recipe = "own";
  const ReinforceRecipe recipe = ReadReinforceRecipe(
      arguments.recipe, [&](ProblemsOptions* problems) { arguments.problems.Apply(problems); });
  if (arguments.probe_only) return ProbeOnly(recipe, arguments, note);
  if (arguments.out.empty())
    FailUsage("--out is required: the run directory to write (--probe-only writes none)");
  TellOfNoRun(arguments.out, arguments.resume);
  CatchInterrupts();
  const ReinforceResult result = [&] {
    ReinforceView view(recipe.rl.steps, note);
    return Reinforce(recipe, arguments.model, arguments.out, arguments.resume, view.Callbacks());
  }();
  Json json{
      {"run", arguments.out}, {"checkpoint", result.checkpoint}, {"finished", result.finished}};
  if (!result.stop_reason.empty()) json["stop_reason"] = result.stop_reason;
  if (!result.best_checkpoint.empty()) json["best_checkpoint"] = result.best_checkpoint;
  for (const char* name : {"step", "reward", "accuracy", "evaluation"}) {
    if (result.last_line.contains(name)) json[name] = result.last_line[name];
  }
  // Stopped in the first step's evaluation, a run has a checkpoint and no line yet.
  if (const std::string lines = arguments.out + "/metrics.jsonl";
      FileExists(lines) && std::filesystem::file_size(lines) > 0) {
    const std::vector<Json> steps = ReadReportData(arguments.out, {}).reinforcement.metrics;
    if (const auto failures = SumOver(steps, "reward_program/failures"))
      json["reward_program_failures"] = *failures;
    json["report"] = ReportRun(arguments.out);
  }
  PrintResult(json, arguments.json);
  if (!result.finished) throw InterruptedRun(result.checkpoint);
}

}  // namespace

void RegisterReinforce(Command app) {
  Command command = app.AddCommand(
      "reinforce", "Improve a model by reinforcement learning on problems with verifiable answers");
  const auto arguments = std::make_shared<ReinforceArguments>();
  arguments->recipe.Register(command, TakesReinforcement, "rl.steps=100", /*required=*/false);
  command.Add("--model", arguments->model, fmt::format("{} to start from", kModelFiles)).Required();
  arguments->problems.Register(command);
  command.Add("--out", arguments->out, "run directory to write");
  command.Add("--resume", arguments->resume, "go on with the run in --out, exactly");
  command.Add("--probe-only", arguments->probe_only,
              "only try training problems: is there anything to learn, how long will it "
              "take, how much memory; writes nothing");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "Without a recipe it is `own`. For example: darkhorse reinforce --model "
      "runs/tiny/checkpoints/step-00000060 --problems "
      "problems.jsonl --rule exact --out runs/mine\n\nFields of a recipe, with their "
      "defaults:\n\n" +
      FieldsHelp<ReinforceRecipe>());
  command.Runs([arguments] {
    const auto names = arguments->problems.NamesBeside(arguments->recipe.recipe);
    TellingFlags(names, [&] { Run(*arguments, NoteWithFlags(names)); });
  });
}

}  // namespace darkhorse
