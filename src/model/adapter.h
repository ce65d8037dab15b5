// LoRA (Hu et al. 2021): a model whose weights stay as they are, in whatever format, and beside its
// linear layers pairs of small matrices, which are trained (kernel/weight.h's LowRank). Attention's
// layers have them, the feed-forward's and every expert's; embedding, head, router, norms and
// biases have none, nor have multi-token-prediction modules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/fields.h"
#include "model/params.h"

namespace darkhorse {

struct AdapterOptions {
  std::string kind = "auto";  // "lora", "none": everything is trained; "auto": lora for published
                              // models, none for those of this program
  int64_t rank = 16;
  double alpha = 32;
  std::vector<std::string> targets = {"all"};
  std::string weights = "auto";
};
void ListFields(AdapterOptions& options, FieldList& list);
void Validate(const AdapterOptions& options);  // UsageError

// The pairs of a model: lora_A [rank, in] and lora_B [out, rank] of each linear layer that is a
// target, in file order, named as PEFT names them. UsageError: a target that the model has not.
ParamLayout AdapterLayout(const ModelConfig& config, const AdapterOptions& options);

// The name of the pair's matrix of a weight: "model.layers.3.mlp.up_proj.weight" to
// "base_model.model.model.layers.3.mlp.up_proj.lora_A.weight".
std::string LoraName(const std::string& weight, char which);

// A: uniform within +-1/sqrt(in); B: 0, so the model is the base. Element i of tensor t is a pure
// function of (seed, t, i).
void InitializeAdapter(const ParamLayout& layout, uint64_t seed, float* values);

// The gradients of the pairs, in a buffer of their layout; of the base none is wanted.
ModelGradients BindAdapterGradients(const ModelConfig& config, const ParamLayout& layout,
                                    float* gradients);

// A base model with adapters.
class AdaptedWeights {
 public:
  // `values`: the pairs, a buffer of `layout`. Base and values must outlive this, and the values
  // not change without Repack. `format`: of the pairs' products.
  AdaptedWeights(const ModelConfig& config, const ModelWeights& base, const ParamLayout& layout,
                 double scale, float* values, Format format);
  AdaptedWeights(const AdaptedWeights&) = delete;
  AdaptedWeights& operator=(const AdaptedWeights&) = delete;

  const ModelWeights& model() const { return model_; }
  // Packs again after the values have changed.
  void Repack();

  // Bytes of the packed pairs. Allocates nothing of that size.
  static int64_t Bytes(const ParamLayout& layout, Format format);

 private:
  ModelWeights model_;
  std::vector<LowRank> adapters_;  // as many as there are pairs; they do not move
  FloatBuffer packed_;
};

}  // namespace darkhorse
