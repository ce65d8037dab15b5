#include "app/run_stages.h"

#include <optional>

#include "app/app.h"
#include "app/live.h"
#include "app/output.h"
#include "base/format.h"
#include "base/interrupt.h"
#include "pipeline/distil.h"
#include "pipeline/run_report.h"
#include "pipeline/stage_list.h"
#include "report/data.h"

namespace darkhorse {
namespace {

// What the stages tell, a status line for the one at work.
class StagesView {
 public:
  StageListCallbacks* callbacks() { return &callbacks_; }

  StagesView() {
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
    callbacks_.stop = Interrupted;
  }

 private:
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

}  // namespace

void RunListOfStages(const StagesRecipe& recipe, const std::string& out, bool json) {
  CatchInterrupts();
  const StageListResult result = [&] {
    StagesView view;
    return RunStageList(recipe, out, *view.callbacks());
  }();
  Json printed{{"run", out}};
  for (const auto& [name, scores] : result.scores) printed["scores"][name] = scores;
  if (!result.model.empty()) printed["model"] = result.model;
  printed["finished"] = result.finished;
  if (!json && printed.contains("scores")) {
    // A figure a task: the rest is in the files.
    Json brief = Json::object();
    for (const auto& [name, scores] : result.scores) {
      for (const Json& task : scores)
        brief[name][TaskName(task)] = fmt::format("pass@1 {:.3f}", task["pass@1"].get<double>());
    }
    printed["scores"] = brief;
  }
  PrintResult(printed, json);
  if (!result.finished) throw SavedInterruption{{}, "the same command goes on from what is saved"};
}

}  // namespace darkhorse
