// `darkhorse pretrain`: token shards to a model.
#include "train/pretrain.h"

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/recipes.h"
#include "app/unread.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "data/prepare.h"
#include "pipeline/run_report.h"

namespace darkhorse {
namespace {

struct PretrainArguments {
  RecipeArguments recipe;
  std::string model;
  std::string data;
  std::string out;
  bool resume = false;
  bool json = false;
};

void Run(const PretrainArguments& arguments) {
  const std::unique_ptr<const ModelSource> model =
      arguments.model.empty() ? nullptr : OpenModel(arguments.model);
  const PretrainRecipe recipe = ReadPretrainRecipe(arguments.recipe, model.get());
  TellOfNoRun(arguments.out, arguments.resume);
  RequirePrepared(arguments.data, kTrainShard);
  CatchInterrupts();
  const PretrainResult result = [&] {
    PretrainView view(recipe.train.steps, FormatOf(recipe.train.precision));
    return Pretrain(recipe, arguments.data, arguments.out, arguments.resume, view.Callbacks(),
                    model.get());
  }();
  Json json{
      {"run", arguments.out}, {"checkpoint", result.checkpoint}, {"finished", result.finished}};
  if (result.last.step > 0) {
    json["step"] = result.last.step;
    json["tokens"] = result.last.tokens;
    json["loss"] = result.last.loss;
  }
  if (result.validation_loss >= 0) json["validation_loss"] = result.validation_loss;
  if (result.finished) WriteSampleText(arguments.out, result.checkpoint);
  if (!result.checkpoint.empty()) json["report"] = ReportRun(arguments.out);
  PrintResult(json, arguments.json);
  if (!result.finished) throw InterruptedRun(result.checkpoint);
}

}  // namespace

void RegisterPretrain(Command app) {
  Command command = app.AddCommand("pretrain", "Train a model on token shards");
  const auto arguments = std::make_shared<PretrainArguments>();
  arguments->recipe.Register(command, TakesPretraining, "train.steps=100");
  command.Add(
      "--model", arguments->model,
      fmt::format("{} whose weights to start from, in place of fresh ones; the model is then "
                  "its, not the recipe's",
                  kModelFiles));
  command.Add("--data", arguments->data, "folder that `data prepare` wrote").Required();
  command.Add("--out", arguments->out, "run directory to write").Required();
  command.Add("--resume", arguments->resume, "go on with the run in --out, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse pretrain tiny --data data --out runs/tiny\n\nFields of a recipe, "
      "with their defaults:\n\n" +
      FieldsHelp<PretrainRecipe>());
  command.Runs([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
