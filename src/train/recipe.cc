#include "train/recipe.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "model/config_fields.h"
#include "model/params.h"

namespace darkhorse {

namespace {

// A step's tokens are held at once; a run's (steps * tokens_per_step) are counted in 63 bits.
constexpr int64_t kMaxSteps = int64_t{1} << 32;
constexpr int64_t kMaxTokensPerStep = int64_t{1} << 28;
constexpr int64_t kMaxMicroBatchTokens = int64_t{1} << 20;

}  // namespace

void ListFields(PretrainRecipe& r, FieldList& list) {
  list.Section("model", r.model, "the architecture; vocab_size is taken from the tokenizer");
  list.Section("train", r.train, "the run");
  list.Section("optimizer", r.optimizer, "the optimizer");
  list.Section("schedule", r.schedule, "the learning rate over the run");
}

void Validate(const PretrainRecipe& r) {
  const PretrainOptions& t = r.train;
  try {
    const ParamLayout layout(r.model);  // validates the dimensions, each and together
  } catch (const Error& error) {        // the recipe's fault here, not a file's
    throw UsageError(error.what());
  }
  Validate(r.optimizer);
  Validate(r.schedule);
  ValidatePrecision(t.precision);
  const auto positive = [](const char* name, int64_t value, int64_t high = INT64_MAX) {
    if (value < 1) FailUsage("train.{} is {}; it must be at least 1", name, value);
    if (value > high) FailUsage("train.{} is {}; it must be at most {}", name, value, high);
  };
  positive("steps", t.steps, kMaxSteps);
  positive("sequence_length", t.sequence_length);
  positive("checkpoint_every", t.checkpoint_every);
  positive("keep_checkpoints", t.keep_checkpoints);
  positive("evaluate_tokens", t.evaluate_tokens);
  if (t.sequence_length > r.model.max_position_embeddings) {
    FailUsage(
        "train.sequence_length is {} but model.max_position_embeddings only {}; lower the one or "
        "raise the other",
        t.sequence_length, r.model.max_position_embeddings);
  }
  for (const auto& [name, value, high] :
       {std::tuple{"tokens_per_step", t.tokens_per_step, kMaxTokensPerStep},
        {"micro_batch_tokens", t.micro_batch_tokens, kMaxMicroBatchTokens}}) {
    positive(name, value, high);
    if (value < t.sequence_length || value % t.sequence_length != 0) {
      FailUsage("train.{} is {}; it must be a multiple of train.sequence_length = {}", name, value,
                t.sequence_length);
    }
  }
  const auto not_negative = [](const char* name, auto value) {
    if (!(value >= 0)) FailUsage("train.{} is {}; it cannot be negative", name, value);
  };
  not_negative("batch_ramp_steps", t.batch_ramp_steps);
  not_negative("evaluate_every", t.evaluate_every);
  not_negative("mtp_lambda", t.mtp_lambda);
  not_negative("balance_alpha", t.balance_alpha);
  not_negative("router_bias_gamma", t.router_bias_gamma);
  if (!(t.router_bias_stop >= 0 && t.router_bias_stop <= 1)) {
    FailUsage("train.router_bias_stop is {}; it is a share of the steps, from 0 to 1",
              t.router_bias_stop);
  }
}

int64_t SequencesAt(const PretrainOptions& o, int64_t step) {
  const int64_t full = o.tokens_per_step / o.sequence_length;
  if (step >= o.batch_ramp_steps) return full;
  const double share =
      0.125 + 0.875 * static_cast<double>(step) / static_cast<double>(o.batch_ramp_steps);
  return std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(full)));
}

FinetuneRecipe::FinetuneRecipe() {
  optimizer.optimizer = "adamw";
  optimizer.learning_rate = 2e-4;
  optimizer.weight_decay = 0;
  schedule.schedule = "cosine";
  schedule.warmup_steps = -1;
}

void ListFields(FinetuneRecipe& r, FieldList& list) {
  list.Section("finetune", r.finetune, "the run");
  list.Section("adapter", r.adapter, "what is trained");
  list.Section("optimizer", r.optimizer, "the optimizer");
  list.Section("schedule", r.schedule, "the learning rate over the run");
}

void Validate(const FinetuneRecipe& r) {
  Validate(r.finetune);
  Validate(r.adapter);
  Validate(r.optimizer);
  Validate(r.schedule);
}

}  // namespace darkhorse
