// The loop of supervised fine-tuning: a model learns to answer as the assistant of chats does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "train/metrics.h"
#include "train/recipe.h"

namespace darkhorse {

struct FinetuneCallbacks {
  std::function<void(int64_t steps)> on_plan;  // before the first step: how many there will be
  std::function<void(const StepMetrics&)> on_step;
  // The loss on held-out samples before step 1.
  std::function<void(double loss)> on_start;
  std::function<void(const std::string& message)> on_note;
  // Names in the run's folder that the caller writes: where one lies there without a recipe, the
  // folder is another's.
  std::vector<std::string> written;
  StopRequest stop;  // asked before each micro-batch and each chat: true saves and returns
};

struct FinetuneResult {
  StepMetrics last;
  // On held-out samples; -1: not measured. The best after a step, where one is better than the
  // start.
  double start_loss = -1, best_loss = -1;
  std::string checkpoint;       // directory
  std::string best_checkpoint;  // directory; empty: no measurement was better than the start
  bool finished = false;        // false: stopped early
};

// Trains the model at `model` on the chats of `data` (data/chat_samples.h): the loss of a step is
// the mean negative log-likelihood over all tokens that it learns, so that each counts the same,
// whatever its sample's length. Every epoch takes the samples in another order. `run` receives
// recipe.toml, inputs.json, metrics.jsonl (whose line of step 0 is the measurement before),
// timings.jsonl, checkpoints/ and best/, the model of the best measurement. A run directory that
// holds a run is refused unless `resume`; resuming goes on from its newest sound checkpoint and
// ends in the same bytes as a run never interrupted; other chats, another model or recipe are
// refused, but that finetune.steps may become more. Error: rows that are no chats, a damaged model,
// no memory, a loss that is not finite, a full disk; the last checkpoint is untouched.
FinetuneResult Finetune(const FinetuneRecipe& recipe, const std::string& model,
                        const std::vector<std::string>& data, const std::string& run, bool resume,
                        const FinetuneCallbacks& callbacks);

}  // namespace darkhorse
