#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"

namespace darkhorse {
namespace {

// Far above any published model, and so low that no product of two dimensions, nor of those that
// make up a tensor, leaves 63 bits.
constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 8192;

constexpr const char* kRopeTypes[] = {"yarn", "llama3", "linear"};

// Which models need at least 1 of a dimension; the others may have 0.
enum class Needed { kAlways, kByMla, kByGqa, kByDenseLayers, kByMoeLayers, kNever };

// The one table of limits.
struct Dimension {
  const char* name;
  int64_t ModelConfig::*value;
  int64_t high;
  Needed needed;
};
constexpr Dimension kDimensions[] = {
    {"vocab_size", &ModelConfig::vocab_size, kMaxDim, Needed::kAlways},
    {"hidden_size", &ModelConfig::hidden_size, kMaxDim, Needed::kAlways},
    {"num_hidden_layers", &ModelConfig::num_hidden_layers, kMaxLayers, Needed::kAlways},
    {"num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers, kMaxLayers,
     Needed::kNever},
    {"num_attention_heads", &ModelConfig::num_attention_heads, kMaxHeads, Needed::kAlways},
    {"q_lora_rank", &ModelConfig::q_lora_rank, kMaxDim, Needed::kNever},
    {"kv_lora_rank", &ModelConfig::kv_lora_rank, kMaxDim, Needed::kNever},
    {"qk_nope_head_dim", &ModelConfig::qk_nope_head_dim, kMaxHeadDim, Needed::kByMla},
    {"qk_rope_head_dim", &ModelConfig::qk_rope_head_dim, kMaxHeadDim, Needed::kByMla},
    {"v_head_dim", &ModelConfig::v_head_dim, kMaxHeadDim, Needed::kByMla},
    {"num_key_value_heads", &ModelConfig::num_key_value_heads, kMaxHeads, Needed::kByGqa},
    {"head_dim", &ModelConfig::head_dim, kMaxHeadDim, Needed::kByGqa},
    {"intermediate_size", &ModelConfig::intermediate_size, kMaxDim, Needed::kByDenseLayers},
    {"moe_intermediate_size", &ModelConfig::moe_intermediate_size, kMaxDim, Needed::kByMoeLayers},
    {"n_routed_experts", &ModelConfig::n_routed_experts, kMaxExperts, Needed::kByMoeLayers},
    {"n_shared_experts", &ModelConfig::n_shared_experts, kMaxExperts, Needed::kNever},
    {"num_experts_per_tok", &ModelConfig::num_experts_per_tok, kMaxExperts, Needed::kByMoeLayers},
    {"n_group", &ModelConfig::n_group, kMaxExperts, Needed::kByMoeLayers},
    {"topk_group", &ModelConfig::topk_group, kMaxExperts, Needed::kByMoeLayers},
    {"max_position_embeddings", &ModelConfig::max_position_embeddings, INT32_MAX, Needed::kAlways},
};

void RequirePositive(const char* field, int64_t value) {
  if (value < 1) Fail("{} is {}; it must be at least 1", field, value);
}

bool Needs(const ModelConfig& config, Needed needed) {
  const int64_t layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  switch (needed) {
    case Needed::kAlways:
      return true;
    case Needed::kByMla:
      return config.latent_attention();
    case Needed::kByGqa:
      return !config.latent_attention();
    case Needed::kByDenseLayers:
      return config.first_k_dense_replace > 0;
    case Needed::kByMoeLayers:
      return config.IsMoeLayer(layers - 1);
    case Needed::kNever:
      break;
  }
  return false;
}

}  // namespace

void CheckDimensions(const ModelConfig& config) {
  for (const Dimension& d : kDimensions) {
    const int64_t value = config.*d.value;
    if (value < 0 || value > d.high)
      Fail("{} is {}; it must be from 0 to {}", d.name, value, d.high);
  }
}

void ModelConfig::Validate() const {
  if (std::ranges::find(kModelTypes, model_type) == std::end(kModelTypes)) {
    Fail("model_type is '{}'; this program runs {}", model_type, fmt::join(kModelTypes, " and "));
  }
  CheckDimensions(*this);
  if (first_k_dense_replace < 0)
    Fail("first_k_dense_replace is {}; it cannot be negative", first_k_dense_replace);
  for (const Dimension& d : kDimensions) {
    if (Needs(*this, d.needed)) RequirePositive(d.name, this->*d.value);
  }
  if (rotary_dim() % 2 != 0) {
    Fail("{} is {}; RoPE rotates pairs, so it must be even",
         latent_attention() ? "qk_rope_head_dim" : "head_dim", rotary_dim());
  }
  if (!latent_attention() && num_attention_heads % num_key_value_heads != 0) {
    Fail(
        "num_attention_heads = {} is no multiple of num_key_value_heads = {}; as many query heads "
        "share each key",
        num_attention_heads, num_key_value_heads);
  }
  if (!latent_attention() && q_lora_rank > 0) {
    Fail("q_lora_rank is {} but kv_lora_rank 0; without a latent of keys there is none of queries",
         q_lora_rank);
  }
  if (latent_attention() && (attention_bias || attention_output_bias || qk_norm)) {
    Fail("{} is true; with kv_lora_rank = {} (latent attention) this program computes only false",
         attention_bias ? "attention_bias"
         : qk_norm      ? "qk_norm"
                        : "attention_output_bias",
         kv_lora_rank);
  }
  if (Needs(*this, Needed::kByMoeLayers)) {
    if (num_experts_per_tok > n_routed_experts) {
      Fail(
          "num_experts_per_tok is {} but n_routed_experts only {}; choose at most as many "
          "as there are",
          num_experts_per_tok, n_routed_experts);
    }
    if (n_routed_experts % n_group != 0) {
      Fail("n_routed_experts = {} does not divide into n_group = {} equal groups", n_routed_experts,
           n_group);
    }
    if (topk_group > n_group) Fail("topk_group is {} but n_group only {}", topk_group, n_group);
    if (num_experts_per_tok > topk_group * (n_routed_experts / n_group)) {
      Fail(
          "num_experts_per_tok = {} exceeds the {} experts of topk_group = {} groups; "
          "raise topk_group",
          num_experts_per_tok, topk_group * (n_routed_experts / n_group), topk_group);
    }
    if (scoring_func != "sigmoid" && scoring_func != "softmax") {
      Fail("scoring_func is '{}'; it must be sigmoid or softmax", scoring_func);
    }
    if (topk_method != "noaux_tc" && topk_method != "greedy" &&
        topk_method != "group_limited_greedy") {
      Fail("topk_method is '{}'; it must be noaux_tc, greedy or group_limited_greedy", topk_method);
    }
  }
  if (const std::string& type = rope_scaling.type; !type.empty()) {
    if (std::ranges::find(kRopeTypes, type) == std::end(kRopeTypes)) {
      Fail("rope_scaling.type is '{}'; known are {} (or null)", type, fmt::join(kRopeTypes, ", "));
    }
    if (!(rope_scaling.factor >= 1))
      Fail("rope_scaling.factor is {}; it must be at least 1", rope_scaling.factor);
    RequirePositive("rope_scaling.original_max_position_embeddings",
                    rope_scaling.original_max_position_embeddings);
  }
  if (rope_scaling.type == "llama3") {
    const RopeScaling& llama3 = rope_scaling;
    if (!(llama3.low_freq_factor > 0 && llama3.high_freq_factor > llama3.low_freq_factor)) {
      Fail(
          "rope_scaling.low_freq_factor is {} and high_freq_factor {}; both must be above 0, "
          "high_freq_factor above low_freq_factor (1 and 4 are usual)",
          llama3.low_freq_factor, llama3.high_freq_factor);
    }
  }
  if (rope_scaling.type == "yarn") {
    const RopeScaling& yarn = rope_scaling;
    if (!(yarn.beta_slow > 0 && yarn.beta_fast > yarn.beta_slow)) {
      Fail(
          "rope_scaling.beta_fast is {} and beta_slow {}; both must be above 0, beta_fast "
          "above beta_slow (32 and 1 are usual)",
          yarn.beta_fast, yarn.beta_slow);
    }
    if (!(yarn.mscale >= 0 && yarn.mscale_all_dim >= 0)) {
      Fail("rope_scaling.mscale is {} and mscale_all_dim {}; neither may be negative", yarn.mscale,
           yarn.mscale_all_dim);
    }
    if (!(yarn.attention_factor >= 0))
      Fail("rope_scaling.attention_factor is {}; it cannot be negative", yarn.attention_factor);
  }
  if (!(rope_theta > 1)) Fail("rope_theta is {}; it must exceed 1", rope_theta);
  if (!(rms_norm_eps >= 1e-30 && rms_norm_eps <= 1))
    Fail("rms_norm_eps is {}; it must be from 1e-30 to 1", rms_norm_eps);
  for (const int64_t id : stop_token_ids) {
    if (id < 0 || id > INT32_MAX)
      Fail("stop_token_ids has {}; an id is from 0 to {}", id, INT32_MAX);
  }
  if (!(initializer_range > 0 && initializer_range <= 10))
    Fail("initializer_range is {}; it must be positive and at most 10", initializer_range);
}

double ModelConfig::SoftmaxScale() const {
  double scale = 1.0 / std::sqrt(static_cast<double>(key_dim()));
  if (rope_scaling.type == "yarn" && rope_scaling.mscale_all_dim != 0 && rope_scaling.factor > 1) {
    const double m = 0.1 * rope_scaling.mscale_all_dim * std::log(rope_scaling.factor) + 1.0;
    scale *= m * m;
  }
  return scale;
}

std::vector<int32_t> StopTokens(const ModelConfig& config) {
  std::vector<int32_t> tokens(config.stop_token_ids.begin(), config.stop_token_ids.end());
  if (tokens.empty() && config.eos_token_id >= 0)
    tokens.push_back(static_cast<int32_t>(config.eos_token_id));
  return tokens;
}

}  // namespace darkhorse
