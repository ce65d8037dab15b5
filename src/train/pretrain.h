// The pretraining loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace darkhorse {

// One step's outcome. Everything but the timings is a pure function of recipe and data, and goes to
// metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;  // 1 after the first update
  double loss = 0;   // mean over the step's tokens, nats
  double mtp_loss = 0;
  double balance_loss = 0;   // mean over layers and sequences; 1 is perfect
  double max_violation = 0;  // worst layer's max(load)/mean(load) - 1 (MaxVio)
  double learning_rate = 0;
  double grad_norm = 0;
  int64_t tokens = 0;                      // so far
  double validation_loss = -1;             // where evaluated, if there is a validation shard
  std::vector<std::vector<int64_t>> load;  // tokens to each expert, [MoE layer][expert], this step
  // Timings, in timings.jsonl instead.
  double seconds = 0;
  double flops = 0;  // the model's own operations
  double tokens_per_second = 0;
  double gflops = 0;  // the model's own operations a second
};

struct PretrainCallbacks {
  std::function<void(const StepMetrics&)> on_step;
  std::function<void(const std::string& message)> on_note;  // resumed, saved, ...
  std::function<bool()> stop;  // polled before each micro-batch: true saves and returns
};

struct PretrainResult {
  StepMetrics last;
  double validation_loss = -1;  // of a finished run; -1: no validation shard
  std::string checkpoint;       // directory
  bool finished = false;        // false: stopped early
};

// Trains on data/train.bin of a prepared folder (data/prepare.h) and measures on its val.bin, if it
// has one; `run` receives recipe.toml, inputs.json, metrics.jsonl, timings.jsonl and checkpoints/.
// A run directory that holds a run is refused unless `resume`; resuming goes on from its newest
// sound checkpoint and ends in the same bytes as a run never interrupted; other data are refused.
// Error: NaN loss, full disk, a shard of another tokenizer, ...; the last checkpoint is untouched.
PretrainResult Pretrain(PretrainRecipe recipe, const std::string& data, const std::string& run,
                        bool resume, const PretrainCallbacks& callbacks);

}  // namespace darkhorse
