#include "train/pretrain.h"

#include <algorithm>
#include <optional>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "checkpoint/config_json.h"
#include "checkpoint/model_source.h"
#include "checkpoint/run_directory.h"
#include "data/loader.h"
#include "data/prepare.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/schedule.h"
#include "train/start.h"
#include "train/step.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

// The step's sequences, at most `at_once` of them together.
std::vector<MicroBatch> MicroBatches(const Loader& loader, int64_t first, int64_t sequences,
                                     int64_t at_once, int64_t sequence_length) {
  std::vector<MicroBatch> parts;
  for (int64_t done = 0; done < sequences; done += at_once) {
    const TrainBatch rows = loader.Sequences(first + done, std::min(at_once, sequences - done));
    parts.push_back({ToTokenBatch(rows, sequence_length), Targets(rows), rows.weights});
  }
  return parts;
}

// The optimizer step on batch `step`.
StepMetrics PretrainStep(const PretrainRecipe& recipe, const Loader& loader, int64_t first_sequence,
                         int64_t sequences, const StopRequest& stop, TrainedModel& trained) {
  const PretrainOptions& options = recipe.train;
  const int64_t step = trained.optimizer().step();
  const bool balances =
      static_cast<double>(step) < options.router_bias_stop * static_cast<double>(options.steps);
  const double lr_factor = LearningRateFactor(recipe.schedule, step, options.steps);
  StepMetrics metrics = TrainStep(
      MicroBatches(loader, first_sequence, sequences,
                   options.micro_batch_tokens / options.sequence_length, options.sequence_length),
      {.sequences = sequences,
       .mtp_lambda = options.mtp_lambda,
       .balance_alpha = options.balance_alpha,
       .router_bias_gamma = balances ? options.router_bias_gamma : 0,
       .lr_factor = lr_factor},
      stop, trained);
  metrics.learning_rate = recipe.optimizer.learning_rate * lr_factor;
  metrics.tokens = (first_sequence + sequences) * options.sequence_length;
  return metrics;
}

// Sequences consumed before `step`: the batch ramp makes it a sum.
int64_t SequencesBefore(const PretrainOptions& options, int64_t step) {
  const int64_t ramp = std::min(step, options.batch_ramp_steps);
  int64_t sum = (step - ramp) * (options.tokens_per_step / options.sequence_length);
  for (int64_t s = 0; s < ramp; ++s) sum += SequencesAt(options, s);
  return sum;
}

}  // namespace

