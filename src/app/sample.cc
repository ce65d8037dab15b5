// `darkhorse sample`: a teacher answers problems, what is right of it is kept as chats.
#include "app/sample.h"

#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "base/interrupt.h"
#include "pipeline/sampling.h"

namespace darkhorse {
namespace {

struct SampleArguments {
  RecipeArguments recipe;
  ProblemFlags problems;
  std::vector<std::string> tasks;
  std::optional<int64_t> samples;
  std::string model;
  std::string out;
  bool resume = false;
  bool json = false;
};

}  // namespace

Json Describe(const Selection& s) {
  Json json{{"problems", s.problems}, {"solved", s.solved}, {"covered", s.covered},
            {"answers", s.answers},   {"right", s.right},   {"kept", s.kept}};
  if (s.kept > 0) {
    json["mean_length"] = static_cast<double>(s.tokens) / static_cast<double>(s.kept);
    json["longest"] = s.longest;
  }
  return json;
}

namespace {

// Fields by their flags.
std::map<std::string, std::string> NamesBeside(const SampleArguments& arguments) {
  std::map<std::string, std::string> names =
      arguments.problems.NamesBeside(arguments.recipe.recipe);
  const bool alone = arguments.recipe.recipe.empty();
  if (alone || !arguments.tasks.empty()) names["sample.tasks"] = "--task";
  if (alone || arguments.samples) names["sample.samples"] = "--samples";
  return names;
}

void Run(const SampleArguments& arguments) {
  const SampleRecipe recipe = ReadSampleRecipe(arguments.recipe, [&](SampleRecipe* r) {
    if (!arguments.tasks.empty()) r->sample.tasks = arguments.tasks;
    if (arguments.samples) r->sample.samples = *arguments.samples;
    arguments.problems.Apply(&r->problems);
  });
  TellOfNoRun(arguments.out, arguments.resume);
  CatchInterrupts();
  const SampleResult result = [&] {
    SampleView view(NoteWithFlags(NamesBeside(arguments)));
    return SampleAnswers(recipe, arguments.model, arguments.out, arguments.resume,
                         view.Callbacks());
  }();
  Json json{{"run", arguments.out}, {"finished", result.finished}};
  if (result.finished) {
    json["data"] = result.chats;
    json.update(Describe(result.selection));
  } else {
    json["done"] = result.done;
  }
  PrintResult(json, arguments.json);
  if (!result.finished) throw InterruptedRun(result.done > 0 ? arguments.out : "");
}

}  // namespace

void RegisterSample(Command app) {
  Command command = app.AddCommand(
      "sample", "A teacher answers problems; what is right of it is kept, as chats to learn from");
  const auto arguments = std::make_shared<SampleArguments>();
  arguments->recipe.Register(command, TakesSampling, "sample.max_tokens=512", /*required=*/false);
  command
      .Add("--model", arguments->model,
           fmt::format("teacher: {}, or the URL of a server", kModelFiles))
      .Required();
  command.Add("--task", arguments->tasks, "built-in task: name or name:level; may be repeated");
  arguments->problems.Register(command);
  command.Add("--samples", arguments->samples, "answers to each problem").Within(1, 1 << 20);
  command.Add("--out", arguments->out, "folder to write").Required();
  command.Add("--resume", arguments->resume, "go on with the sampling in --out, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse sample --model teacher.gguf --problems problems.jsonl --rule numeric "
      "--out right\n\nFields of a recipe, with their defaults:\n\n" +
      FieldsHelp<SampleRecipe>());
  command.Runs([arguments] { TellingFlags(NamesBeside(*arguments), [&] { Run(*arguments); }); });
}

}  // namespace darkhorse
