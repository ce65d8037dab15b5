#include "pipeline/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "checkpoint/run_directory.h"
#include "pipeline/measure.h"
#include "pipeline/world.h"
#include "report/report.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

// Calls what the caller may have left empty.
template <typename Callback, typename... Values>
void Tell(const Callback& callback, const Values&... values) {
  if (callback) callback(values...);
}

class Stages {
 public:
  Stages(const RunRecipe& recipe, const std::string& run, const RunCallbacks& callbacks)
      : recipe_(recipe), run_(run), tell_(callbacks), mix_(recipe.corpus.Mix()) {}

  // Throws Interruption where it is stopped; *result then holds what was measured.
  void Run(RunResult* result) {
    NoteUnseenTasks();
    Tokenize();
    Prepare();
    const std::string base = PretrainBase();
    result->base = Measure(Stage::kBaseScores, base);
    const std::string policy = ReinforceBase(base);
    result->reinforced = Measure(Stage::kReinforcedScores, policy);
    result->model = policy;
  }

 private:
  std::string Path(const std::string& name) const { return run_ + "/" + name; }
  void Note(const std::string& text) const { Tell(tell_.on_note, text); }
  void Begin(Stage stage, const std::string& note) const {
    Note(note);
    Tell(tell_.on_begin, stage);
  }

  // A model does what its text showed it sometimes, and nothing else.
  void NoteUnseenTasks() const {
    if (!recipe_.reinforce.problems.file.empty()) return;
    std::set<std::string> seen, unseen;
    for (const TaskShare& share : mix_.tasks) seen.insert(share.task);
    for (const WeightedTask& entry : ParseMixture(recipe_.reinforce.rl.tasks)) {
      if (!seen.contains(std::string(entry.task->Name())))
        unseen.insert(std::string(entry.task->Name()));
    }
    if (unseen.empty()) return;
    Note(
        fmt::format("warning: reinforcement works on {}, of which the corpus has nothing (it has "
                    "{}), so the base "
                    "model will hardly ever be right; name the same tasks in corpus.tasks and "
                    "reinforce.rl.tasks",
                    fmt::join(unseen, ", "), fmt::join(seen, ", ")));
  }

  void Tokenize() {
    const std::string path = Path(run_files::kTokenizer);
    if (FileExists(path)) return Note("the tokenizer is there already");
    Begin(Stage::kTokenizer, "training the tokenizer");
    MakeTokenizer(mix_, recipe_.corpus, recipe_.vocab_size, recipe_.digits_per_token, path);
    Tell(tell_.on_end, Stage::kTokenizer);
  }

  void Prepare() {
    const std::string data = Path(run_files::kData);
    if (FileExists(data + "/" + kTrainShard)) return Note("the corpus is there already");
    Begin(Stage::kCorpus, "writing the corpus");
    MakeCorpus(mix_, recipe_.corpus, Path(run_files::kTokenizer), data, tell_.on_corpus,
               tell_.stop);
    Tell(tell_.on_end, Stage::kCorpus);
  }

  std::string PretrainBase() {
    Begin(Stage::kPretraining, "pretraining the base model");
    const PretrainResult result =
        Pretrain(recipe_.pretrain, Path(run_files::kData), Path(run_files::kBase), /*resume=*/true,
                 {.on_step =
                      [this](const StepMetrics& m) {
                        ModelChanges(run_files::kBaseScores);
                        Tell(tell_.on_pretraining_step, m);
                      },
                  .on_note = tell_.on_note,
                  .written = ReportFiles(),
                  .stop = tell_.stop});
    if (!result.finished) throw Interruption();
    Tell(tell_.on_end, Stage::kPretraining);
    return result.checkpoint;
  }

  std::string ReinforceBase(const std::string& base) {
    Begin(Stage::kReinforcement, "reinforcement learning");
    const ReinforceResult result =
        Reinforce(recipe_.reinforce, base, Path(run_files::kReinforced), /*resume=*/true,
                  {.on_step =
                       [this](const ReinforceMetrics& m) {
                         ModelChanges(run_files::kReinforcedScores);
                         Tell(tell_.on_reinforcement_step, m);
                       },
                   .on_evaluation = tell_.on_reinforcement_evaluation,
                   .on_note = tell_.on_note,
                   .written = ReportFiles(),
                   .stop = tell_.stop});
    if (!result.finished) throw Interruption();
    Tell(tell_.on_end, Stage::kReinforcement);
    // The last checkpoint, not the best: best/ was chosen on the very problems that it would be
    // measured on.
    return result.checkpoint;
  }