PretrainResult Pretrain(PretrainRecipe recipe, const std::string& data, const std::string& run,
                        bool resume, const PretrainCallbacks& callbacks, const ModelSource* model) {
  const TokenShard train = TokenShard::Open(data + "/" + kTrainShard);
  std::optional<TokenShard> validation;
  if (FileExists(data + "/" + kValidationShard))
    validation = TokenShard::Open(data + "/" + kValidationShard, train.info().tokenizer_hash);
  ModelFiles files;
  files.tokenizer_json = LoadTokenizerJson(data);
  // The hash is the checksum of the file that `data prepare` writes (text/tokenizer.h).
  if (Checksum64(files.tokenizer_json) != train.info().tokenizer_hash) {
    Fail("{}/tokenizer.json: not the tokenizer that {} was made with; prepare the data again", data,
         kTrainShard);
  }
  files.tokenizer_hash = train.info().tokenizer_hash;
  if (model) {
    recipe.model = StartingConfig(*model, train.info());
    files.chat_template = model->ReadChatFormat().chat_template;
  } else {
    recipe.model.vocab_size = train.info().vocab_size;
  }
  recipe.model.eos_token_id = train.info().eos_id;
  // What the data ends documents with ends texts, beside what ended them before.
  if (std::vector<int64_t>& stops = recipe.model.stop_token_ids;
      !stops.empty() && std::ranges::count(stops, recipe.model.eos_token_id) == 0)
    stops.insert(stops.begin(), recipe.model.eos_token_id);
  recipe.model.bos_token_id = train.info().bos_id >= 0 ? train.info().bos_id : train.info().eos_id;
  Validate(recipe);
  RequireWritable(recipe.model);
  const PretrainOptions& options = recipe.train;
  RequireTrainingMemory(recipe.model, {.micro_batch_tokens = options.micro_batch_tokens,
                                       .format = FormatOf(options.precision),
                                       .moments = FormatOf(recipe.optimizer.moments)});
  const Loader loader(train, data + "/" + kTrainShard,
                      {.seed = options.seed,
                       .sequence_length = options.sequence_length,
                       .cross_documents = options.cross_documents});

  TrainedModel trained(recipe.model, recipe.optimizer, FormatOf(options.precision));
  const auto note = [&](const std::string& message) {
    if (callbacks.on_note) callbacks.on_note(message);
  };
  const RunLock lock(run);
  RunInputs inputs = {{kTrainShard, train.checksum()}};
  if (validation) inputs.emplace_back(kValidationShard, validation->checksum());
  if (model) inputs.emplace_back("model", CheckpointFingerprint(model->path()));
  const std::string metrics_path = run + "/metrics.jsonl";
  const auto latest = FindLatestCheckpoint(run);
  if (latest && !resume) RefuseNewRun(run, ToToml(recipe));
  std::vector<std::string> written = {"metrics.jsonl", "timings.jsonl"};
  written.insert(written.end(), callbacks.written.begin(), callbacks.written.end());
  PretrainResult result;
  if (latest) {
    for (const std::string& warning : latest->warnings) note(warning);
    const std::vector<RecipeChange> changes = CheckRecipe(run, ToToml(recipe), /*goes_on=*/true,
                                                          written, {{"train.steps", latest->step}});
    RecordInputs(run, inputs, /*goes_on=*/true);
    trained.Load(latest->directory);
    RecordRecipe(run, ToToml(recipe));
    for (const RecipeChange& change : changes) note(change.Describe() + kNewSchedule);
    TruncateJsonLines(metrics_path, latest->step);
    const StepMetrics last = ReadLastMetrics(metrics_path);
    if (last.step == latest->step) result.last = last;
    result.checkpoint = latest->directory;
    note(fmt::format("{} {}", latest->step >= options.steps ? "finished already:" : "resuming from",
                     latest->directory));
  } else {
    RequireNoStepsBeyond(run, options.checkpoint_every);
    const std::vector<StepsField> may_grow = {{"train.steps"}};
    CheckRecipe(run, ToToml(recipe), /*goes_on=*/false, written,
                resume ? may_grow : std::vector<StepsField>{});
    if (const std::string told = ToldOfNoCheckpoint(run); resume && !told.empty()) note(told);
    RecordRecipe(run, ToToml(recipe));
    RecordInputs(run, inputs, /*goes_on=*/false);
    TruncateJsonLines(metrics_path, 0);
    if (model) {
      ReadWeights(*model, trained.layout(), trained.mutable_weights());
      note(fmt::format(
          "starting from the weights of {}; the model is its, whatever the recipe says of it",
          model->path()));
    } else {
      trained.Initialize(options.seed);
    }
  }
  MetricsFile metrics_file(metrics_path);
  TruncateJsonLines(run + "/timings.jsonl", latest ? latest->step : 0);
  TimingsFile timings_file(run + "/timings.jsonl");

  if (!validation) {
    note(fmt::format("{} has no {}: the loss on held-out text is not measured", data,
                     kValidationShard));
  }
  const std::string late = WarmupNote(recipe.schedule, options.steps);
  if (!latest && !late.empty()) note(late);
  const auto evaluate = [&] {
    if (!validation) return -1.0;
    return EvaluateLoss(trained.model(), trained.bound_weights(), *validation,
                        options.sequence_length, options.cross_documents, options.evaluate_tokens)
        .loss;
  };
  while (trained.optimizer().step() < options.steps) {
    const int64_t step = trained.optimizer().step();
    const double start = SteadySeconds();
    StepMetrics metrics;
    try {
      metrics = PretrainStep(recipe, loader, SequencesBefore(options, step),
                             SequencesAt(options, step), callbacks.stop, trained);
    } catch (const Interruption&) {
      if (step > 0) {
        metrics_file.Sync();
        result.checkpoint = trained.Save(run, options.keep_checkpoints, files, "{}", step);
        note(fmt::format("stopped after step {}; its state is saved, so the run can be resumed",
                         step));
      } else {
        note("stopped before the first step; there is nothing to save");
      }
      return result;
    }
    metrics.epochs = static_cast<double>(metrics.tokens) / static_cast<double>(train.tokens());
    const bool last = metrics.step == options.steps;
    const bool evaluates =
        last || (options.evaluate_every > 0 && metrics.step % options.evaluate_every == 0);
    if (evaluates) metrics.validation_loss = evaluate();
    metrics_file.Append(metrics, evaluates);
    timings_file.Append(metrics.step, SteadySeconds() - start, metrics.flops);
    result.last = metrics;
    if (last || metrics.step % options.checkpoint_every == 0) {
      metrics_file.Sync();
      result.checkpoint =
          trained.Save(run, options.keep_checkpoints, files, "{}", trained.optimizer().step());
    }
    if (callbacks.on_step) callbacks.on_step(metrics);
  }
  result.finished = true;
  result.validation_loss =
      result.last.step == options.steps ? result.last.validation_loss : evaluate();
  return result;
}

}  // namespace darkhorse
