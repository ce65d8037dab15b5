// `darkhorse run`: the stages of pipeline/stages.h, watched.
#include "app/run.h"

#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/recipes.h"
#include "app/run_stages.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "pipeline/run_report.h"
#include "pipeline/stages.h"
#include "report/data.h"

namespace darkhorse {
namespace {

struct RunArguments {
  RecipeArguments recipe;
  std::string out;
  bool resume = false;  // for who expects it: a run always goes on
  bool json = false;
};

// What the stages tell, a status line per stage.
class RunView {
 public:
  explicit RunView(const RunRecipe& recipe) : recipe_(recipe) {}

  RunCallbacks Callbacks(bool show_thoughts) {
    RunCallbacks callbacks{
        .on_begin = [this](Stage stage) { Begin(stage); },
        .on_end = [this](Stage) { EndLine(); },
        .on_note = Note,
        .on_corpus = [this](const PrepareProgress& p) { corpus_->Show(DescribeCorpus(p)); },
        .on_pretraining_step = [this](const StepMetrics& m) { pretraining_->Show(m); },
        .on_reinforcement_step = [this](const ReinforceMetrics& m) { reinforcement_->Show(m); },
        .on_reinforcement_evaluation =
            [this](const ReinforceMetrics& m) { reinforcement_->ShowEvaluation(m); },
        .on_scores =
            [show_thoughts](const std::string& model, const TaskEvaluation& evaluation) {
              // Those of the reinforced model are in the table that follows.
              if (show_thoughts && model != "base") return;
              Note(fmt::format("{}: {}", model, Describe(evaluation)));
            },
        .on_faults = [](const ScoringFaults& faults) { Note(DescribeFaults(faults)); },
        .stop = Interrupted};
    if (show_thoughts) {
      callbacks.on_thought = [](const std::string& model, const Problem& problem,
                                const Sample& sample) {
        PrintText(fmt::format("--- a thought of the {} model: {}\n{}{}\n", model,
                              EscapedForTerminal(sample.score.why),
                              EscapedForTerminal(problem.prompt), ShownThought(sample.text)));
      };
    }
    return callbacks;
  }

 private:
  static std::string DescribeCorpus(const PrepareProgress& p) {
    return fmt::format("{:.0f} % · {} tokens", 100 * p.fraction,
                       FormatCount(static_cast<double>(p.tokens)));
  }

  void Begin(Stage stage) {
    if (stage == Stage::kCorpus) corpus_.emplace();
    if (stage == Stage::kPretraining)
      pretraining_.emplace(recipe_.pretrain.train.steps,
                           FormatOf(recipe_.pretrain.train.precision));
    if (stage == Stage::kReinforcement) reinforcement_.emplace(recipe_.reinforce.rl.steps);
  }

  void EndLine() {
    corpus_.reset();
    pretraining_.reset();
    reinforcement_.reset();
  }

  const RunRecipe& recipe_;
  std::optional<StatusLine> corpus_;
  std::optional<PretrainView> pretraining_;
  std::optional<ReinforceView> reinforcement_;
};

// "0.250 (0.200–0.305)"; without bounds where there are none.
std::string Figure(const Json& task, const std::string& name) {
  const std::string value = fmt::format("{:.3f}", task[name].get<double>());
  const auto bounds = task.find(name + "_ci95");
  if (bounds == task.end() || !bounds->is_array()) return value;
  return fmt::format("{} ({:.3f}–{:.3f})", value, bounds->at(0).get<double>(),
                     bounds->at(1).get<double>());
}

// Two measurements of the same tasks side by side, figure by figure: of pass@k the first and the
// last.
Json BeforeAndAfter(const Json& base, const Json& reinforced) {
  Json all = Json::object();
  for (size_t i = 0; i < base.size() && i < reinforced.size(); ++i) {
    Json& task = all[TaskName(base[i])];
    const std::string last = fmt::format("pass@{}", base[i].value("samples", 0));
    for (const auto& [name, value] : base[i].items()) {
      if (!value.is_number_float() || !reinforced[i].contains(name)) continue;
      if (name.starts_with("pass@") && name != "pass@1" && name != last) continue;
      task[name] = fmt::format("{} -> {}", Figure(base[i], name), Figure(reinforced[i], name));
    }
  }
  return all;
}

void Run(const RunArguments& arguments) {
  if (NamesStages(arguments.recipe))
    return RunListOfStages(ReadStagesRecipe(arguments.recipe), arguments.out, arguments.json);
  const RunRecipe recipe = ReadRunRecipe(arguments.recipe);
  CatchInterrupts();
  const RunResult result = [&] {
    RunView view(recipe);
    // With --json stdout holds one object and nothing else.
    return RunStages(recipe, arguments.out, view.Callbacks(/*show_thoughts=*/!arguments.json));
  }();
  Json json{{"run", arguments.out}};
  if (!result.base.is_null()) json["base"] = result.base;
  if (!result.reinforced.is_null()) json["reinforced"] = result.reinforced;
  if (!result.model.empty()) json["model"] = result.model;
  json["finished"] = result.finished;
  if (HasReport(arguments.out)) json["report"] = ReportRun(arguments.out);
  PrintResult(arguments.json ? json : RunForPeople(json, ProgramName()), arguments.json);
  if (!result.finished) throw SavedInterruption{{}, "the same command goes on from what is saved"};
}

}  // namespace

std::string ShownThought(const std::string& text) {
  constexpr size_t kMost = 2000, kMostOfNoText = 200;
  std::string shown = EscapedForTerminal(text);
  // What is spelt out is no text to read: some of it will do.
  const size_t most = shown.size() > text.size() + text.size() / 4 ? kMostOfNoText : kMost;
  if (shown.size() <= most) return shown;
  const size_t kept = ValidUtf8Prefix(std::string_view(shown).substr(0, most));
  return fmt::format("{}… ({} bytes in all)", shown.substr(0, kept), text.size());
}

Json RunForPeople(Json result, const std::string& program) {
  if (result.contains("base") && result.contains("reinforced")) {
    result["base -> reinforced"] = BeforeAndAfter(result["base"], result["reinforced"]);
    result["ask it"] =
        fmt::format("{} chat --model {}", program, result["model"].get<std::string>());
  }
  result.erase("base");
  result.erase("reinforced");
  return result;
}

void RegisterRun(Command app) {
  Command command = app.AddCommand(
      "run", "Make a reasoning model from nothing: corpus, base model, reinforcement learning");
  const auto arguments = std::make_shared<RunArguments>();
  arguments->recipe.Register(command, TakesRun, "reinforce.rl.steps=100");
  command.Add("--out", arguments->out, "run directory; finished stages in it are kept").Required();
  command.Add("--resume", arguments->resume,
              "as always: finished stages are kept, an interrupted one goes on, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse run countdown --out runs/countdown\n\nFields of a recipe, with their "
      "defaults:\n\n" +
      FieldsHelp<RunRecipe>());
  command.Runs([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