  // A stage has accepted the recipe and made a step: what was measured of its model before is of
  // another, and a recipe that asks for more steps is the run's own.
  void ModelChanges(const char* scores) const {
    std::filesystem::remove(Path(scores));
    RecordRecipe(run_, ToToml(recipe_));
  }

  Json Measure(Stage stage, const std::string& checkpoint) {
    const bool base = stage == Stage::kBaseScores;
    const std::string model = base ? "base" : "reinforced";
    const std::string path = Path(base ? run_files::kBaseScores : run_files::kReinforcedScores);
    if (FileExists(path)) {
      Note(fmt::format("the {} model is measured already", model));
      return ReadScores(path);
    }
    Begin(stage, fmt::format("measuring the {} model on held-out problems", model));
    const ReinforceOptions& rl = recipe_.reinforce.rl;
    EvaluationOptions options;
    options.problems = recipe_.evaluate_problems;
    options.samples = recipe_.evaluate_samples;
    options.max_tokens = rl.max_tokens;
    options.slots = rl.slots;
    const Json scores = MeasureModel(
        checkpoint, FormatOf(base ? recipe_.pretrain.train.precision : rl.precision),
        {rl.tasks, options, recipe_.reinforce.problems, recipe_.reinforce.prompt},
        {.on_scores = [&](const TaskEvaluation& e) { Tell(tell_.on_scores, model, e); },
         .on_faults = tell_.on_faults,
         .on_thought =
             [&](const Problem& problem, const Sample& sample) {
               Tell(tell_.on_thought, model, problem, sample);
             },
         .on_note = tell_.on_note,
         .stop = tell_.stop});
    WriteFileAtomically(path, scores.dump());
    Tell(tell_.on_end, stage);
    return scores;
  }

  const RunRecipe& recipe_;
  const std::string run_;
  const RunCallbacks& tell_;
  const CorpusMix mix_;
};

int64_t StepsDone(const std::string& run) {
  const auto latest = FindLatestCheckpoint(run);
  return latest ? latest->step : 0;
}

// More steps may be asked for of what nothing has been built on yet. A run's own recipe is recorded
// at once, another only when a stage has accepted it.
void Check(const RunRecipe& recipe, const std::string& run) {
  using namespace run_files;
  std::vector<std::string> written = ReportFiles();
  written.insert(written.end(),
                 {"best", kTokenizer, kData, kBase, kBaseScores, kReinforced, kReinforcedScores});
  const std::string base = run + "/" + kBase, reinforced = run + "/" + kReinforced;
  const int64_t reinforced_steps = StepsDone(reinforced);
  std::vector<StepsField> may_grow = {{"reinforce.rl.steps", reinforced_steps}};
  may_grow.push_back({"pretrain.train.steps", StepsDone(base),
                      reinforced_steps == 0 ? ""
                                            : fmt::format("reinforcement has begun from the base "
                                                          "model and done {} steps",
                                                          reinforced_steps)});
  if (CheckRecipe(run, ToToml(recipe), /*goes_on=*/true, written, may_grow,
                  {"reinforce.problems.file", "reinforce.distil.teacher"})
          .empty())
    RecordRecipe(run, ToToml(recipe));
}

}  // namespace

RunResult RunStages(const RunRecipe& recipe, const std::string& run,
                    const RunCallbacks& callbacks) {
  Stages stages(recipe, run, callbacks);
  const RunLock lock(run);
  Check(recipe, run);
  RunResult result;
  try {
    stages.Run(&result);
    result.finished = true;
  } catch (const Interruption&) {
  }
  return result;
}

bool HasReport(const std::string& run) {
  return FileExists(run + "/" + run_files::kBase + "/checkpoints");
}

}  // namespace darkhorse
