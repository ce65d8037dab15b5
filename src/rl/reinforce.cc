#include "rl/reinforce.h"

#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "checkpoint/run_directory.h"
#include "rl/learner.h"
#include "rl/log.h"
#include "train/metrics.h"

namespace darkhorse {

namespace {

class Run {
 public:
  Run(const ReinforceRecipe& recipe, const std::string& model_directory, const std::string& run,
      const ReinforceCallbacks& callbacks)
      : recipe_(recipe),
        run_(run),
        callbacks_(callbacks),
        environment_(MakeEnvironment(recipe.rl.tasks, recipe.problems,
                                     [this](const std::string& message) { Note(message); })),
        learner_(recipe, model_directory, *environment_),
        inputs_{{"model", CheckpointFingerprint(model_directory)}} {
    if (!learner_.reference().empty())
      learner_.trainer().AddState("reference", learner_.reference());
  }

  void Begin();
  void GoOn(const LatestCheckpoint& latest);
  ReinforceResult Loop();

 private:
  void Note(const std::string& message) const {
    if (callbacks_.on_note) callbacks_.on_note(message);
  }
  void Evaluate(bool last, ReinforceMetrics& metrics);
  void Save();
  void Leave();

  const ReinforceRecipe& recipe_;
  const std::string run_;
  const ReinforceCallbacks& callbacks_;
  const std::unique_ptr<Environment> environment_;
  Learner learner_;
  const RunInputs inputs_;
  GuardState guards_;
  ReinforceResult result_;
};

void Run::Begin() {
  MakeDirectories(run_);
  std::string probe_json;
  if (recipe_.probe.problems > 0) {
    const ProbeReport probe = learner_.Probe();
    probe_json = ProbeJson(probe);
    for (const std::string& line : DescribeProbe(probe)) Note(line);
    // They count for nothing of the run.
    const ScoringFaults faults = environment_->TakeFaults();
    if (faults.samples > 0)
      Note(fmt::format("probe: {} samples could not be scored; the last: {}", faults.samples,
                       faults.last));
    if (probe.hopeless && recipe_.probe.stop_if_hopeless)
      Fail("{} (probe.stop_if_hopeless = false begins all the same)", probe.findings.front());
  }
  // Only now, so that after a refusal another recipe may begin here.
  RecordRecipe(run_, ToToml(recipe_), /*goes_on=*/false);
  RecordInputs(run_, inputs_, /*goes_on=*/false);
  if (!probe_json.empty()) WriteFileAtomically(run_ + "/probe.json", probe_json);
}

void Run::GoOn(const LatestCheckpoint& latest) {
  for (const std::string& warning : latest.warnings) Note(warning);
  RecordRecipe(run_, ToToml(recipe_), /*goes_on=*/true);
  RecordInputs(run_, inputs_, /*goes_on=*/true);
  const LoopState state =
      ParseLoopState(learner_.trainer().Load(latest.directory), latest.directory);
  if (state.problems != environment_->Fingerprint()) {
    Fail(
        "{}: has changed since the run in {} began with it; put back the file as it was, or "
        "choose another --out",
        recipe_.problems.file, run_);
  }
  if (state.position.success.size() != learner_.position.success.size()) {
    Fail(
        "{}: its trainer state is of a mixture of {} tasks, the recipe's has {}; choose another "
        "--out",
        latest.directory, state.position.success.size(), learner_.position.success.size());
  }
  learner_.position = state.position;
  learner_.trainer().optimizer().set_step(state.optimizer_step);
  guards_ = state.guards;
  result_.stop_reason = state.stopped;
  result_.best_accuracy = state.best_accuracy;
  result_.checkpoint = latest.directory;
  Note(fmt::format("resuming from {}", latest.directory));
}

void Run::Evaluate(bool last, ReinforceMetrics& metrics) {
  const double start = SteadySeconds();
  metrics.evaluation = learner_.Evaluate();
  metrics.evaluate_seconds = SteadySeconds() - start;
  const double accuracy = MeanAccuracy(metrics.evaluation);
  if (!last) metrics.stopped = StopReason(recipe_.stop, accuracy, result_.best_accuracy, guards_);
  if (accuracy <= result_.best_accuracy) return;
  result_.best_accuracy = accuracy;
  Trainer& trainer = learner_.trainer();
  PublishCheckpoint(run_ + "/best", trainer.config(), trainer.layout(), trainer.weights(),
                    learner_.files(), nullptr);
}

void Run::Save() {
  const LoopState state{learner_.position,
                        learner_.trainer().optimizer().step(),
                        result_.best_accuracy,
                        environment_->Fingerprint(),
                        guards_,
                        result_.stop_reason};
  result_.checkpoint = learner_.trainer().Save(run_, recipe_.rl.keep_checkpoints, learner_.files(),
                                               WriteLoopState(state), learner_.position.completed);
}

// The user asked to stop, between two updates.
void Run::Leave() {
  if (learner_.position.completed == 0)
    return Note("stopped before the first step; nothing to save");
  Save();
  Note(fmt::format("stopped after step {}; its state is saved, so the run can be resumed",
                   learner_.position.completed));
}

ReinforceResult Run::Loop() {
  ReinforceLog log(run_, learner_.position.completed);
  TruncateJsonLines(run_ + "/timings.jsonl", learner_.position.completed);
  TimingsFile timings(run_ + "/timings.jsonl");
  const ReinforceOptions& rl = recipe_.rl;
  while (learner_.position.completed < rl.steps && result_.stop_reason.empty()) {
    ReinforceMetrics metrics;
    try {
      if (callbacks_.stop && callbacks_.stop()) throw Interruption();
      metrics = learner_.Step();
    } catch (const Interruption&) {
      Leave();
      return result_;
    }
    const bool last = metrics.step == rl.steps;
    if (rl.evaluate_every > 0 && (last || metrics.step % rl.evaluate_every == 0)) {
      try {
        Evaluate(last, metrics);
      } catch (const Interruption&) {
        // The step is not whole without its evaluation, and cannot be undone.
        Note(fmt::format("stopped in the evaluation after step {}; {}", metrics.step,
                         result_.checkpoint.empty()
                             ? "nothing was saved yet"
                             : "the run can be resumed from " + result_.checkpoint));
        return result_;
      }
    }
    metrics.scoring_can_fail = environment_->CanFail();
    metrics.faults = environment_->TakeFaults();
    metrics.warnings = NewWarnings(metrics, guards_);
    result_.stop_reason = metrics.stopped;
    log.Append(metrics);
    timings.Append(metrics.step,
                   metrics.sample_seconds + metrics.score_seconds + metrics.train_seconds +
                       metrics.evaluate_seconds,
                   metrics.flops);
    const bool ends = last || !metrics.stopped.empty();
    if (ends || metrics.step % rl.checkpoint_every == 0) Save();
    if (callbacks_.on_step) callbacks_.on_step(metrics);
    for (const Warning& warning : metrics.warnings)
      Note(fmt::format("warning: after step {}: {}", metrics.step, warning.text));
    if (!metrics.stopped.empty())
      Note(fmt::format("finished after step {}: {}", metrics.step, metrics.stopped));
    result_.last = std::move(metrics);
  }
  if (FileExists(run_ + "/best/config.json")) result_.best_checkpoint = run_ + "/best";
  result_.finished = true;
  return result_;
}

}  // namespace

ReinforceResult Reinforce(const ReinforceRecipe& recipe, const std::string& model_directory,
                          const std::string& run, bool resume,
                          const ReinforceCallbacks& callbacks) {
  Validate(recipe);
  const auto latest = FindLatestCheckpoint(run);
  if (latest && !resume)
    Fail("{}: holds a run already; add --resume to go on with it, or choose another --out", run);
  Run loop(recipe, model_directory, run, callbacks);
  if (latest) {
    loop.GoOn(*latest);
  } else {
    try {
      loop.Begin();
    } catch (const Interruption&) {
      return {};  // nothing was begun
    }
  }
  return loop.Loop();
}

ProbeReport ProbeModel(const ReinforceRecipe& recipe, const std::string& model_directory,
                       const ReinforceCallbacks& callbacks) {
  Validate(recipe);
  if (recipe.probe.problems == 0)
    FailUsage("probe.problems is 0; a probe takes at least 1 (16 is usual)");
  const std::unique_ptr<Environment> environment =
      MakeEnvironment(recipe.rl.tasks, recipe.problems, [&](const std::string& message) {
        if (callbacks.on_note) callbacks.on_note(message);
      });
  return Learner(recipe, model_directory, *environment).Probe();
}

}  // namespace darkhorse
