#include "train/finetune.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "checkpoint/checksums.h"
#include "checkpoint/run_directory.h"
#include "train/evaluate.h"
#include "train/finetune_data.h"
#include "train/schedule.h"
#include "train/start.h"
#include "train/step.h"

namespace darkhorse {
namespace {

// Which sample comes at place 0, 1, 2, … of a run: epoch after epoch, each in an order of its own.
class SampleOrder {
 public:
  SampleOrder(int64_t samples, uint64_t seed) : seed_(seed), order_(static_cast<size_t>(samples)) {}

  size_t At(int64_t place) {
    const auto samples = static_cast<int64_t>(order_.size());
    if (const int64_t epoch = place / samples; epoch != epoch_) {
      epoch_ = epoch;
      for (size_t i = 0; i < order_.size(); ++i) order_[i] = i;
      RandomSequence random(seed_, RandomStream::kData, static_cast<uint64_t>(epoch));
      for (size_t i = order_.size(); i-- > 1;)  // Fisher and Yates
        std::swap(order_[i], order_[random.Below(i + 1)]);
    }
    return order_[static_cast<size_t>(place % samples)];
  }

 private:
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<size_t> order_;
};

// What a run needs to go on, beside the model's state.
struct LoopState {
  int64_t tokens = 0;  // in the samples of the steps done
  double start_loss = -1, best_loss = -1;
  std::string best;  // fingerprint of best/; empty: there is none
};

std::string ToJson(const LoopState& s) {
  return nlohmann::json{{"tokens", s.tokens},
                        {"start_loss", s.start_loss},
                        {"best_loss", s.best_loss},
                        {"best", s.best}}
      .dump();
}

LoopState ParseLoopState(const std::string& text, const std::string& directory) {
  const std::string name = directory + "/trainer_state.json";
  const nlohmann::json json = ParseJsonObject(text, name);
  LoopState s;
  try {
    json.at("tokens").get_to(s.tokens);
    json.at("start_loss").get_to(s.start_loss);
    json.at("best_loss").get_to(s.best_loss);
    json.at("best").get_to(s.best);
  } catch (const nlohmann::json::exception&) {
    Fail("{}: not the state of a fine-tuning run; resume with the command that began it", name);
  }
  return s;
}

// The samples of the files for this model. Turns may end with a token at which it did not stop.
FinetuneData ReadData(const FinetuneRecipe& recipe, const std::vector<std::string>& paths,
                      const std::string& model, const StopRequest& stop, TrainingStart& start) {
  const ModelConfig& config = start.config();
  const ChatFormat& format = start.chat_format();
  ChatEncoder encoder(start.tokenizer(),
                      {.chat_template = format.chat_template,
                       .bos_token = format.bos_token,
                       .eos_token = format.eos_token,
                       .bos = DocumentStartToken(config),
                       .eos = static_cast<int32_t>(config.eos_token_id),
                       .stops = StopTokens(config)},
                      model);
  FinetuneData data =
      ReadFinetuneData(paths, encoder, recipe.finetune, config.max_position_embeddings, stop);
  for (const int32_t id : encoder.new_stops()) {
    data.notes.push_back(
        fmt::format("turns end with {}, at which the model did not stop so far; {}",
                    Printable(start.tokenizer().TokenBytes(id)),
                    start.StopAt(id) ? "it will"
                                     : "an adapter cannot change that (adapter.kind = \"none\" "
                                       "trains all weights, and does)"));
  }
  return data;
}

class FinetuningRun {
 public:
  FinetuningRun(const FinetuneRecipe& recipe, const TrainingStart& start, Activations activations,
                FinetuneData data, const std::string& model, const std::string& run,
                const FinetuneCallbacks& callbacks)
      : recipe_(recipe),
        options_(recipe.finetune),
        run_(run),
        callbacks_(callbacks),
        data_(std::move(data)),
        files_(start.Files()),
        inputs_{{"model", CheckpointFingerprint(model)}, {"data", data_.checksum}},
        trained_(start.Make(recipe.optimizer, activations, options_.seed)),
        order_(static_cast<int64_t>(data_.train.size()), options_.seed) {
    std::vector<const ChatSample*> measured;
    for (const ChatSample& sample : data_.held_out) {
      if (static_cast<int64_t>(measured.size()) == options_.evaluate_samples) break;
      measured.push_back(&sample);
    }
    held_out_ = PackChats(measured, options_.micro_batch_tokens);
    const auto samples = static_cast<int64_t>(data_.train.size());
    places_ = options_.steps > 0
                  ? options_.steps * options_.samples_per_step
                  : static_cast<int64_t>(std::ceil(options_.epochs * static_cast<double>(samples)));
    steps_ = (places_ - 1) / options_.samples_per_step + 1;
  }

