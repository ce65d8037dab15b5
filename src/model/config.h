// The model's configuration: Hugging Face's config.json of `deepseek_v3`, same field names, same
// meaning, and what other published models have besides. A dense model is the same code with no MoE
// layers: first_k_dense_replace as large as num_hidden_layers and num_nextn_predict_layers
// together. A model without latent attention is the same code with kv_lora_rank = 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace darkhorse {

// What model_type may be.
inline constexpr const char* kModelTypes[] = {"deepseek_v3", "deepseek_v2", "llama",
                                              "qwen2",       "qwen3",       "qwen3_moe"};

// How the context was extended; absent when type is empty. "yarn": Peng et al. 2023, as DeepSeek
// publishes it; "llama3": as Llama 3.1 does; "linear": every frequency divided by the factor (Chen
// et al. 2023).
struct RopeScaling {
  std::string type;  // "", "yarn", "llama3" or "linear"
  double factor = 1;
  int64_t original_max_position_embeddings = 4096;
  // yarn's
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;
  double attention_factor = 0;  // scale of the rotated dimensions; 0: follows from the two scales
  // llama3's
  double low_freq_factor = 1;
  double high_freq_factor = 4;

  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  std::string model_type = kModelTypes[0];
  int64_t vocab_size = 4096;
  int64_t hidden_size = 256;
  int64_t num_hidden_layers = 6;
  int64_t num_attention_heads = 4;
  // Multi-head latent attention (MLA)
  int64_t q_lora_rank = 0;     // 0 (null in JSON): queries straight from the hidden state (q_proj)
  int64_t kv_lora_rank = 128;  // 0: no latent, but grouped-query attention
  int64_t qk_nope_head_dim = 64;
  int64_t qk_rope_head_dim = 32;
  int64_t v_head_dim = 64;
  // Grouped-query attention (GQA)
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  bool attention_bias = false;         // of the projections to queries, keys and values
  bool attention_output_bias = false;  // and of that back
  bool qk_norm = false;                // RMSNorm over each head of queries and keys
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
  bool rope_interleave = true;  // pairs are neighbours; else column j pairs with j + half the width
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 1;             // behind each document
  std::vector<int64_t> stop_token_ids;  // whichever ends a text; empty: eos_token_id alone

  bool latent_attention() const { return kv_lora_rank > 0; }
  // Of a head: numbers of a query or key, those of them that rotate, and numbers of a value.
  int64_t key_dim() const {
    return latent_attention() ? qk_nope_head_dim + qk_rope_head_dim : head_dim;
  }
  int64_t rotary_dim() const { return latent_attention() ? qk_rope_head_dim : head_dim; }
  int64_t value_dim() const { return latent_attention() ? v_head_dim : head_dim; }
  // Heads of keys and values, each of which as many query heads share.
  int64_t key_value_heads() const {
    return latent_attention() ? num_attention_heads : num_key_value_heads;
  }
  bool IsMoeLayer(int64_t layer) const { return layer >= first_k_dense_replace; }

  // Throws Error naming the field, the value and the cure where the dimensions cannot work.
  void Validate() const;
  // Softmax scale: key_dim()^-1/2, times m^2 under YaRN, m = 0.1 mscale_all_dim ln(factor) + 1.
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
