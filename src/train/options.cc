#include "train/options.h"

#include <cmath>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace darkhorse {

void ValidatePrecision(const std::string& precision, const std::string& field) {
  if (precision != "f32" && precision != "bf16")
    FailUsage("{} is '{}'; it must be f32 or bf16", field, precision);
}

void ValidateRecompute(const std::string& recompute) {
  if (recompute != "yes" && recompute != "no" && recompute != "auto")
    FailUsage("recompute is '{}'; it must be yes, no or auto", recompute);
}

Format FormatOf(const std::string& precision) {
  return precision == "bf16" ? Format::kBf16 : Format::kF32;
}

void ListFields(OptimizerOptions& o, FieldList& list) {
  list.Add("optimizer", o.optimizer, "muon (matrices; AdamW for the rest) or adamw");
  list.Add("learning_rate", o.learning_rate, "peak learning rate");
  list.Add("beta1", o.beta1, "AdamW: decay of the first moment");
  list.Add("beta2", o.beta2, "AdamW: decay of the second moment");
  list.Add("epsilon", o.epsilon, "AdamW: added to the root of the second moment");
  list.Add("weight_decay", o.weight_decay, "decoupled decay of matrices, head and embedding");
  list.Add("muon_momentum", o.muon_momentum, "Muon: decay of the momentum");
  list.Add("max_grad_norm", o.max_grad_norm, "clip the global gradient norm to this; 0: never");
  list.Add("moments", o.moments,
           "number format of the running means: f32, or bf16, rounded by lot, in half the memory");
}

void Validate(const OptimizerOptions& o) {
  if (o.optimizer != "muon" && o.optimizer != "adamw")
    FailUsage("optimizer is '{}'; it must be muon or adamw", o.optimizer);
  if (!(o.learning_rate > 0))
    FailUsage("learning_rate is {}; it must be positive", o.learning_rate);
  for (const auto& [name, value] :
       {std::pair{"beta1", o.beta1}, {"beta2", o.beta2}, {"muon_momentum", o.muon_momentum}}) {
    if (!(value >= 0 && value < 1)) FailUsage("{} is {}; it must be in [0, 1)", name, value);
  }
  if (!(o.epsilon > 0)) FailUsage("epsilon is {}; it must be positive", o.epsilon);
  if (!(o.weight_decay >= 0))
    FailUsage("weight_decay is {}; it cannot be negative", o.weight_decay);
  if (!(o.max_grad_norm >= 0))
    FailUsage("max_grad_norm is {}; it cannot be negative (0: no clipping)", o.max_grad_norm);
  ValidatePrecision(o.moments, "moments");
}

void ListFields(ScheduleOptions& o, FieldList& list) {
  list.Add("schedule", o.schedule, "constant, cosine, or wsd (warm-up, stable, decay)");
  list.Add("warmup_steps", o.warmup_steps,
           "steps over which the rate rises linearly; -1: a tenth of all, at most 10");
  list.Add("decay_fraction", o.decay_fraction,
           "wsd: share of the steps, at the end, over which the rate falls linearly");
  list.Add("final_lr_fraction", o.final_lr_fraction,
           "rate at the last step as a fraction of the peak (cosine, wsd)");
}

void Validate(const ScheduleOptions& o) {
  if (o.schedule != "constant" && o.schedule != "cosine" && o.schedule != "wsd") {
    FailUsage("schedule is '{}'; it must be constant, cosine or wsd", o.schedule);
  }
  if (o.warmup_steps < -1)
    FailUsage("warmup_steps is {}; it is at least 0, or -1 for a tenth of the steps",
              o.warmup_steps);
  if (!(o.decay_fraction >= 0 && o.decay_fraction <= 1))
    FailUsage("decay_fraction is {}; it must be in [0, 1]", o.decay_fraction);
  if (!(o.final_lr_fraction >= 0 && o.final_lr_fraction <= 1)) {
    FailUsage("final_lr_fraction is {}; it must be in [0, 1]", o.final_lr_fraction);
  }
}

