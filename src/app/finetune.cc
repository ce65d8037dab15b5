// `darkhorse finetune`: a model to one that answers as the assistant of chats does.
#include "train/finetune.h"

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/recipes.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "pipeline/run_report.h"
#include "pipeline/sampling.h"
#include "report/report.h"

namespace darkhorse {
namespace {

struct FinetuneArguments {
  RecipeArguments recipe;
  std::string model;
  std::vector<std::string> data;
  std::string out;
  bool resume = false;
  bool json = false;
};

// The chats of a folder that `sample` wrote; another path as it is.
std::string ChatsIn(const std::string& path) {
  const std::string chats = path + "/" + sample_files::kChats;
  return FileExists(chats) && FileExists(path + "/" + sample_files::kSamples) ? chats : path;
}

void Run(const FinetuneArguments& arguments) {
  const FinetuneRecipe recipe = ReadFinetuneRecipe(arguments.recipe);
  TellOfNoRun(arguments.out, arguments.resume);
  CatchInterrupts();
  const FinetuneResult result = [&] {
    FinetuneView view(FormatOf(recipe.finetune.precision));
    std::vector<std::string> data;
    for (const std::string& path : arguments.data) data.push_back(ChatsIn(path));
    return Finetune(recipe, arguments.model, data, arguments.out, arguments.resume,
                    view.Callbacks());
  }();
  Json json{
      {"run", arguments.out}, {"checkpoint", result.checkpoint}, {"finished", result.finished}};
  if (!result.best_checkpoint.empty()) json["best_checkpoint"] = result.best_checkpoint;
  if (result.last.step > 0) {
    json["step"] = result.last.step;
    json["tokens"] = result.last.tokens;
    json["loss"] = result.last.loss;
  }
  if (result.start_loss >= 0) json["start_loss"] = result.start_loss;
  if (result.last.validation_loss >= 0) json["validation_loss"] = result.last.validation_loss;
  if (!result.best_checkpoint.empty()) json["best_loss"] = result.best_loss;
  if (!result.checkpoint.empty()) json["report"] = ReportRun(arguments.out);
  PrintResult(json, arguments.json);
  if (!result.finished) throw InterruptedRun(result.checkpoint);
}

}  // namespace

void RegisterFinetune(Command app) {
  Command command =
      app.AddCommand("finetune", "Teach a model to answer as the assistant of chats does");
  const auto arguments = std::make_shared<FinetuneArguments>();
  arguments->recipe.Register(command, TakesFinetuning, "finetune.epochs=1", /*required=*/false);
  command.Add("--model", arguments->model, fmt::format("{} to start from", kModelFiles)).Required();
  command
      .Add("--data", arguments->data,
           "files or folders of chats, .jsonl or .json (.gz or .zst may follow): rows with "
           "messages, conversations, prompt and completion, problem and solution, or generations")
      .Required();
  command.Add("--out", arguments->out, "run directory to write").Required();
  command.Add("--resume", arguments->resume, "go on with the run in --out, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse finetune --model SmolLM2-135M-Instruct/ --data chats.jsonl --out "
      "runs/sft\n\nFields of a recipe, with their defaults:\n\n" +
      FieldsHelp<FinetuneRecipe>());
  command.Runs([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