  void Begin();
  // `changes`: of the recipe since.
  void GoOn(const LatestCheckpoint& latest, const std::vector<RecipeChange>& changes);
  FinetuneResult Loop();

 private:
  void Note(const std::string& message) const {
    if (callbacks_.on_note) callbacks_.on_note(message);
  }
  bool MeasuresHeldOut() const { return !held_out_.empty(); }
  double HeldOutLoss() {
    return EvaluateLoss(trained_->model(), trained_->bound_weights(), held_out_).loss;
  }
  void MeasureStart();
  void Step();
  void Save();

  const FinetuneRecipe& recipe_;
  const FinetuneOptions& options_;
  const std::string run_;
  const FinetuneCallbacks& callbacks_;
  const FinetuneData data_;
  const ModelFiles files_;
  const RunInputs inputs_;
  const std::unique_ptr<TrainedModel> trained_;
  SampleOrder order_;
  std::vector<MicroBatch> held_out_;
  int64_t places_ = 0;  // of samples in the whole run
  int64_t steps_ = 0;
  LoopState state_;
  std::optional<MetricsFile> metrics_;
  std::optional<TimingsFile> timings_;
  FinetuneResult result_;
};

void FinetuningRun::Begin() {
  RecordRecipe(run_, ToToml(recipe_));
  RecordInputs(run_, inputs_, /*goes_on=*/false);
  RemoveDirectory(BestDirectory(run_));  // of a run killed before its first checkpoint
}

void FinetuningRun::GoOn(const LatestCheckpoint& latest, const std::vector<RecipeChange>& changes) {
  for (const std::string& warning : latest.warnings) Note(warning);
  RecordInputs(run_, inputs_, /*goes_on=*/true);
  state_ = ParseLoopState(trained_->Load(latest.directory), latest.directory);
  RemoveStrayBest(run_, state_.best);
  if (!state_.best.empty() && !FileExists(BestDirectory(run_)))
    Note("best/ is gone; it is written again where a measurement is better than all before");
  RecordRecipe(run_, ToToml(recipe_));
  for (const RecipeChange& change : changes) Note(change.Describe() + kNewSchedule);
  result_.checkpoint = latest.directory;
  Note(fmt::format("{} {}", latest.step >= steps_ ? "finished already:" : "resuming from",
                   latest.directory));
}

void FinetuningRun::MeasureStart() {
  if (!MeasuresHeldOut()) return;
  const double start = SteadySeconds();
  state_.start_loss = state_.best_loss = HeldOutLoss();
  metrics_->AppendLine(
      fmt::format(R"({{"step": 0, "tokens": 0, "validation_loss": {}}})", state_.start_loss));
  timings_->Append(0, SteadySeconds() - start, 0);
  if (callbacks_.on_start) callbacks_.on_start(state_.start_loss);
}

void FinetuningRun::Save() {
  metrics_->Sync();
  state_.best = BestFingerprint(run_);
  result_.checkpoint = trained_->Save(run_, options_.keep_checkpoints, files_, ToJson(state_),
                                      trained_->optimizer().step());
}

void FinetuningRun::Step() {
  const double start = SteadySeconds();
  const int64_t step = trained_->optimizer().step();
  const int64_t first = step * options_.samples_per_step;
  const int64_t count = std::min(options_.samples_per_step, places_ - first);
  std::vector<const ChatSample*> samples;
  int64_t tokens = 0;
  for (int64_t i = 0; i < count; ++i) {
    samples.push_back(&data_.train[order_.At(first + i)]);
    tokens += static_cast<int64_t>(samples.back()->tokens.size());
  }
  const double lr_factor = LearningRateFactor(recipe_.schedule, step, steps_);
  StepMetrics metrics = TrainStep(PackChats(samples, options_.micro_batch_tokens),
                                  {.sequences = count,
                                   .mtp_lambda = options_.mtp_lambda,
                                   .balance_alpha = options_.balance_alpha,
                                   .router_bias_gamma = options_.router_bias_gamma,
                                   .lr_factor = lr_factor},
                                  callbacks_.stop, *trained_);
  state_.tokens += tokens;
  metrics.tokens = state_.tokens;
  metrics.learning_rate = recipe_.optimizer.learning_rate * lr_factor;
  metrics.epochs = static_cast<double>(first + count) / static_cast<double>(data_.train.size());
  const bool last = metrics.step == steps_;
  const bool measures =
      MeasuresHeldOut() &&
      (last || (options_.evaluate_every > 0 && metrics.step % options_.evaluate_every == 0));
  if (measures) {
    metrics.validation_loss = HeldOutLoss();
    if (metrics.validation_loss < state_.best_loss) {
      state_.best_loss = metrics.validation_loss;
      PublishCheckpoint(BestDirectory(run_), trained_->config(), trained_->layout(),
                        trained_->weights(), files_, nullptr);
    }
  }
  metrics_->Append(metrics, measures);
  timings_->Append(metrics.step, SteadySeconds() - start, metrics.flops);
  if (last || metrics.step % options_.checkpoint_every == 0) Save();
  if (callbacks_.on_step) callbacks_.on_step(metrics);
  result_.last = std::move(metrics);
}

FinetuneResult FinetuningRun::Loop() {
  for (const std::string& note : data_.notes) Note(note);
  const bool begins = result_.checkpoint.empty();
  const std::string late = WarmupNote(recipe_.schedule, steps_);
  if (begins && !late.empty()) Note(late);
  if (callbacks_.on_plan) callbacks_.on_plan(steps_);
  const int64_t written = begins ? -1 : trained_->optimizer().step();
  TruncateJsonLines(run_ + "/metrics.jsonl", written);
  TruncateJsonLines(run_ + "/timings.jsonl", written);
  const StepMetrics last = ReadLastMetrics(run_ + "/metrics.jsonl");
  if (!begins && last.step == written) result_.last = last;
  metrics_.emplace(run_ + "/metrics.jsonl");
  timings_.emplace(run_ + "/timings.jsonl");
  try {
    if (begins) MeasureStart();
    while (trained_->optimizer().step() < steps_) Step();
    result_.finished = true;
  } catch (const Interruption&) {
    const int64_t done = trained_->optimizer().step();
    if (done > 0) Save();
    Note(done == 0
             ? "stopped before the first step; there is nothing to save"
             : fmt::format("stopped after step {}; its state is saved, so the run can be resumed",
                           done));
  }
  result_.start_loss = state_.start_loss;
  result_.best_loss = state_.best_loss;
  if (FileExists(BestDirectory(run_))) {
    result_.best_checkpoint = BestDirectory(run_);
  } else if (result_.finished && MeasuresHeldOut()) {
    Note(fmt::format(
        "no measurement was better than the model it began with, whose held-out loss is {:.4f}: "
        "there is no best/",
        state_.start_loss));
  }
  return result_;
}

}  // namespace

FinetuneResult Finetune(const FinetuneRecipe& asked, const std::string& model,
                        const std::vector<std::string>& data, const std::string& run, bool resume,
                        const FinetuneCallbacks& callbacks) {
  Validate(asked);
  const auto note = [&](const std::string& message) {
    if (callbacks.on_note) callbacks.on_note(message);
  };
  std::optional<RunLock> lock;  // of a new run only when nothing is wrong with what it needs
  if (FileExists(run)) lock.emplace(run);
  const auto latest = FindLatestCheckpoint(run);
  if (latest && !resume) RefuseNewRun(run, ToToml(asked));
  if (!latest) RequireNoStepsBeyond(run, asked.finetune.checkpoint_every);
  TrainingStart start(model, asked.adapter, FormatOf(asked.finetune.precision));
  FinetuneRecipe recipe = asked;
  recipe.adapter = start.options();
  std::vector<StepsField> may_grow;
  if (resume) may_grow.push_back({"finetune.steps", latest ? latest->step : 0});
  std::vector<std::string> written = {"metrics.jsonl", "timings.jsonl", "best"};
  written.insert(written.end(), callbacks.written.begin(), callbacks.written.end());
  const std::vector<RecipeChange> changes = CheckRecipe(
      run, ToToml(recipe), latest.has_value(), written, may_grow, {}, ToToml(FinetuneRecipe()));
  std::optional<FinetuningRun> loop;
  try {
    if (!start.note().empty()) note(start.note());
    start.RefuseMovingBiases("finetune.router_bias_gamma", recipe.finetune.router_bias_gamma);
    FinetuneData samples = ReadData(recipe, data, model, callbacks.stop, start);
    // No micro-batch has more rows than its limit or the longest sample, nor than a step.
    const int64_t rows = std::min(std::max(recipe.finetune.micro_batch_tokens, samples.longest),
                                  recipe.finetune.samples_per_step * samples.longest);
    const Activations activations =
        start.Fit({.micro_batch_tokens = rows, .moments = FormatOf(recipe.optimizer.moments)},
                  recipe.finetune.recompute);
    loop.emplace(recipe, start, activations, std::move(samples), model, run, callbacks);
    if (!lock) lock.emplace(run);
    if (latest) {
      loop->GoOn(*latest, changes);
    } else {
      if (const std::string told = ToldOfNoCheckpoint(run); resume && !told.empty()) note(told);
      loop->Begin();
    }
  } catch (const Interruption&) {
    note("stopped before the first step; nothing has changed");
    return {};
  }
  return loop->Loop();
}

}  // namespace darkhorse
