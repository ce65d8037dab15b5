// `darkhorse distil`: a teacher answers problems, a student learns what was right of it.
#include "pipeline/distil.h"

#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "app/sample.h"
#include "base/interrupt.h"
#include "pipeline/run_report.h"

namespace darkhorse {
namespace {

struct DistilArguments {
  RecipeArguments recipe;
  ProblemFlags problems;
  std::vector<std::string> tasks;
  std::string teacher, student;
  std::string out;
  bool resume = false;  // for who expects it: it always goes on
  bool json = false;
};

// Fields by their flags.
std::map<std::string, std::string> NamesBeside(const DistilArguments& arguments) {
  std::map<std::string, std::string> names =
      arguments.problems.NamesBeside(arguments.recipe.recipe);
  if (arguments.recipe.recipe.empty() || !arguments.tasks.empty()) names["sample.tasks"] = "--task";
  return names;
}

void Run(const DistilArguments& arguments) {
  const DistilRecipe recipe = ReadDistilRecipe(arguments.recipe, [&](DistilRecipe* r) {
    if (!arguments.tasks.empty()) r->sampling.sample.tasks = arguments.tasks;
    arguments.problems.Apply(&r->sampling.problems);
  });
  TellOfNoRun(arguments.out, /*resume=*/false);
  CatchInterrupts();
  const DistilResult result = [&] {
    const Teller note = NoteWithFlags(NamesBeside(arguments));
    std::optional<SampleView> sampling(std::in_place, note);
    FinetuneView finetuning(FormatOf(recipe.finetuning.finetune.precision));
    FinetuneCallbacks learning = finetuning.Callbacks();
    learning.on_plan = [&, told = learning.on_plan](int64_t steps) {
      sampling.reset();  // its line ends
      told(steps);
    };
    learning.on_note = note;
    return Distil(recipe, arguments.teacher, arguments.student, arguments.out,
                  {sampling->Callbacks(), learning});
  }();
  Json json{{"run", arguments.out}, {"finished", result.finished}};
  if (result.sampling.finished) json["samples"] = Describe(result.sampling.selection);
  const FinetuneResult& learned = result.finetuning;
  if (!learned.checkpoint.empty()) json["checkpoint"] = learned.checkpoint;
  if (!learned.best_checkpoint.empty()) json["best_checkpoint"] = learned.best_checkpoint;
  if (learned.start_loss >= 0) json["start_loss"] = learned.start_loss;
  if (learned.last.validation_loss >= 0) json["validation_loss"] = learned.last.validation_loss;
  if (!learned.checkpoint.empty())
    json["report"] = ReportRun(arguments.out + "/" + distil_files::kStudent);
  PrintResult(json, arguments.json);
  if (!result.finished) throw SavedInterruption{{}, "the same command goes on from what is saved"};
}

}  // namespace

void RegisterDistil(Command app) {
  Command command = app.AddCommand(
      "distil", "A student learns what a teacher answers rightly: `sample`, then `finetune`");
  const auto arguments = std::make_shared<DistilArguments>();
  arguments->recipe.Register(command, TakesDistilling, "sample.max_tokens=512", /*required=*/false);
  command
      .Add("--teacher", arguments->teacher, fmt::format("{}, or the URL of a server", kModelFiles))
      .Required();
  command.Add("--student", arguments->student, kModelFiles).Required();
  command.Add("--task", arguments->tasks, "built-in task: name or name:level; may be repeated");
  arguments->problems.Register(command);
  command
      .Add("--out", arguments->out,
           "folder to write: samples/, student/; what is finished in it is kept")
      .Required();
  command.Add("--resume", arguments->resume,
              "as always: what is finished is kept, what was interrupted goes on, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse distil --teacher teacher.gguf --student student/ --problems "
      "problems.jsonl --rule numeric --out runs/distilled\n\nFields of a recipe, with their "
      "defaults:\n\n" +
      FieldsHelp<DistilRecipe>());
  command.Runs([arguments] { TellingFlags(NamesBeside(*arguments), [&] { Run(*arguments); }); });
}

}  // namespace darkhorse
