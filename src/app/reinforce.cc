// `darkhorse reinforce`: a model to a better one, by reinforcement learning on verifiable problems.
#include "rl/reinforce.h"

#include "app/app.h"
#include "app/interrupt.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "app/report.h"

namespace darkhorse {
namespace {

struct ReinforceArguments {
  RecipeArguments recipe;
  ProblemFlags problems;
  std::string model;
  std::string out;
  bool resume = false;
  bool json = false;
};

void Run(const ReinforceArguments& arguments) {
  ReinforceRecipe recipe;
  arguments.recipe.Apply(FieldsOf(recipe));
  arguments.problems.Apply(&recipe.problems);
  CatchInterrupts();
  const ReinforceResult result = [&] {
    ReinforceView view(recipe.rl.steps);
    return Reinforce(recipe, arguments.model, arguments.out, arguments.resume, view.Callbacks());
  }();
  Json json{
      {"run", arguments.out}, {"checkpoint", result.checkpoint}, {"finished", result.finished}};
  if (!result.best_checkpoint.empty()) json["best_checkpoint"] = result.best_checkpoint;
  if (result.last.step > 0) {
    json["step"] = result.last.step;
    json["reward"] = result.last.reward;
    json["accuracy"] = result.last.accuracy;
  }
  for (const TaskEvaluation& evaluation : result.last.evaluation)
    json["evaluation"].push_back(ToJson(evaluation));
  if (!result.checkpoint.empty()) json["report"] = WriteReport(arguments.out);
  PrintResult(json, arguments.json);
}

}  // namespace

void RegisterReinforce(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "reinforce", "Improve a model by reinforcement learning on problems with verifiable answers");
  const auto arguments = std::make_shared<ReinforceArguments>();
  arguments->recipe.Register(*command);
  command->add_option("--model", arguments->model, "checkpoint directory to start from")
      ->required();
  arguments->problems.Register(*command);
  command->add_option("--out", arguments->out, "run directory to write")->required();
  command->add_flag("--resume", arguments->resume, "go on with the run in --out, exactly");
  AddJsonFlag(*command, &arguments->json);
  command->footer("Fields of a recipe, with their defaults:\n\n" + FieldsHelp<ReinforceRecipe>());
  command->callback([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
