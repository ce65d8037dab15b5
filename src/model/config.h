// The model's configuration: Hugging Face's config.json of `deepseek_v3`, same field names, same
// meaning. A dense model is the same code with no MoE layers: first_k_dense_replace as large as
// num_hidden_layers and num_nextn_predict_layers together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace darkhorse {

// What model_type may be.
inline constexpr const char* kModelTypes[] = {"deepseek_v3", "deepseek_v2"};

// YaRN (Peng et al. 2023) as DeepSeek publishes it; absent when type is empty.
struct RopeScaling {
  std::string type;  // "" or "yarn"
  double factor = 1;
  int64_t original_max_position_embeddings = 4096;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;

  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  std::string model_type = kModelTypes[0];
  int64_t vocab_size = 4096;
  int64_t hidden_size = 256;
  int64_t num_hidden_layers = 6;
  int64_t num_attention_heads = 4;
  // MLA
  int64_t q_lora_rank = 0;  // 0 (null in JSON): queries straight from the hidden state (q_proj)
  int64_t kv_lora_rank = 128;
  int64_t qk_nope_head_dim = 64;
  int64_t qk_rope_head_dim = 32;
  int64_t v_head_dim = 64;
  // Feed-forward
  int64_t intermediate_size = 768;
  int64_t moe_intermediate_size = 256;
  int64_t first_k_dense_replace = 1;
  int64_t n_routed_experts = 16;
  int64_t n_shared_experts = 1;
  int64_t num_experts_per_tok = 2;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  std::string scoring_func = "sigmoid";  // or "softmax"
  std::string topk_method = "noaux_tc";  // or "greedy", "group_limited_greedy" (DeepSeek-V2)
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1.0;
  // The rest
  int64_t num_nextn_predict_layers = 0;  // multi-token-prediction modules
  int64_t max_position_embeddings = 4096;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 1;             // behind each document
  std::vector<int64_t> stop_token_ids;  // whichever ends a text; empty: eos_token_id alone

  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool IsMoeLayer(int64_t layer) const { return layer >= first_k_dense_replace; }

  // Throws Error naming the field, the value and the cure where the dimensions cannot work.
  void Validate() const;
  // Softmax scale: qk_head_dim^-1/2, times m^2 under YaRN, m = 0.1 mscale_all_dim ln(factor) + 1.
  double SoftmaxScale() const;

  bool operator==(const ModelConfig&) const = default;
};

// Error naming the first dimension that is beyond any model's: a configuration may come from a
// stranger, and products of dimensions must not overflow.
void CheckDimensions(const ModelConfig& config);

// The token that every document begins with; -1 where documents have no mark of their own there and
// are only separated, by eos.
inline int32_t DocumentStartToken(const ModelConfig& config) {
  if (config.bos_token_id < 0 || config.bos_token_id == config.eos_token_id) return -1;
  return static_cast<int32_t>(config.bos_token_id);
}

// The tokens of which each ends a text; none where the model has no such token.
std::vector<int32_t> StopTokens(const ModelConfig& config);

}  // namespace darkhorse
