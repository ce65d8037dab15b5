// LoRA (Hu et al. 2021): a model whose weights stay as they are, in whatever format, and beside its
// linear layers pairs of small matrices, which are trained (kernel/weight.h's LowRank). Attention's
// layers have them, the feed-forward's and every expert's; embedding, head, router, norms and
// biases have none, nor have multi-token-prediction modules. With DoRA (Liu et al. 2024) each pair
// has a magnitude for every output of its layer besides.
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
  bool dora = false;
  std::vector<std::string> targets = {"all"};
  std::string weights = "auto";
};
void ListFields(AdapterOptions& options, FieldList& list);
void Validate(const AdapterOptions& options);  // UsageError

// The pairs of a model: lora_A [rank, in] and lora_B [out, rank] of each linear layer that is a
// target, and with DoRA its lora_magnitude_vector [out], in file order, named as PEFT names them.
// UsageError: a target that the model has not.
ParamLayout AdapterLayout(const ModelConfig& config, const AdapterOptions& options);

// The name of the pair's matrix of a weight: "model.layers.3.mlp.up_proj.weight" to
// "base_model.model.model.layers.3.mlp.up_proj.lora_A.weight".
std::string LoraName(const std::string& weight, char which);
// And of its magnitudes: "base_model.model.model.layers.3.mlp.up_proj.lora_magnitude_vector".
std::string MagnitudeName(const std::string& weight);

// A: uniform within +-1/sqrt(in); B: 0, so the model is the base. Element i of tensor t is a pure
// function of (seed, t, i). Magnitudes are left alone: AdaptedWeights::InitializeMagnitudes.
void InitializeAdapter(const ParamLayout& layout, uint64_t seed, float* values);

// The gradients of the pairs, in a buffer of their layout; of the base none is wanted.
ModelGradients BindAdapterGradients(const ModelConfig& config, const ParamLayout& layout,
                                    float* gradients);

// An adapter's numbers, in memory of someone else's.
struct AdapterValues {
  const ParamLayout* layout = nullptr;  // null: an adapter without pairs, which is the base
  double scale = 1;
  float* values = nullptr;  // the pairs, a buffer of the layout
};

// A base model with an adapter, or with several of which each row of a batch takes one
// (Segment::adapter counts them). Of several none has magnitudes.
class AdaptedWeights {
 public:
  // Base, layouts and values must outlive this, and the values not change without Repack.
  // `format`: of the pairs' products.
  AdaptedWeights(const ModelConfig& config, const ModelWeights& base,
                 const std::vector<AdapterValues>& adapters, Format format);
  AdaptedWeights(const ModelConfig& config, const ModelWeights& base, const ParamLayout& layout,
                 double scale, float* values, Format format)
      : AdaptedWeights(config, base, {{&layout, scale, values}}, format) {}
  AdaptedWeights(const AdaptedWeights&) = delete;
  AdaptedWeights& operator=(const AdaptedWeights&) = delete;

  const ModelWeights& model() const { return model_; }
  // Packs again after the values have changed, and takes norms again.
  void Repack();
  // Magnitudes, where there are such, become the norms that the rows have: those of the base where
  // every B is 0. Among the values; to be followed by Repack.
  void InitializeMagnitudes();

  // Bytes of the packed pairs and of what goes with magnitudes. Allocates nothing of that size.
  static int64_t Bytes(const ParamLayout& layout, Format format);

 private:
  // Of a pair with DoRA.
  struct Magnitudes {
    const Weight* weight;  // with the pair
    float* magnitude;      // among the values
    float* gain;
    float* inverse_norm;
  };

  ModelWeights model_;
  // By weight that any has a pair of, then by adapter; they do not move.
  std::vector<LowRank> adapters_;
  std::vector<Magnitudes> magnitudes_;
  FloatBuffer packed_;
};

}  // namespace darkhorse
