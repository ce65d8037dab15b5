#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_tensors.h"
#include "model/rope.h"

namespace darkhorse {
namespace {

class ConfigWriter {
 public:
  ConfigWriter(const ModelConfig& config, const std::string& name, GgufHead* head)
      : config_(config), name_(name), architecture_(ArchitectureOf(config)), head_(head) {}

  std::vector<float> Write() {
    RequireSayable();
    head_->String("general.architecture", architecture_.name);
    Int("block_count", config_.num_hidden_layers);
    Int("context_length", config_.max_position_embeddings);
    Int("embedding_length", config_.hidden_size);
    Int("feed_forward_length", config_.intermediate_size);
    Int("attention.head_count", config_.num_attention_heads);
    Number("attention.layer_norm_rms_epsilon", config_.rms_norm_eps);
    Int("vocab_size", config_.vocab_size);
    Number("rope.freq_base", config_.rope_theta);
    Int("rope.dimension_count", config_.rotary_dim());
    if (config_.latent_attention()) {
      WriteLatentAttention();
      WriteDeepSeekExperts();
    } else {
      Int("attention.head_count_kv", config_.num_key_value_heads);
      Int("attention.key_length", config_.head_dim);
      Int("attention.value_length", config_.head_dim);
      if (config_.n_routed_experts > 0) WriteExperts();
    }
    return WriteRopeScaling();
  }

 private:
  std::string Key(std::string_view name) const { return ArchitectureKey(architecture_, name); }
  void Int(std::string_view name, int64_t value) { head_->Int(Key(name), value); }
  void Number(std::string_view name, double value) { head_->Number(Key(name), value); }
  void Bool(std::string_view name, bool value) { head_->Bool(Key(name), value); }

  template <typename T>
  void Require(bool sayable, const char* field, const T& value) const {
    if (sayable) return;
    Fail("{}: {} is {}, which llama.cpp's '{}' does not compute; take --to hf-f32 or hf-bf16",
         name_, field, value, architecture_.name);
  }

  void RequireSayable() const {
    const bool latent = config_.latent_attention();
    if (latent) {
      Require(config_.rope_interleave, "rope_interleave", config_.rope_interleave);
    } else if (config_.qk_norm) {
      Require(!config_.attention_bias, "attention_bias", config_.attention_bias);
      if (config_.n_routed_experts > 0)
        Require(config_.norm_topk_prob, "norm_topk_prob", config_.norm_topk_prob);
    }
  }

  // Since April 2025: of the one head that the latent is, and of the many.
  void WriteLatentAttention() {
    Int("attention.head_count_kv", 1);
    Int("attention.key_length", config_.kv_lora_rank + config_.qk_rope_head_dim);
    Int("attention.value_length", config_.kv_lora_rank);
    Int("attention.key_length_mla", config_.key_dim());
    Int("attention.value_length_mla", config_.v_head_dim);
    if (config_.q_lora_rank > 0) Int("attention.q_lora_rank", config_.q_lora_rank);
    Int("attention.kv_lora_rank", config_.kv_lora_rank);
  }

  void WriteExperts() {
    Int("expert_count", config_.n_routed_experts);
    Int("expert_used_count", config_.num_experts_per_tok);
    Int("expert_feed_forward_length", config_.moe_intermediate_size);
  }

  void WriteDeepSeekExperts() {
    constexpr int64_t kSoftmax = 1, kSigmoid = 2;
    Int("leading_dense_block_count",
        std::min(config_.first_k_dense_replace, config_.num_hidden_layers));
    WriteExperts();
    Int("expert_shared_count", config_.n_shared_experts);
    Number("expert_weights_scale", config_.routed_scaling_factor);
    Bool("expert_weights_norm", config_.norm_topk_prob);
    Int("expert_gating_func", config_.scoring_func == "sigmoid" ? kSigmoid : kSoftmax);
    Int("expert_group_count", config_.n_group);
    Int("expert_group_used_count", config_.topk_group);
  }

  std::vector<float> WriteRopeScaling() {
    const RopeScaling& scaling = config_.rope_scaling;
    if (scaling.type.empty()) return {};
    if (scaling.type == "llama3") {
      Require(architecture_.name == "llama", "rope_scaling.type", scaling.type);
      return WriteLlama3Scaling();
    }
    head_->String(Key("rope.scaling.type"), scaling.type);
    Number("rope.scaling.factor", scaling.factor);
    if (scaling.type != "yarn") return {};
    Int("rope.scaling.original_context_length", scaling.original_max_position_embeddings);
    Number("rope.scaling.yarn_beta_fast", scaling.beta_fast);
    Number("rope.scaling.yarn_beta_slow", scaling.beta_slow);
    if (config_.latent_attention()) {
      Require(scaling.attention_factor == 0, "rope_scaling.attention_factor",
              scaling.attention_factor);
      Require(scaling.mscale == scaling.mscale_all_dim, "rope_scaling.mscale", scaling.mscale);
      Number("rope.scaling.yarn_log_multiplier", 0.1 * scaling.mscale_all_dim);
      return {};
    }
    Require(scaling.mscale_all_dim == 0, "rope_scaling.mscale_all_dim", scaling.mscale_all_dim);
    if (scaling.attention_factor > 0) {
      Number("rope.scaling.attn_factor",
             scaling.attention_factor / (0.1 * std::log(scaling.factor) + 1));
    } else {
      Require(scaling.mscale == 1, "rope_scaling.mscale", scaling.mscale);
    }
    return {};
  }

  std::vector<float> WriteLlama3Scaling() {
    const RopeScaling& scaling = config_.rope_scaling;
    // As GgufConfig reads them where nothing is said.
    const RopeScaling standard{.original_max_position_embeddings = 8192};
    if (scaling.original_max_position_embeddings != standard.original_max_position_embeddings)
      Int("rope.scaling.original_context_length", scaling.original_max_position_embeddings);
    if (scaling.low_freq_factor != standard.low_freq_factor)
      Number("rope.scaling.low_freq_factor", scaling.low_freq_factor);
    if (scaling.high_freq_factor != standard.high_freq_factor)
      Number("rope.scaling.high_freq_factor", scaling.high_freq_factor);
    std::vector<float> divisors = Divisors();
    // The factor is told by the largest divisor, which of few frequencies may be none of the whole.
    const float most = *std::ranges::max_element(divisors);
    if (most != 1 && most != static_cast<float>(scaling.factor)) {
      Fail(
          "{}: rope_scaling.factor is {}, by which no frequency is divided whole, so a GGUF file "
          "could not tell it; take --to hf-f32 or hf-bf16",
          name_, scaling.factor);
    }
    return divisors;
  }

  // By which each plain frequency is divided.
  std::vector<float> Divisors() const {
    ModelConfig plain = config_;
    plain.rope_scaling = {};
    const std::vector<double> before = RopeFrequencies(plain), after = RopeFrequencies(config_);
    std::vector<float> divisors;
    for (size_t j = 0; j < after.size(); ++j)
      divisors.push_back(static_cast<float>(before[j] / after[j]));
    return divisors;
  }

  const ModelConfig& config_;
  const std::string& name_;
  const GgufArchitecture& architecture_;
  GgufHead* head_;
};

}  // namespace

std::vector<float> WriteGgufConfig(const ModelConfig& config, const std::string& name,
                                   GgufHead* head) {
  return ConfigWriter(config, name, head).Write();
}

}  // namespace darkhorse
