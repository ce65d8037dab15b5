// `darkhorse run`: the stages of pipeline/stage_list.h, watched.
#include "app/run.h"

#include <cmath>
#include <cstdio>
#include <optional>

#include "app/app.h"
#include "app/flags.h"
#include "app/live.h"
#include "app/output.h"
#include "app/problem_flags.h"
#include "app/recipes.h"
#include "app/unread.h"
#include "base/file.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "base/utf8.h"
#include "data/prepare.h"
#include "pipeline/distil.h"
#include "pipeline/run_report.h"
#include "pipeline/stage_list.h"
#include "report/data.h"

namespace darkhorse {
namespace {

struct RunArguments {
  RecipeArguments recipe;
  std::string out, model;
  ProblemFlags problems;
  bool resume = false;  // for who expects it: a run always goes on
  bool json = false;
};

// What the stages tell, a status line for the one at work.
class StagesView {
 public:
  StageListCallbacks* callbacks() { return &callbacks_; }

  explicit StagesView(bool show_thoughts) {
    callbacks_.on_begin = [this](const StageRecipe& stage) { Begin(stage); };
    callbacks_.on_end = [this](const StageRecipe& stage, const std::string& folder) {
      EndLine();
      Report(stage, folder);
    };
    callbacks_.on_note = Note;
    callbacks_.on_corpus = [this](const PrepareProgress& p) {
      if (!corpus_) corpus_.emplace();
      corpus_->Show(fmt::format("{:.0f} % · {} tokens", 100 * p.fraction,
                                FormatCount(static_cast<double>(p.tokens))));
    };
    callbacks_.on_scores = [](const std::string& name, const TaskEvaluation& evaluation) {
      Note(fmt::format("{}: {}", name, Describe(evaluation)));
    };
    callbacks_.on_faults = [](const ScoringFaults& faults) { Note(DescribeFaults(faults)); };
    if (show_thoughts) callbacks_.on_thought = PrintThought;
    callbacks_.stop = Interrupted;
  }

 private:
  static void PrintThought(const std::string& name, const Problem& problem, const Sample& sample) {
    PrintText(fmt::format("--- a thought of {}: {}\n{}{}\n", name,
                          EscapedForTerminal(sample.score.why), EscapedForTerminal(problem.prompt),
                          ShownThought(sample.text)));
    std::fflush(stdout);  // before what stderr says of later
  }

  void Begin(const StageRecipe& stage) {
    EndLine();
    if (const auto* pretrain = std::get_if<PretrainRecipe>(&stage.recipe)) {
      pretraining_.emplace(pretrain->train.steps, FormatOf(pretrain->train.precision));
      callbacks_.pretraining = pretraining_->Callbacks();
      callbacks_.pretraining.on_step = [this](const StepMetrics& m) {
        corpus_.reset();
        pretraining_->Show(m);
      };
    } else if (const auto* finetune = std::get_if<FinetuneRecipe>(&stage.recipe)) {
      finetuning_.emplace(FormatOf(finetune->finetune.precision));
      callbacks_.finetuning = finetuning_->Callbacks();
    } else if (const auto* reinforce = std::get_if<ReinforceRecipe>(&stage.recipe)) {
      reinforcement_.emplace(reinforce->rl.steps);
      callbacks_.reinforcement = reinforcement_->Callbacks();
    } else if (std::holds_alternative<SampleRecipe>(stage.recipe)) {
      sampling_.emplace();
      callbacks_.sampling = sampling_->Callbacks();
    } else if (const auto* distil = std::get_if<DistilRecipe>(&stage.recipe)) {
      sampling_.emplace();
      callbacks_.sampling = sampling_->Callbacks();
      finetuning_.emplace(FormatOf(distil->finetuning.finetune.precision));
      callbacks_.finetuning = finetuning_->Callbacks();
      callbacks_.finetuning.on_plan = [this, told = callbacks_.finetuning.on_plan](int64_t steps) {
        sampling_.reset();  // its line ends
        told(steps);
      };
    }
  }

  void EndLine() {
    corpus_.reset();
    pretraining_.reset();
    finetuning_.reset();
    reinforcement_.reset();
    sampling_.reset();
  }

  static void Report(const StageRecipe& stage, const std::string& folder) {
    if (stage.head.kind == "distil") {
      ReportRun(folder + "/" + distil_files::kStudent);
    } else if (stage.head.kind != "sample" && stage.head.kind != "evaluate") {
      ReportRun(folder);
    }
  }