void ListFields(PretrainOptions& o, FieldList& list) {
  list.Add("steps", o.steps, "optimizer steps");
  list.Add("tokens_per_step", o.tokens_per_step, "batch size in tokens");
  list.Add("sequence_length", o.sequence_length, "tokens of a packed sequence");
  list.Add("cross_documents", o.cross_documents,
           "let attention and positions cross the documents packed into a sequence");
  list.Add("micro_batch_tokens", o.micro_batch_tokens,
           "tokens computed at once; gradients accumulate over them");
  list.Add("batch_ramp_steps", o.batch_ramp_steps,
           "steps over which the batch grows linearly from an eighth; 0: none");
  list.Add("seed", o.seed, "of the initial weights and the order of the data");
  list.Add("mtp_lambda", o.mtp_lambda, "weight of the multi-token-prediction loss");
  list.Add("balance_alpha", o.balance_alpha, "weight of the sequence-wise balance loss");
  list.Add("router_bias_gamma", o.router_bias_gamma, "step of the auxiliary-loss-free balancing");
  list.Add("router_bias_stop", o.router_bias_stop,
           "share of the steps after which the router biases stay");
  list.Add("checkpoint_every", o.checkpoint_every, "steps between checkpoints");
  list.Add("keep_checkpoints", o.keep_checkpoints, "newest checkpoints kept");
  list.Add("evaluate_every", o.evaluate_every,
           "steps between evaluations on the validation shard; 0: only at the end");
  list.Add("evaluate_tokens", o.evaluate_tokens, "tokens of the validation shard to evaluate on");
  list.Add("precision", o.precision, kPrecisionHelp);
}

void ListFields(FinetuneOptions& o, FieldList& list) {
  list.Add("epochs", o.epochs, "passes over the samples; part of one is fine");
  list.Add("steps", o.steps, "optimizer steps in place of epochs; 0: by epochs");
  list.Add("samples_per_step", o.samples_per_step, "batch size in samples");
  list.Add("max_tokens", o.max_tokens, "longest sample; 0: the model's context");
  list.Add("too_long", o.too_long, "a longer sample is left out (leave_out), or its end is (cut)");
  list.Add("held_out_share", o.held_out_share,
           "share of the chats, by their first question, that are only measured on");
  list.Add("micro_batch_tokens", o.micro_batch_tokens,
           "tokens computed at once; gradients accumulate over them");
  list.Add("evaluate_every", o.evaluate_every,
           "steps between measurements on held-out samples; 0: only at the start and the end");
  list.Add("evaluate_samples", o.evaluate_samples, "held-out samples to measure on, at most");
  list.Add("checkpoint_every", o.checkpoint_every, "steps between checkpoints");
  list.Add("keep_checkpoints", o.keep_checkpoints, "newest checkpoints kept");
  list.Add("mtp_lambda", o.mtp_lambda, "weight of the multi-token-prediction loss");
  list.Add("balance_alpha", o.balance_alpha, "weight of the sequence-wise balance loss");
  list.Add("router_bias_gamma", o.router_bias_gamma, "step of the auxiliary-loss-free balancing");
  list.Add("recompute", o.recompute, kRecomputeHelp);
  list.Add("precision", o.precision, kPrecisionHelp);
  list.Add("seed", o.seed, "of the order of the samples");
}

void Validate(const FinetuneOptions& o) {
  constexpr int64_t kMost = int64_t{1} << 32;
  if (!(o.epochs > 0 && o.epochs <= 1e6))
    FailUsage("epochs is {}; it must be more than 0 and at most a million", o.epochs);
  if (o.too_long != "leave_out" && o.too_long != "cut")
    FailUsage("too_long is '{}'; it must be leave_out or cut", o.too_long);
  if (!(o.held_out_share >= 0 && o.held_out_share < 1))
    FailUsage("held_out_share is {}; it must be in [0, 1)", o.held_out_share);
  for (const auto& [name, value, low, high] :
       {std::tuple{"steps", o.steps, int64_t{0}, kMost},
        {"samples_per_step", o.samples_per_step, int64_t{1}, int64_t{1} << 20},
        {"max_tokens", o.max_tokens, int64_t{0}, kMost},
        {"micro_batch_tokens", o.micro_batch_tokens, int64_t{1}, int64_t{1} << 20},
        {"evaluate_every", o.evaluate_every, int64_t{0}, kMost},
        {"evaluate_samples", o.evaluate_samples, int64_t{1}, kMost},
        {"checkpoint_every", o.checkpoint_every, int64_t{1}, kMost},
        {"keep_checkpoints", o.keep_checkpoints, int64_t{1}, kMost}}) {
    if (value < low || value > high)
      FailUsage("{} is {}; it must be from {} to {}", name, value, low, high);
  }
  for (const auto& [name, value] : {std::pair{"mtp_lambda", o.mtp_lambda},
                                    {"balance_alpha", o.balance_alpha},
                                    {"router_bias_gamma", o.router_bias_gamma}}) {
    if (!(value >= 0)) FailUsage("{} is {}; it cannot be negative", name, value);
  }
  ValidateRecompute(o.recompute);
  ValidatePrecision(o.precision);
}

}  // namespace darkhorse
