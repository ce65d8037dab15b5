#include "rl/reinforce.h"

#include <memory>
#include <optional>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/run_directory.h"
#include "rl/learner.h"
#include "rl/log.h"
#include "rl/own_problems.h"
#include "train/metrics.h"
#include "train/schedule.h"

namespace darkhorse {

namespace {

// Names in a run's folder that show whose it is.
std::vector<std::string> Written(const ReinforceCallbacks& callbacks) {
  std::vector<std::string> names = {"metrics.jsonl", "samples.jsonl", "timings.jsonl", "probe.json",
                                    "best"};
  names.insert(names.end(), callbacks.written.begin(), callbacks.written.end());
  return names;
}

// Of a file of JSON Lines; null where it has none.
nlohmann::ordered_json LastLine(const std::string& path) {
  std::string text = ReadFile(path);
  if (!text.empty()) text.pop_back();
  return TryParseJson<nlohmann::ordered_json>(text.substr(text.rfind('\n') + 1))
      .value_or(nlohmann::ordered_json());
}

TrainingStart StartOf(const ReinforceRecipe& recipe, const std::string& model_directory) {
  return {model_directory, recipe.adapter, FormatOf(recipe.rl.precision)};
}

RunInputs Inputs(const ReinforceRecipe& recipe, const TrainingStart& start) {
  RunInputs inputs = {{"model", CheckpointFingerprint(start.path())}};
  if (const std::string& teacher = recipe.teacher.model; !teacher.empty())
    inputs.emplace_back("teacher", CheckpointFingerprint(teacher));
  return inputs;
}

class ReinforcementRun {
 public:
  ReinforcementRun(const ReinforceRecipe& recipe, const TrainingStart& start,
                   const std::string& run, const ReinforceCallbacks& callbacks)
      : recipe_(recipe),
        used_(Decided(recipe, start)),
        run_(run),
        callbacks_(callbacks),
        environment_(MakeEnvironment(
            used_.rl.tasks, used_.problems, [this](const std::string& message) { Note(message); },
            callbacks.stop)),
        learner_(Learner::From(used_, start, *environment_)),
        inputs_(Inputs(recipe, start)) {}

  void Begin();
  // `changes`: of the recipe since.
  void GoOn(const LatestCheckpoint& latest, const std::vector<RecipeChange>& changes);
  ReinforceResult Loop();

 private:
  void Note(const std::string& message) const {
    if (callbacks_.on_note) callbacks_.on_note(message);
  }
  void NoteWarnings(const std::vector<Warning>& warnings, int64_t step) const {
    for (const Warning& warning : warnings)
      Note(fmt::format("warning: after step {}: {}", step, warning.text));
  }
  bool EvaluationDue(int64_t step) const {
    const int64_t every = recipe_.rl.evaluate_every;
    return every > 0 && (step == recipe_.rl.steps || step % every == 0);
  }
  void Step();
  void Measure(ReinforceMetrics& metrics);
  void MeasureStart();
  void Evaluate(ReinforceMetrics& metrics);
  void Finish(StepLines lines, ReinforceMetrics& metrics);
  void Save(const StepLines& unevaluated = {});

