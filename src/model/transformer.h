// The transformer: tokens in, hidden states out; gradients of hidden states in, parameter gradients
// out. One function serves training (no cache, `saved` given), prefill and decoding (cache given):
// there is one model, not two.
#pragma once

#include <cstdint>
#include <vector>

#include "base/arena.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/cost.h"
#include "model/kv_cache.h"
#include "model/layer.h"
#include "model/mtp.h"
#include "model/rope.h"
#include "model/tensors.h"

namespace darkhorse {

// What the forward pass keeps for the backward pass. Buffers live in the arena that Forward was
// given.
struct TransformerSaved {
  std::vector<LayerSaved> layers;
  Matrix final_in;       // [T, hidden] input of the final norm
  float* final_inv_rms;  // [T]
  Matrix hidden;         // [T, hidden] output of the final norm
};

// The document position of each row [T], in `arena`. Throws Error for a token outside the
// vocabulary or a position beyond max_position_embeddings.
const int32_t* RowPositions(const TokenBatch& batch, const ModelConfig& config, Arena& arena);

class Transformer {
 public:
  // Positions up to max_position_embeddings can be computed.
  explicit Transformer(const ModelConfig& config, Activations activations = Activations::kKept);
  const ModelConfig& config() const { return config_; }
  const RopeCache& rope() const { return rope_; }
  const ModelCost& cost() const { return cost_; }

  // Hidden states after the final norm [T, hidden], in `arena`. With `cache`, segments append to
  // and read from their slots. `saved` (training), `cache` (generation) and `clock` (where the time
  // goes) may each be null.
  Matrix Forward(const ModelWeights& weights, const TokenBatch& batch, KvCache* cache, Arena& arena,
                 TransformerSaved* saved, PartClock* clock = nullptr) const;

  // Adds the parameter gradients for dhidden [T, hidden] (overwritten) to grads. balance_alpha:
  // weight of the sequence-wise balance loss (DeepSeek-V3 eq. 17) in units of the loss that dhidden
  // is the gradient of.
  void Backward(const ModelWeights& weights, const TokenBatch& batch, const TransformerSaved& saved,
                Matrix dhidden, float balance_alpha, Arena& arena, const ModelGradients& grads,
                PartClock* clock = nullptr) const;

 private:
  ModelConfig config_;
  Activations activations_;
  RopeCache rope_;
  ModelCost cost_;
};

}  // namespace darkhorse
