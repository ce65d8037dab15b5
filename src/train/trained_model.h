// The model in training: weights, gradients, optimizer. What pretraining and reinforcement learning
// have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/buffer.h"
#include "checkpoint/checkpoint.h"
#include "model/loss.h"
#include "model/packed_weights.h"
#include "train/optimizer.h"

namespace darkhorse {

// Error if this machine cannot hold the training of such a model, computing so many tokens at once;
// to be asked before the TrainedModel is made.
void RequireTrainingMemory(const ModelConfig& config, int64_t micro_batch_tokens,
                           Format format = Format::kF32);

class TrainedModel {
 public:
  // `format`: of the products of the linear layers and of Muon. Weights, gradients and moments are
  // f32 always.
  TrainedModel(const ModelConfig& config, const OptimizerOptions& optimizer,
               Format format = Format::kF32);
  TrainedModel(const TrainedModel&) = delete;
  TrainedModel& operator=(const TrainedModel&) = delete;

  const ModelConfig& config() const { return model_.config(); }
  const ParamLayout& layout() const { return layout_; }
  const Transformer& model() const { return model_; }
  Format format() const { return format_; }
  const float* weights() const { return weights_.data(); }
  // To be changed; asked for anew each time.
  float* mutable_weights() {
    stale_ = true;
    return weights_.data();
  }
  // As the weights are now.
  const ModelWeights& bound_weights();
  const ModelGradients& bound_grads() const { return bound_grads_; }
  Optimizer& optimizer() { return optimizer_; }
  Arena& arena() { return arena_; }

  void Initialize(uint64_t seed);  // fresh weights
  void ZeroGradients();
  // The optimizer's update from the gradients gathered; returns their norm.
  double Update(double lr_factor) {
    return optimizer_.Step(grads_.data(), lr_factor, mutable_weights());
  }

  // Adds a tensor to what Save writes and Load reads, such as a reference policy. It must outlive
  // this object.
  void AddState(const std::string& name, std::span<float> values) {
    extra_state_.emplace_back(name, values);
  }
  // Publishes the whole state under run/checkpoints/step-<step>; `json` is what the loop itself
  // needs to go on. Returns the directory.
  std::string Save(const std::string& run, int64_t keep, const ModelFiles& files,
                   const std::string& json, int64_t step);
  // Reads a checkpoint that Save wrote; returns its json.
  std::string Load(const std::string& directory);

 private:
  const Format format_;
  Transformer model_;
  ParamLayout layout_;
  FloatBuffer weights_, grads_;
  ModelWeights bound_weights_;           // as they are, for f32,
  std::optional<PackedWeights> packed_;  // or packed once an update
  bool stale_ = false;                   // packed_ is of older weights
  ModelGradients bound_grads_;
  Optimizer optimizer_;
  Arena arena_;
  std::vector<std::pair<std::string, std::span<float>>> extra_state_;
};

}  // namespace darkhorse