  const ReinforceRecipe& recipe_;  // as it was given, and is recorded
  const ReinforceRecipe used_;     // with all that it leaves to the model said
  const std::string run_;
  const ReinforceCallbacks& callbacks_;
  const std::unique_ptr<Environment> environment_;
  const std::unique_ptr<Learner> learner_;
  const RunInputs inputs_;
  GuardState guards_;
  StepLines unevaluated_;
  std::optional<ReinforceLog> log_;
  std::optional<TimingsFile> timings_;
  ReinforceResult result_;
};

void ReinforcementRun::Begin() {
  if (const std::string note = learner_->ContextNote(); !note.empty()) Note(note);
  std::optional<ProbeReport> probe;
  // It looks at rewards, which a teacher may do without.
  const bool by_rewards = recipe_.teacher.model.empty() || recipe_.teacher.reward_weight > 0;
  if (recipe_.probe.problems > 0 && by_rewards) {
    probe = learner_->Probe(callbacks_.stop);
    for (const std::string& line : DescribeProbe(*probe)) Note(line);
    if (probe->hopeless && recipe_.probe.stop_if_hopeless)
      Fail("{} (probe.stop_if_hopeless = false begins all the same)", probe->findings.front());
  }
  if (recipe_.rl.temperature != 1) {
    Note(
        fmt::format("rl.temperature is {}: completions are drawn from another distribution than "
                    "the one that is "
                    "trained, and importance weights and sampling/logp_gap_max do not see it",
                    recipe_.rl.temperature));
  }
  // Written only now, so that after a refusal another recipe may begin here.
  RecordRecipe(run_, ToToml(recipe_));
  RecordInputs(run_, inputs_, /*goes_on=*/false);
  RemoveDirectory(BestDirectory(run_));  // of a run killed before its first checkpoint
  if (probe) WriteFileAtomically(run_ + "/probe.json", JsonLine(ToJson(*probe)));
}

void ReinforcementRun::GoOn(const LatestCheckpoint& latest,
                            const std::vector<RecipeChange>& changes) {
  for (const std::string& warning : latest.warnings) Note(warning);
  RecordInputs(run_, inputs_, /*goes_on=*/true);
  const LoopState state =
      ParseLoopState(SavedTrainerState(latest.directory).json(), latest.directory);
  if (state.problems != environment_->Fingerprint()) {
    Fail(
        "{}: has changed since the run in {} began with it; put back the file as it was, or "
        "choose another run directory",
        recipe_.problems.file, run_);
  }
  if (!changes.empty() && !state.stopped.empty()) {
    Fail(
        "{}/recipe.toml: the run ended after step {}: {}; more steps do not go on with it; start "
        "another run from {}",
        run_, latest.step, state.stopped, latest.directory);
  }
  learner_->Resume(latest.directory, state.progress);
  if (state.best && RemoveStrayBest(run_, *state.best)) {
    Note(fmt::format("best/ held the model of a step after {}, which is yet to be made: removed",
                     latest.step));
  }
  RecordRecipe(run_, ToToml(recipe_));
  for (const RecipeChange& change : changes) Note(change.Describe() + kNewSchedule);
  guards_ = state.guards;
  unevaluated_ = state.unevaluated;
  result_.stop_reason = state.stopped;
  result_.best_accuracy = state.best_accuracy;
  result_.checkpoint = latest.directory;
  const bool done = learner_->progress().completed >= recipe_.rl.steps || !state.stopped.empty();
  Note(fmt::format("{} {}", done && unevaluated_.empty() ? "finished already:" : "resuming from",
                   latest.directory));
}

void ReinforcementRun::Measure(ReinforceMetrics& metrics) {
  const double start = SteadySeconds();
  metrics.evaluation = learner_->Evaluate(callbacks_.stop);
  metrics.evaluate_seconds = SteadySeconds() - start;
  metrics.evaluation_faults = environment_->TakeFaults();
}

// What the model can do before its first step: evaluations after steps are compared with it.
void ReinforcementRun::MeasureStart() {
  ReinforceMetrics metrics;
  Measure(metrics);
  guards_.start = MeanAccuracy(metrics.evaluation);
  result_.best_accuracy = guards_.start->value;
  StepLines lines;
  AddEvaluation(metrics, lines);
  if (callbacks_.on_evaluation) callbacks_.on_evaluation(metrics);
  log_->Append(lines);
  timings_->Append(metrics.step, metrics.evaluate_seconds, 0);
}

void ReinforcementRun::Evaluate(ReinforceMetrics& metrics) {
  Measure(metrics);
  metrics.start = guards_.start;
  const Interval accuracy = MeanAccuracy(metrics.evaluation);
  metrics.evaluation_warnings = NewEvaluationWarnings(accuracy, guards_);
  // Counted after the last step too: the run may be given more.
  const std::string reason = StopReason(recipe_.stop, accuracy, result_.best_accuracy, guards_);
  if (metrics.step < recipe_.rl.steps) metrics.stopped = reason;
  if (accuracy.value <= result_.best_accuracy) return;
  result_.best_accuracy = accuracy.value;
  learner_->PublishModel(BestDirectory(run_));
}

void ReinforcementRun::Save(const StepLines& unevaluated) {
  const LoopState state{.progress = learner_->progress(),
                        .best_accuracy = result_.best_accuracy,
                        .best = BestFingerprint(run_),
                        .problems = environment_->Fingerprint(),
                        .guards = guards_,
                        .stopped = result_.stop_reason,
                        .unevaluated = unevaluated};
  log_->Sync();
  result_.checkpoint = learner_->Save(run_, WriteLoopState(state));
}

// The step's evaluation where one is due, its lines, its checkpoint.
void ReinforcementRun::Finish(StepLines lines, ReinforceMetrics& metrics) {
  const ReinforceOptions& rl = recipe_.rl;
  const bool last = metrics.step == rl.steps;
  if (EvaluationDue(metrics.step)) {
    try {
      Evaluate(metrics);
    } catch (const Interruption&) {
      Save(lines);
      result_.last_line = lines.metrics;
      throw;
    }
    AddEvaluation(metrics, lines);
    if (callbacks_.on_evaluation) callbacks_.on_evaluation(metrics);
    NoteWarnings(metrics.evaluation_warnings, metrics.step);
  }
  result_.stop_reason = metrics.stopped;
  log_->Append(lines);
  result_.last_line = lines.metrics;
  timings_->Append(metrics.step,
                   metrics.sample_seconds + metrics.score_seconds + metrics.train_seconds +
                       metrics.evaluate_seconds,
                   metrics.flops,
                   {{"sample_seconds", metrics.sample_seconds},
                    {"tail_seconds", metrics.tail_seconds},
                    {"train_seconds", metrics.train_seconds}});
  const bool ends = last || !metrics.stopped.empty();
  if (ends || metrics.step % rl.checkpoint_every == 0) Save();
  if (!metrics.stopped.empty())
    Note(fmt::format("finished after step {}: {}", metrics.step, metrics.stopped));
  if (ends && guards_.start && !FileExists(BestDirectory(run_))) {
    Note(
        fmt::format("no evaluation was better than the model it began with, whose held-out "
                    "accuracy is {:.3f}: there is no best/",
                    guards_.start->value));
  }
}

void ReinforcementRun::Step() {
  ReinforceMetrics metrics;
  try {
    LeaveIfAsked(callbacks_.stop);
    metrics = learner_->Step(callbacks_.stop);
  } catch (const Interruption&) {
    if (learner_->progress().completed > 0) Save();
    throw;
  }
  metrics.scoring_can_fail = environment_->CanFail();
  metrics.faults = environment_->TakeFaults();
  metrics.warnings = NewWarnings(metrics, guards_);
  if (callbacks_.on_step) callbacks_.on_step(metrics);
  NoteWarnings(metrics.warnings, metrics.step);
  Finish(DescribeStep(metrics, EvaluationDue(metrics.step)), metrics);
  result_.last = std::move(metrics);
}

ReinforceResult ReinforcementRun::Loop() {
  // Without a checkpoint nothing is kept, what was measured before the first step neither. Of a
  // step whose evaluation was interrupted nothing was written yet.
  const bool begins = result_.checkpoint.empty();
  const int64_t written =
      begins ? -1 : learner_->progress().completed - (unevaluated_.empty() ? 0 : 1);
  log_.emplace(run_, written);
  TruncateJsonLines(run_ + "/timings.jsonl", written);
  timings_.emplace(run_ + "/timings.jsonl");
  if (written > 0) result_.last_line = LastLine(run_ + "/metrics.jsonl");
  const std::string late = WarmupNote(recipe_.schedule, recipe_.rl.steps);
  if (begins && !late.empty()) Note(late);
  try {
    if (begins && EvaluationDue(0)) MeasureStart();
    if (!unevaluated_.empty()) {
      ReinforceMetrics metrics;  // the rest of it is in the lines
      metrics.step = learner_->progress().completed;
      Finish(unevaluated_, metrics);
      result_.last.evaluation = std::move(metrics.evaluation);
    }
    while (learner_->progress().completed < recipe_.rl.steps && result_.stop_reason.empty()) Step();
    result_.finished = true;
  } catch (const Interruption&) {
    Note(result_.checkpoint.empty()
             ? "stopped before the first step; there is nothing to save"
             : fmt::format("stopped after step {}; its state is saved, so the run can be resumed",
                           learner_->progress().completed));
  }
  if (IsModelFolder(BestDirectory(run_))) result_.best_checkpoint = BestDirectory(run_);
  return result_;
}

}  // namespace

ReinforceResult Reinforce(const ReinforceRecipe& asked, const std::string& model_directory,
                          const std::string& run, bool resume,
                          const ReinforceCallbacks& callbacks) {
  Validate(asked);
  std::optional<RunLock> lock;  // of a new run only when nothing is wrong with what it needs
  if (FileExists(run)) lock.emplace(run);
  const auto latest = FindLatestCheckpoint(run);
  if (latest && !resume) RefuseNewRun(run, ToToml(asked));
  if (!latest) RequireNoStepsBeyond(run, asked.rl.checkpoint_every);
  const TrainingStart start = StartOf(asked, model_directory);
  ReinforceRecipe recipe = asked;
  recipe.adapter = start.options();
  // Before weights are read and problems are tried, which may take minutes.
  std::vector<StepsField> may_grow;
  if (resume) may_grow.push_back({"rl.steps", latest ? latest->step : 0});
  const std::vector<RecipeChange> changes =
      CheckRecipe(run, ToToml(recipe), latest.has_value(), Written(callbacks), may_grow,
                  {"problems.file", "distil.teacher"}, ToToml(ReinforceRecipe()));
  std::optional<ReinforcementRun> loop;
  try {
    if (callbacks.on_note && !start.note().empty()) callbacks.on_note(start.note());
    loop.emplace(recipe, start, run, callbacks);
    if (!lock) lock.emplace(run);
    if (latest) {
      loop->GoOn(*latest, changes);
    } else {
      const std::string told = ToldOfNoCheckpoint(run);
      if (resume && !told.empty() && callbacks.on_note) callbacks.on_note(told);
      loop->Begin();
    }
  } catch (const Interruption&) {
    if (callbacks.on_note) callbacks.on_note("stopped before the first step; nothing has changed");
    return {};
  }
  return loop->Loop();
}

ProbeReport ProbeModel(const ReinforceRecipe& recipe, const std::string& model_directory,
                       const ReinforceCallbacks& callbacks) {
  Validate(recipe);
  if (recipe.probe.problems == 0)
    FailUsage("probe.problems is 0; a probe takes at least 1 (16 is usual)");
  const auto note = [&](const std::string& message) {
    if (callbacks.on_note && !message.empty()) callbacks.on_note(message);
  };
  const TrainingStart start = StartOf(recipe, model_directory);
  note(start.note());
  const ReinforceRecipe used = Decided(recipe, start);
  const std::unique_ptr<Environment> environment =
      MakeEnvironment(used.rl.tasks, used.problems, note, callbacks.stop);
  const std::unique_ptr<Learner> learner = Learner::From(used, start, *environment);
  note(learner->ContextNote());
  return learner->Probe(callbacks.stop);
}

}  // namespace darkhorse
