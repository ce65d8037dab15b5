// The pretraining loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "checkpoint/model_source.h"
#include "train/metrics.h"
#include "train/recipe.h"

namespace darkhorse {

struct PretrainCallbacks {
  std::function<void(const StepMetrics&)> on_step;
  std::function<void(const std::string& message)> on_note;  // resumed, saved, ...
  // Names in the run's folder that the caller writes: where one lies there without a recipe, the
  // folder is another's.
  std::vector<std::string> written;
  StopRequest stop;  // asked before each micro-batch: true saves and returns
};

struct PretrainResult {
  StepMetrics last;  // of a run gone on with but not a step further, without load and timings
  double validation_loss = -1;  // of a finished run; -1: no validation shard
  std::string checkpoint;       // directory
  bool finished = false;        // false: stopped early
};

// Trains on data/train.bin of a prepared folder (data/prepare.h) and measures on its val.bin, if it
// has one. The weights are fresh where `model` is null, else that model's: then recipe.model is
// its, and its tokenizer must be the data's; resuming takes the same one. `run` receives
// recipe.toml, inputs.json, metrics.jsonl, timings.jsonl and checkpoints/. A run directory that
// holds a run is refused unless `resume`; resuming goes on from its newest sound checkpoint and
// ends in the same bytes as a run never interrupted; other data and another recipe are refused.
// Only train.steps may be another number than before, more than the steps done: the run goes on to
// it. Error: NaN loss, full disk, a shard of another tokenizer, ...; the last checkpoint is
// untouched.
PretrainResult Pretrain(PretrainRecipe recipe, const std::string& data, const std::string& run,
                        bool resume, const PretrainCallbacks& callbacks,
                        const ModelSource* model = nullptr);

}  // namespace darkhorse