  StageListCallbacks callbacks_;
  std::optional<StatusLine> corpus_;
  std::optional<PretrainView> pretraining_;
  std::optional<FinetuneView> finetuning_;
  std::optional<ReinforceView> reinforcement_;
  std::optional<SampleView> sampling_;
};

// "0.250 (0.200–0.305)"; without bounds where there are none.
std::string Figure(const Json& task, const std::string& name) {
  const std::string value = fmt::format("{:.3f}", task[name].get<double>());
  const Interval share = ShareAt(task, name);
  if (!std::isfinite(share.high - share.low)) return value;
  return fmt::format("{} ({:.3f}–{:.3f})", value, share.low, share.high);
}

// Two measurements of the same tasks side by side, figure by figure: of pass@k the first and the
// last.
Json BeforeAndAfter(const Json& before, const Json& after) {
  Json all = Json::object();
  for (size_t i = 0; i < before.size() && i < after.size(); ++i) {
    Json& task = all[TaskName(before[i])];
    const std::string last = fmt::format("pass@{}", before[i].value("samples", 0));
    for (const auto& [name, value] : before[i].items()) {
      if (!value.is_number_float() || !after[i].contains(name)) continue;
      if (name.starts_with("pass@") && name != "pass@1" && name != last) continue;
      task[name] = fmt::format("{} -> {}", Figure(before[i], name), Figure(after[i], name));
    }
  }
  return all;
}

void Run(const RunArguments& arguments) {
  RecipeArguments given = arguments.recipe;
  if (!arguments.model.empty()) given.overrides.push_back("model=" + arguments.model);
  const StagesRecipe recipe =
      ReadRunRecipe(given, [&](ProblemsOptions* problems) { arguments.problems.Apply(problems); });
  for (const StageRecipe& stage : recipe.stages) {
    const bool pretrains = std::holds_alternative<PretrainRecipe>(stage.recipe);
    for (const std::string& data : stage.head.data) {
      if (pretrains && FileExists(data)) RequirePrepared(data, kTrainShard);
    }
  }
  TellOfNoRun(arguments.out, /*resume=*/false);
  CatchInterrupts();
  const StageListResult result = [&] {
    // With --json stdout holds one object and nothing else.
    StagesView view(/*show_thoughts=*/!arguments.json);
    return RunStageList(recipe, arguments.out, *view.callbacks());
  }();
  Json json{{"run", arguments.out}};
  for (const auto& [name, scores] : result.scores) json["scores"][name] = scores;
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
  const Json scores = result.value("scores", Json::object());
  if (scores.size() == 2 && AreOfTheSameTasks(scores.front(), scores.back())) {
    const auto before = scores.begin(), after = std::next(before);
    result[before.key() + " -> " + after.key()] = BeforeAndAfter(before.value(), after.value());
    result.erase("scores");
  } else {
    for (const auto& [name, tasks] : scores.items()) {
      Json brief = Json::object();
      for (const Json& task : tasks) brief[TaskName(task)] = "pass@1 " + Figure(task, "pass@1");
      result["scores"][name] = brief;
    }
  }
  if (result.value("finished", false) && result.contains("model")) {
    result["ask it"] =
        fmt::format("{} chat --model {}", program, result["model"].get<std::string>());
  }
  return result;
}

void RegisterRun(Command app) {
  Command command = app.AddCommand(
      "run", "Make a reasoning model in stages: corpus, base model, reinforcement learning, …");
  const auto arguments = std::make_shared<RunArguments>();
  arguments->recipe.Register(command, TakesRun, "reinforce.rl.steps=100");
  command.Add("--out", arguments->out, "run directory; finished stages in it are kept").Required();
  command.Add(
      "--model", arguments->model,
      "a model's folder or GGUF file, in place of the one that the first pretraining of the "
      "recipe would make, or for a recipe that pretrains none");
  arguments->problems.Register(command);
  command.Add("--resume", arguments->resume,
              "as always: finished stages are kept, an interrupted one goes on, exactly");
  AddJsonFlag(command, &arguments->json);
  command.Footer(
      "For example: darkhorse run countdown --out runs/countdown\n\n--set NAME.field=value is of a "
      "stage, by its name or its kind.\n\nFields of a recipe, with their defaults:\n\n" +
      FieldsHelp<StagesRecipe>() + "\n[[stage]]   # and the sections of its kind: --help of " +
      "pretrain, sample, finetune, reinforce, distil; of evaluate as below\n" +
      FieldsHelp<StageHead>() + "\n" + FieldsHelp<MeasureRecipe>());
  command.Runs([arguments] { Run(*arguments); });
}

}  // namespace darkhorse
