// The one list of a model's tensors. Weights, gradients and optimizer moments are flat float
// buffers of the same layout; the list names each tensor as Hugging Face does, so import and export
// are the identity. ModelWeights is the same buffer seen as a structure: bound to the weights it
// drives the forward pass, bound to a gradient buffer it receives the backward pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "kernel/gemm.h"
#include "model/config.h"

namespace darkhorse {

enum class ParamKind {
  kMatrix,      // a linear layer's weight: Muon's
  kEmbedding,   // embed_tokens
  kHead,        // lm_head
  kNorm,        // RMSNorm gains: no weight decay
  kRouter,      // mlp.gate.weight
  kRouterBias,  // mlp.gate.e_score_correction_bias: moved by the load, never by a gradient
};

struct ParamInfo {
  std::string name;            // "model.layers.3.self_attn.o_proj.weight"
  std::vector<int64_t> shape;  // [out, in], [vocab, hidden] or [n]
  ParamKind kind;
  int64_t offset;  // floats from the start of the buffer; a multiple of 16
  int64_t size;    // floats
};

class ParamLayout {
 public:
  // Lists the tensors of a config in file order. Error: a config that is not valid, or so large
  // that it must be a mistake or an attack; sizes are computed without overflow.
  explicit ParamLayout(const ModelConfig& config);
  const std::vector<ParamInfo>& params() const { return params_; }
  // Floats in a buffer of this layout, padding included. Padding is zero and stays zero.
  int64_t buffer_size() const { return buffer_size_; }
  int64_t parameter_count() const;                     // without padding and without router biases
  const ParamInfo* Find(std::string_view name) const;  // nullptr if absent

 private:
  void Add(std::string name, std::vector<int64_t> shape, ParamKind kind);
  void AddLayer(const ModelConfig& config, const std::string& prefix, bool moe);
  std::vector<ParamInfo> params_;
  int64_t buffer_size_ = 0;
};

// Parameters that act on one token: active_parameters leaves out the experts a token does not
// visit.
int64_t ActiveParameterCount(const ModelConfig& config);

struct MlpWeights {
  Weight gate_proj, up_proj;  // [intermediate, hidden]
  Weight down_proj;           // [hidden, intermediate]
};

struct MoeWeights {
  Weight gate;                                        // [n_routed_experts, hidden]
  float* e_score_correction_bias;                     // [n_routed_experts]
  std::vector<Weight> gate_proj, up_proj, down_proj;  // per routed expert; shapes as MlpWeights
  MlpWeights shared;  // intermediate = n_shared_experts * moe_intermediate_size; empty if none
};

struct MlaWeights {
  Weight q_proj;                    // [heads*qk_head_dim, hidden]       without q_lora_rank
  Weight q_a_proj, q_b_proj;        // [q_lora, hidden], [heads*qk_head_dim, q_lora]    with it
  float* q_a_layernorm = nullptr;   // [q_lora]
  Weight kv_a_proj_with_mqa;        // [kv_lora + qk_rope, hidden]
  float* kv_a_layernorm = nullptr;  // [kv_lora]
  Weight kv_b_proj;                 // [heads*(qk_nope + v), kv_lora]
  Weight o_proj;                    // [hidden, heads*v]
};

struct LayerWeights {
  float* input_layernorm;           // [hidden]
  float* post_attention_layernorm;  // [hidden]
  MlaWeights attention;
  bool is_moe = false;
  MlpWeights mlp;  // dense layers
  MoeWeights moe;  // MoE layers
};

// Multi-token-prediction module k (DeepSeek-V3 section 2.2); embedding and head are the main
// model's.
struct MtpWeights {
  float* enorm;    // [hidden]
  float* hnorm;    // [hidden]
  Weight eh_proj;  // [hidden, 2*hidden], input = [enorm(embedding); hnorm(hidden)] in that order
  LayerWeights layer;
  float* norm;  // [hidden] shared_head.norm
};

struct ModelWeights {
  Matrix embed_tokens;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  float* norm;     // [hidden]
  Weight lm_head;  // [vocab, hidden]; the embedding itself where tied
  std::vector<MtpWeights> mtp;
};

// The buffer (layout.buffer_size() floats) seen as a model.
ModelWeights Bind(const ModelConfig& config, const ParamLayout& layout, float* buffer);

// Calls visit(weight) for every Weight that a linear layer multiplies by (the packed form can be
// attached there).
template <typename Visit>
void ForEachWeight(ModelWeights& model, Visit visit);

// Draws the initial weights: matrices, embeddings, head and router from N(0, initializer_range);
// norms 1, biases 0. Element i of tensor t is a pure function of (seed, t, i).
void InitializeWeights(const ModelConfig& config, const ParamLayout& layout, uint64_t seed,
                       float* buffer);

// ---- implementation of the template ----

template <typename Visit>
void ForEachWeight(ModelWeights& model, Visit visit) {
  const auto visit_mlp = [&](MlpWeights& mlp) {
    for (Weight* weight : {&mlp.gate_proj, &mlp.up_proj, &mlp.down_proj}) {
      if (weight->w.data) visit(*weight);
    }
  };
  const auto visit_layer = [&](LayerWeights& layer) {
    MlaWeights& mla = layer.attention;
    for (Weight* weight : {&mla.q_proj, &mla.q_a_proj, &mla.q_b_proj, &mla.kv_a_proj_with_mqa,
                           &mla.kv_b_proj, &mla.o_proj}) {
      if (weight->w.data) visit(*weight);
    }
    if (!layer.is_moe) return visit_mlp(layer.mlp);
    visit(layer.moe.gate);
    for (auto* experts : {&layer.moe.gate_proj, &layer.moe.up_proj, &layer.moe.down_proj}) {
      for (Weight& weight : *experts) visit(weight);
    }
    visit_mlp(layer.moe.shared);
  };
  for (LayerWeights& layer : model.layers) visit_layer(layer);
  for (MtpWeights& mtp : model.mtp) {
    visit(mtp.eh_proj);
    visit_layer(mtp.layer);
  }
  visit(model.lm_head);
}

}  // namespace darkhorse
