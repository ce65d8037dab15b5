// The model's tensors: the structures that the layers read and write, and the one list that spells
// each tensor's name, shape and kind. Layout, binding, packing, loading and cost follow from the
// list; a new tensor is a member here and a line in TensorLister.
//
// M is what a matrix is: a Weight in the model, a WeightGradient in its gradients. Vectors are
// float* in both. In gradients a null matrix or pointer means that this gradient is not wanted, and
// every backward function skips it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/matrix.h"
#include "kernel/weight.h"
#include "model/config.h"

namespace darkhorse {

template <typename M>
struct MlpTensors {
  M gate_proj, up_proj;  // [intermediate, hidden]
  M down_proj;           // [hidden, intermediate]
};

template <typename M>
struct MoeTensors {
  M gate;                                        // [n_routed_experts, hidden]
  float* e_score_correction_bias = nullptr;      // [n_routed_experts]; null: the config has none
  std::vector<M> gate_proj, up_proj, down_proj;  // per routed expert; shapes as in MlpTensors
  MlpTensors<M> shared;  // intermediate = n_shared_experts * moe_intermediate_size; empty if none
};

template <typename M>
struct MlaTensors {
  M q_proj;                         // [heads*qk_head_dim, hidden], without q_lora_rank
  M q_a_proj, q_b_proj;             // [q_lora, hidden], [heads*qk_head_dim, q_lora], with it
  float* q_a_layernorm = nullptr;   // [q_lora]
  M kv_a_proj_with_mqa;             // [kv_lora + qk_rope, hidden]
  float* kv_a_layernorm = nullptr;  // [kv_lora]
  M kv_b_proj;                      // [heads*(qk_nope + v), kv_lora]
  M o_proj;                         // [hidden, heads*v]
};

template <typename M>
struct GqaTensors {
  M q_proj;                                    // [heads*head_dim, hidden]
  M k_proj, v_proj;                            // [kv_heads*head_dim, hidden]
  float* q_bias = nullptr;                     // [heads*head_dim]; null: none, as of those below
  float *k_bias = nullptr, *v_bias = nullptr;  // [kv_heads*head_dim]
  float *q_norm = nullptr, *k_norm = nullptr;  // [head_dim], of every head
  M o_proj;                                    // [hidden, heads*head_dim]
  float* o_bias = nullptr;                     // [hidden]
};

template <typename M>
struct LayerTensors {
  float* input_layernorm = nullptr;           // [hidden]
  float* post_attention_layernorm = nullptr;  // [hidden]
  MlaTensors<M> mla;                          // where the config has latent attention
  GqaTensors<M> gqa;                          // elsewhere
  bool is_moe = false;
  MlpTensors<M> mlp;  // dense layers
  MoeTensors<M> moe;  // MoE layers
};

// Multi-token-prediction module k (DeepSeek-V3 section 2.2); embedding and head are the main
// model's.
template <typename M>
struct MtpTensors {
  float* enorm = nullptr;  // [hidden]
  float* hnorm = nullptr;  // [hidden]
  M eh_proj;  // [hidden, 2*hidden], input = [enorm(embedding); hnorm(hidden)] in that order
  LayerTensors<M> layer;
  float* norm = nullptr;  // [hidden] shared_head.norm
};

template <typename M>
struct ModelTensors {
  M embed_tokens;  // [vocab, hidden]
  std::vector<LayerTensors<M>> layers;
  float* norm = nullptr;  // [hidden]
  M lm_head;              // [vocab, hidden]; the embedding itself where tied
  std::vector<MtpTensors<M>> mtp;
};

using MlpWeights = MlpTensors<Weight>;
using MoeWeights = MoeTensors<Weight>;
using MlaWeights = MlaTensors<Weight>;
using GqaWeights = GqaTensors<Weight>;
using LayerWeights = LayerTensors<Weight>;
using MtpWeights = MtpTensors<Weight>;
using ModelWeights = ModelTensors<Weight>;

using MlpGradients = MlpTensors<WeightGradient>;
using MoeGradients = MoeTensors<WeightGradient>;
using MlaGradients = MlaTensors<WeightGradient>;
using GqaGradients = GqaTensors<WeightGradient>;
using LayerGradients = LayerTensors<WeightGradient>;
using MtpGradients = MtpTensors<WeightGradient>;
using ModelGradients = ModelTensors<WeightGradient>;

enum class ParamKind {
  kMatrix,      // a linear layer's weight: Muon's
  kEmbedding,   // embed_tokens
  kHead,        // lm_head
  kNorm,        // RMSNorm gains: no weight decay
  kBias,        // of a linear layer: no weight decay
  kRouter,      // mlp.gate.weight
  kRouterBias,  // mlp.gate.e_score_correction_bias: moved by the load, never by a gradient
  kAdapter,  // of a pair beside a linear layer (model/adapter.h), which is no tensor of this list
};

struct ParamSpec {
  std::string name;            // Hugging Face's: "model.layers.3.self_attn.o_proj.weight"
  std::vector<int64_t> shape;  // [out, in], [vocab, hidden] or [n]
  ParamKind kind;
  int64_t layer;   // MTP modules count after the main model's layers; -1: of no layer
  int64_t expert;  // routed expert; -1: of none
};

// "model.layers.3."
inline std::string LayerPrefix(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

// Gives `model` the layers, experts and modules of the config, and calls visit(tensor, spec) for
// each tensor in file order; `tensor` is an M& or, for a vector, a float*&. A tied head is no
// tensor of its own.
template <typename M, typename Visit>
void ListTensors(const ModelConfig& config, ModelTensors<M>& model, const Visit& visit);

// ---- implementation of the template ----

namespace internal {

template <typename M, typename Visit>
class TensorLister {
 public:
  TensorLister(const ModelConfig& config, const Visit& visit) : config_(config), visit_(visit) {}

  void List(ModelTensors<M>& model) {
    const int64_t vocab = config_.vocab_size, hidden = config_.hidden_size;
    VisitMatrix(model.embed_tokens, "model.embed_tokens.weight", vocab, hidden,
                ParamKind::kEmbedding);
    model.layers.resize(static_cast<size_t>(config_.num_hidden_layers));
    for (auto& layer : model.layers) {
      BeginLayer();
      ListLayer(layer);
    }
    EndLayers();
    VisitNorm(model.norm, "model.norm.weight", hidden);
    if (!config_.tie_word_embeddings)
      VisitMatrix(model.lm_head, "lm_head.weight", vocab, hidden, ParamKind::kHead);
    model.mtp.resize(static_cast<size_t>(config_.num_nextn_predict_layers));
    for (auto& module : model.mtp) {
      BeginLayer();
      VisitNorm(module.enorm, "enorm.weight", hidden);
      VisitNorm(module.hnorm, "hnorm.weight", hidden);
      VisitMatrix(module.eh_proj, "eh_proj.weight", hidden, 2 * hidden);
      ListLayer(module.layer);
      VisitNorm(module.norm, "shared_head.norm.weight", hidden);
    }
  }

 private:
  void ListLayer(LayerTensors<M>& layer) {
    VisitNorm(layer.input_layernorm, "input_layernorm.weight", config_.hidden_size);
    if (config_.latent_attention()) {
      ListMla(layer.mla);
    } else {
      ListGqa(layer.gqa);
    }
    VisitNorm(layer.post_attention_layernorm, "post_attention_layernorm.weight",
              config_.hidden_size);
    layer.is_moe = config_.IsMoeLayer(layer_);
    if (layer.is_moe) {
      ListMoe(layer.moe);
    } else {
      ListMlp(layer.mlp, "mlp", config_.intermediate_size);
    }
  }

  void ListMla(MlaTensors<M>& mla) {
    const int64_t hidden = config_.hidden_size, heads = config_.num_attention_heads;
    const int64_t queries = heads * config_.key_dim();
    if (const int64_t rank = config_.q_lora_rank; rank > 0) {
      VisitMatrix(mla.q_a_proj, "self_attn.q_a_proj.weight", rank, hidden);
      VisitNorm(mla.q_a_layernorm, "self_attn.q_a_layernorm.weight", rank);
      VisitMatrix(mla.q_b_proj, "self_attn.q_b_proj.weight", queries, rank);
    } else {
      VisitMatrix(mla.q_proj, "self_attn.q_proj.weight", queries, hidden);
    }
    const int64_t latent = config_.kv_lora_rank;
    VisitMatrix(mla.kv_a_proj_with_mqa, "self_attn.kv_a_proj_with_mqa.weight",
                latent + config_.qk_rope_head_dim, hidden);
    VisitNorm(mla.kv_a_layernorm, "self_attn.kv_a_layernorm.weight", latent);
    VisitMatrix(mla.kv_b_proj, "self_attn.kv_b_proj.weight",
                heads * (config_.qk_nope_head_dim + config_.v_head_dim), latent);
    VisitMatrix(mla.o_proj, "self_attn.o_proj.weight", hidden, heads * config_.v_head_dim);
  }

  void ListGqa(GqaTensors<M>& gqa) {
    const int64_t hidden = config_.hidden_size, width = config_.head_dim;
    const int64_t queries = config_.num_attention_heads * width;
    const int64_t keys = config_.num_key_value_heads * width;
    const auto project = [&](M& matrix, float*& bias, const std::string& name, int64_t out,
                             int64_t in, bool biased) {
      VisitMatrix(matrix, "self_attn." + name + ".weight", out, in);
      if (biased) VisitVector(bias, "self_attn." + name + ".bias", out, ParamKind::kBias);
    };
    project(gqa.q_proj, gqa.q_bias, "q_proj", queries, hidden, config_.attention_bias);
    project(gqa.k_proj, gqa.k_bias, "k_proj", keys, hidden, config_.attention_bias);
    project(gqa.v_proj, gqa.v_bias, "v_proj", keys, hidden, config_.attention_bias);
    if (config_.qk_norm) {
      VisitNorm(gqa.q_norm, "self_attn.q_norm.weight", width);
      VisitNorm(gqa.k_norm, "self_attn.k_norm.weight", width);
    }
    project(gqa.o_proj, gqa.o_bias, "o_proj", hidden, queries, config_.attention_output_bias);
  }

  void ListMlp(MlpTensors<M>& mlp, const std::string& name, int64_t intermediate) {
    ListMlp(mlp.gate_proj, mlp.up_proj, mlp.down_proj, name, intermediate);
  }
  void ListMlp(M& gate_proj, M& up_proj, M& down_proj, const std::string& name,
               int64_t intermediate) {
    VisitMatrix(gate_proj, name + ".gate_proj.weight", intermediate, config_.hidden_size);
    VisitMatrix(up_proj, name + ".up_proj.weight", intermediate, config_.hidden_size);
    VisitMatrix(down_proj, name + ".down_proj.weight", config_.hidden_size, intermediate);
  }

  void ListMoe(MoeTensors<M>& moe) {
    const int64_t experts = config_.n_routed_experts, width = config_.moe_intermediate_size;
    VisitMatrix(moe.gate, "mlp.gate.weight", experts, config_.hidden_size, ParamKind::kRouter);
    if (config_.topk_method == "noaux_tc") {
      VisitVector(moe.e_score_correction_bias, "mlp.gate.e_score_correction_bias", experts,
                  ParamKind::kRouterBias);
    }
    for (auto* matrices : {&moe.gate_proj, &moe.up_proj, &moe.down_proj})
      matrices->resize(static_cast<size_t>(experts));
    for (expert_ = 0; expert_ < experts; ++expert_) {
      const auto e = static_cast<size_t>(expert_);
      ListMlp(moe.gate_proj[e], moe.up_proj[e], moe.down_proj[e],
              "mlp.experts." + std::to_string(expert_), width);
    }
    expert_ = -1;
    if (config_.n_shared_experts > 0)
      ListMlp(moe.shared, "mlp.shared_experts", config_.n_shared_experts * width);
  }

  void BeginLayer() {
    layer_ = layers_begun_++;
    prefix_ = LayerPrefix(layer_);
  }
  void EndLayers() {
    layer_ = -1;
    prefix_.clear();
  }
  void VisitMatrix(M& matrix, const std::string& name, int64_t out, int64_t in,
                   ParamKind kind = ParamKind::kMatrix) {
    visit_(matrix, ParamSpec{prefix_ + name, {out, in}, kind, layer_, expert_});
  }
  void VisitNorm(float*& gain, const std::string& name, int64_t size) {
    VisitVector(gain, name, size, ParamKind::kNorm);
  }
  void VisitVector(float*& vector, const std::string& name, int64_t size, ParamKind kind) {
    visit_(vector, ParamSpec{prefix_ + name, {size}, kind, layer_, expert_});
  }

  const ModelConfig& config_;
  const Visit& visit_;
  std::string prefix_;
  int64_t layers_begun_ = 0;
  int64_t layer_ = -1, expert_ = -1;
};

}  // namespace internal

template <typename M, typename Visit>
void ListTensors(const ModelConfig& config, ModelTensors<M>& model, const Visit& visit) {
  internal::TensorLister<M, Visit>(config, visit).List(model);
}

}  // namespace darkhorse
