// The model in training: what is trained of it, its gradients, the optimizer. What pretraining and
// reinforcement learning have in common. Trained are all weights, or an adapter of a model that
// stays as it is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/buffer.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "model/adapter.h"
#include "model/loss.h"
#include "model/packed_weights.h"
#include "model/weight_store.h"
#include "train/optimizer.h"

namespace darkhorse {

// What decides how much memory a training takes, beside its model.
struct TrainingNeed {
  int64_t micro_batch_tokens = 0;  // tokens computed at once
  Format format = Format::kF32;    // of the products
  Activations activations = Activations::kKept;
  Format moments = Format::kF32;
  int64_t copies = 0;  // of what is trained, beyond values and gradients
  // Of another model, such as a teacher, in bytes.
  double beside = 0;
};

// Error if this machine cannot hold the training of such a model; to be asked before the
// TrainedModel is made.
void RequireTrainingMemory(const ModelConfig& config, const TrainingNeed& need);

// The same of the training of an adapter, whose base takes `base_bytes` in memory.
void RequireAdapterMemory(const ModelConfig& config, const ParamLayout& adapter, int64_t base_bytes,
                          const TrainingNeed& need);

// What a model in training takes of memory, but for activations, in bytes.
struct TrainedBytes {
  int64_t trained = 0;  // one copy of what is trained; gradients take one more
  int64_t moments = 0;  // of the optimizer, both
  int64_t beside = 0;   // packed forms, for sampling too; an adapter's base
  int64_t state() const { return 2 * trained + moments + beside; }
};
TrainedBytes BytesOfAllWeights(const ModelCost& cost, Format format, Format moments = Format::kF32);

// A model that stays as it is, in whatever formats, and the adapter of it that is trained.
struct AdapterTraining {
  std::shared_ptr<const ModelSource> source;  // of the base; the embedding stays in it
  WeightStore::Choose weights;                // its formats in memory
  ParamLayout layout;                         // of the adapter
  double scale;
};

class TrainedModel {
 public:
  // All weights. `format`: of the products of the linear layers and of Muon. Weights and gradients
  // are f32 always.
  TrainedModel(const ModelConfig& config, const OptimizerOptions& optimizer,
               Format format = Format::kF32, Activations activations = Activations::kKept);
  // An adapter. `format`: of its products. Error: weights that are not finite.
  TrainedModel(const ModelConfig& config, const OptimizerOptions& optimizer, Format format,
               Activations activations, AdapterTraining adapter);
  TrainedModel(const TrainedModel&) = delete;
  TrainedModel& operator=(const TrainedModel&) = delete;

  const ModelConfig& config() const { return model_.config(); }
  // Of what is trained.
  const ParamLayout& layout() const { return layout_; }
  const Transformer& model() const { return model_; }
  Format format() const { return format_; }
  Activations activations() const { return activations_; }
  bool trains_adapter() const { return base_.has_value(); }
  TrainedBytes bytes() const;
  const float* weights() const { return weights_.data(); }
  // To be changed; asked for anew each time.
  float* mutable_weights() {
    stale_ = true;
    return weights_.data();
  }
  // The model as the weights are now.
  const ModelWeights& bound_weights();
  // The model with these values, a buffer of the layout, in the place of the weights: of a
  // reference. Good while they are and until the next call.
  const ModelWeights& WithValues(float* values);
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
  // needs to go on, and `files` say of which base an adapter is. Returns the directory.
  std::string Save(const std::string& run, int64_t keep, const ModelFiles& files,
                   const std::string& json, int64_t step);
  // Reads a checkpoint that Save wrote; returns its json.
  std::string Load(const std::string& directory);

 private:
  const Format format_;
  const Activations activations_;
  Transformer model_;
  std::shared_ptr<const ModelSource> source_;  // of the base, where an adapter is trained
  std::optional<WeightStore> base_;
  double scale_ = 0;  // of the adapter
  ParamLayout layout_;
  FloatBuffer weights_, grads_;
  ModelWeights bound_weights_;             // all weights as they are, for f32,
  std::optional<PackedWeights> packed_;    // or packed once an update;
  std::optional<AdaptedWeights> adapted_;  // or the base with the adapter
  bool stale_ = false;                     // packed_ or adapted_ is of older weights
  ModelWeights other_weights_;             // what WithValues gave last
  std::optional<AdaptedWeights> other_adapted_;
  ModelGradients bound_grads_;
  Optimizer optimizer_;
  Arena arena_;
  std::vector<std::pair<std::string, std::span<float>>> extra_state_;
};

}  // namespace darkhorse
