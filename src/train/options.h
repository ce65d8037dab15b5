// What a recipe says of training: plain structs, at the bottom of the folder. The machines that
// they configure include them, never the other way round.
#pragma once

#include <cstdint>
#include <string>

#include "base/fields.h"
#include "kernel/weight.h"

namespace darkhorse {

// What the products of training are computed in: a field of the recipes that train.
inline constexpr char kPrecisionHelp[] =
    "number format of the products of training: f32 or bf16 (weights, gradients and sums stay f32)";
// UsageError, naming the field: it is no number format.
void ValidatePrecision(const std::string& precision, const std::string& field = "precision");
Format FormatOf(const std::string& precision);  // of a valid one

// Whether a layer's activations are computed again for its backward pass (model/cost.h's
// Activations): a field of the recipes that train.
inline constexpr char kRecomputeHelp[] =
    "compute each layer again for its backward pass, a third more work for a fraction of the "
    "memory, in the same bits: yes, no, or auto, where they would take more than half the memory";
void ValidateRecompute(const std::string& recompute);  // UsageError: it is none of these

struct OptimizerOptions {
  std::string optimizer = "muon";  // or "adamw"
  double learning_rate = 3e-3;     // peak, for everything
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // of matrices, head and embedding; norms and the router have none
  double muon_momentum = 0.95;
  double max_grad_norm = 1.0;   // gradients are scaled down to this global norm; 0: never
  std::string moments = "f32";  // or "bf16": train/moments.h
};
void ListFields(OptimizerOptions& options, FieldList& list);
void Validate(const OptimizerOptions& options);  // UsageError

struct ScheduleOptions {
  std::string schedule = "wsd";    // "constant", "cosine" or "wsd": warm-up, stable, decay
  int64_t warmup_steps = 20;       // -1: WarmupSteps, train/schedule.h
  double decay_fraction = 0.3;     // wsd: share of the steps, at the end, over which the rate falls
  double final_lr_fraction = 0.1;  // of the peak, at the last step (cosine and wsd)
};
void ListFields(ScheduleOptions& options, FieldList& list);
void Validate(const ScheduleOptions& options);  // UsageError

struct PretrainOptions {
  int64_t steps = 200;
  int64_t tokens_per_step = 16384;
  int64_t sequence_length = 512;
  bool cross_documents = false;
  int64_t micro_batch_tokens =
      4096;  // computed at once; memory grows with it, results do not depend on it beyond rounding
  int64_t batch_ramp_steps =
      0;  // steps over which the batch grows linearly from an eighth; 0: none
  uint64_t seed = 1;
  double mtp_lambda = 0.3;
  double balance_alpha = 1e-4;
  double router_bias_gamma = 1e-3;
  double router_bias_stop =
      1.0;  // share of the steps after which the biases stay (0.97 in DeepSeek-V3)
  int64_t checkpoint_every = 100;
  int64_t keep_checkpoints = 2;
  int64_t evaluate_every = 50;
  int64_t evaluate_tokens = 65536;
  std::string precision = "f32";
};
void ListFields(PretrainOptions& options, FieldList& list);

struct FinetuneOptions {
  double epochs = 2;  // passes over the samples
  int64_t steps = 0;  // or so many optimizer steps; 0: by epochs
  int64_t samples_per_step = 16;
  int64_t max_tokens = 0;              // of a sample; 0: as many as the model's context holds
  std::string too_long = "leave_out";  // a longer one; or "cut": its end is
  double held_out_share = 0.0625;      // of the chats, by their first question
  int64_t micro_batch_tokens = 4096;   // as in pretraining; a longer sample is computed alone
  int64_t evaluate_every = 50;         // besides the start and the end
  int64_t evaluate_samples = 256;      // of the held-out ones, at most
  int64_t checkpoint_every = 100;
  int64_t keep_checkpoints = 2;
  double mtp_lambda = 0.3;
  double balance_alpha = 0;  // a published model's experts have found their balance
  double router_bias_gamma = 0;
  std::string recompute = "auto";
  std::string precision = "f32";
  uint64_t seed = 1;
};
void ListFields(FinetuneOptions& options, FieldList& list);
void Validate(const FinetuneOptions& options);  // UsageError

}  // namespace darkhorse
