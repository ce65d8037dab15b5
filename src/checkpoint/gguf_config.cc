#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "checkpoint/config_json.h"
#include "checkpoint/gguf_tensors.h"

namespace darkhorse {
namespace {

using nlohmann::json;

constexpr int64_t kMax = INT32_MAX;
constexpr const char* kEmbedding = "token_embd.weight";
constexpr const char* kRopeFreqs = "rope_freqs.weight";

// The keys of the architecture's own, read by what follows "llama.".
class Keys {
 public:
  explicit Keys(const GgufFiles& files)
      : files_(files), keys_(files.keys()), architecture_(ArchitectureOf(keys_)) {}

  const std::string& file() const { return keys_.name(); }
  const GgufArchitecture& architecture() const { return architecture_; }
  const GgufTensor* Tensor(std::string_view name) const {
    const GgufFiles::Entry* entry = files_.Find(name);
    return entry ? entry->tensor : nullptr;
  }
  bool AnyTensor(std::string_view ending) const {
    return std::any_of(files_.entries().begin(), files_.entries().end(),
                       [&](const auto& entry) { return entry.tensor->name.ends_with(ending); });
  }

  bool Has(std::string_view name) const { return keys_.Find(Key(name)) != nullptr; }
  int64_t Int(std::string_view name) const { return keys_.Int(Key(name), 0, kMax); }
  int64_t Int(std::string_view name, int64_t absent) const {
    return keys_.FindInt(Key(name), 0, kMax).value_or(absent);
  }
  double Number(std::string_view name) const { return keys_.Number(Key(name)); }
  double Number(std::string_view name, double absent) const {
    return keys_.FindNumber(Key(name)).value_or(absent);
  }
  bool Bool(std::string_view name, bool absent) const {
    return keys_.FindBool(Key(name)).value_or(absent);
  }
  std::string String(std::string_view name, std::string_view absent) const {
    return std::string(keys_.FindString(Key(name)).value_or(absent));
  }
  // Refuses every number but `only` (absent counts as it).
  void Require(std::string_view name, double only) const {
    if (const double value = Number(name, only); value != only) {
      Fail("{}: key '{}' is {}; this program computes only {}", file(), Key(name), value, only);
    }
  }
  std::string Key(std::string_view name) const { return ArchitectureKey(architecture_, name); }

 private:
  const GgufFiles& files_;
  const GgufKeys& keys_;
  const GgufArchitecture& architecture_;
};

// Llama 3's scaling is told by the divisors of the frequencies, a tensor. Of what gives them only
// the factor differs between the published models; where the rest does, this program's exports say
// so in keys, which other programs pass over.
json Llama3Scaling(const Keys& keys, const GgufTensor& tensor, int64_t dim, double theta) {
  const double low = keys.Number("rope.scaling.low_freq_factor", 1),
               high = keys.Number("rope.scaling.high_freq_factor", 4);
  const int64_t original = keys.Int("rope.scaling.original_context_length", 8192);
  const std::string where = fmt::format("{}: tensor '{}'", keys.file(), kRopeFreqs);
  if (tensor.type != &InfoOf(GgmlType::kF32) || tensor.shape != std::vector<int64_t>{dim / 2} ||
      tensor.bytes.empty()) {
    Fail("{}: must hold {} numbers of F32; fetch the model again", where, dim / 2);
  }
  std::vector<float> divisors(static_cast<size_t>(dim / 2));
  tensor.type->decode(tensor.bytes.data(), dim / 2, divisors.data());
  const double factor = *std::max_element(divisors.begin(), divisors.end());
  for (size_t j = 0; j < divisors.size(); ++j) {
    const double turns = static_cast<double>(original) / (2 * std::numbers::pi) *
                         std::pow(theta, -2.0 * static_cast<double>(j) / static_cast<double>(dim));
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    const double expected = 1 / ((1 - kept) / factor + kept);
    // They were computed in f32. A frequency is wrong by about ln(theta) 2^-24 of itself, 1e-6,
    // `kept` by 4/3 of that, and so the divisor by up to `factor` times as much: 32, of the known
    // ones.
    if (!(std::abs(divisors[j] - expected) <= 1e-4 * expected)) {
      Fail(
          "{}: divides frequency {} by {}, where Llama 3's rule gives {}; take the model from "
          "safetensors",
          where, j, divisors[j], expected);
    }
  }
  if (factor == 1) return nullptr;
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", low},
          {"high_freq_factor", high},
          {"original_max_position_embeddings", original}};
}

json YarnScaling(const Keys& keys, double factor) {
  json scaling = {{"rope_type", "yarn"}, {"factor", factor}};
  if (keys.Has("rope.scaling.original_context_length")) {
    scaling["original_max_position_embeddings"] = keys.Int("rope.scaling.original_context_length");
  }
  scaling["beta_fast"] = keys.Number("rope.scaling.yarn_beta_fast", 32);
  scaling["beta_slow"] = keys.Number("rope.scaling.yarn_beta_slow", 1);
  keys.Require("rope.scaling.yarn_ext_factor", 1);
  keys.Require("rope.scaling.yarn_attn_factor", 1);
  if (keys.architecture().name == "deepseek2") {
    // The key holds 0.1 times mscale_all_dim. DeepSeek's two scales are equal in every published
    // model, so the rotated dimensions keep theirs.
    scaling["mscale"] = scaling["mscale_all_dim"] =
        10 * keys.Number("rope.scaling.yarn_log_multiplier", 0);
    keys.Require("rope.scaling.attn_factor", 1);
  } else if (const double scale = keys.Number("rope.scaling.attn_factor", 1); scale != 1) {
    scaling["attention_factor"] = scale * (0.1 * std::log(factor) + 1);
  }
  return scaling;
}

json RopeScalingOf(const Keys& keys, int64_t dim, double theta) {
  if (const int64_t rotated = keys.Int("rope.dimension_count", dim); rotated != dim) {
    Fail("{}: key '{}' is {}; this program rotates all {} dimensions of a head", keys.file(),
         keys.Key("rope.dimension_count"), rotated, dim);
  }
  if (const GgufTensor* tensor = keys.Tensor(kRopeFreqs)) {
    return Llama3Scaling(keys, *tensor, dim, theta);
  }
  // Files of before 2024 have the factor alone.
  const bool old = keys.Has("rope.scale_linear");
  const std::string type = keys.String("rope.scaling.type", old ? "linear" : "none");
  if (type == "none") return nullptr;
  const double factor = keys.Number(old ? "rope.scale_linear" : "rope.scaling.factor");
  if (type == "linear") {
    if (factor == 1) return nullptr;
    return {{"rope_type", "linear"}, {"factor", factor}};
  }
  if (type == "yarn") return YarnScaling(keys, factor);
  Fail("{}: key '{}' is '{}'; none, linear and yarn are supported", keys.file(),
       keys.Key("rope.scaling.type"), Printable(type));
}

void ReadGroupedAttention(const Keys& keys, json& config) {
  const int64_t heads = keys.Int("attention.head_count");
  const int64_t head_dim =
      keys.Int("attention.key_length", keys.Int("embedding_length") / std::max<int64_t>(heads, 1));
  if (const int64_t value = keys.Int("attention.value_length", head_dim); value != head_dim) {
    Fail("{}: key '{}' is {} but queries have {} dimensions; this program computes only equal ones",
         keys.file(), keys.Key("attention.value_length"), value, head_dim);
  }
  config["num_key_value_heads"] = keys.Int("attention.head_count_kv", heads);
  config["head_dim"] = head_dim;
  config["attention_bias"] = keys.AnyTensor(".attn_q.bias");
}

void ReadLatentAttention(const Keys& keys, json& config) {
  // Since April 2025 these two are of the one head that the latent is, and those of the many have
  // keys of their own.
  const bool mla = keys.Has("attention.key_length_mla");
  const int64_t key = keys.Int(mla ? "attention.key_length_mla" : "attention.key_length");
  const int64_t rope = keys.Int("rope.dimension_count");
  config["qk_rope_head_dim"] = rope;
  config["qk_nope_head_dim"] = std::max<int64_t>(key - rope, 0);
  config["v_head_dim"] = keys.Int(mla ? "attention.value_length_mla" : "attention.value_length");
  config["kv_lora_rank"] = keys.Int("attention.kv_lora_rank");
  config["q_lora_rank"] = keys.Int("attention.q_lora_rank", 0);
}

// The groups of experts have keys in newer files only. Who has how many experts tells the published
// models apart: V3 and R1; V2 and V2.5; all others have no groups.
std::pair<int64_t, int64_t> GroupsOf(int64_t experts) {
  if (experts == 256) return {8, 4};
  if (experts == 160) return {8, 3};
  return {1, 1};
}

void ReadDeepSeekExperts(const Keys& keys, json& config) {
  const int64_t layers = keys.Int("block_count");
  const int64_t experts = keys.Int("expert_count", 0);
  config["n_routed_experts"] = experts;
  config["num_experts_per_tok"] = keys.Int("expert_used_count", 0);
  config["n_shared_experts"] = keys.Int("expert_shared_count", 0);
  config["moe_intermediate_size"] = keys.Int("expert_feed_forward_length", 0);
  config["first_k_dense_replace"] =
      experts == 0 ? layers : keys.Int("leading_dense_block_count", 0);
  // Absent: as V2, of before these keys.
  constexpr int64_t kSoftmax = 1, kSigmoid = 2;
  const int64_t gating = keys.Int("expert_gating_func", kSoftmax);
  if (gating != kSoftmax && gating != kSigmoid) {
    Fail("{}: key '{}' is {}; this program computes 1 (softmax) and 2 (sigmoid)", keys.file(),
         keys.Key("expert_gating_func"), gating);
  }
  const auto [groups, chosen] = GroupsOf(experts);
  const int64_t n_group = keys.Int("expert_group_count", groups);
  const bool bias = keys.AnyTensor(".exp_probs_b.bias");
  config["model_type"] = gating == kSigmoid ? "deepseek_v3" : "deepseek_v2";
  config["scoring_func"] = gating == kSigmoid ? "sigmoid" : "softmax";
  config["topk_method"] = bias ? "noaux_tc" : n_group > 1 ? "group_limited_greedy" : "greedy";
  config["n_group"] = n_group;
  config["topk_group"] = keys.Int("expert_group_used_count", chosen);
  config["norm_topk_prob"] = keys.Bool("expert_weights_norm", false);
  config["routed_scaling_factor"] = keys.Number("expert_weights_scale", 1);
}

}  // namespace

ModelConfig ReadGgufConfig(const GgufFiles& files) {
  const Keys keys(files);
  const GgufTensor* embedding = keys.Tensor(kEmbedding);
  if (!embedding) {
    Fail("{}: tensor '{}' is missing; fetch the model again", keys.file(), kEmbedding);
  }
  json config;
  config["model_type"] = keys.architecture().model_type;
  config["vocab_size"] = embedding->rows();  // may be more than there are tokens
  config["hidden_size"] = keys.Int("embedding_length");
  config["num_hidden_layers"] = keys.Int("block_count");
  config["num_attention_heads"] = keys.Int("attention.head_count");
  config["max_position_embeddings"] = keys.Int("context_length");
  config["rms_norm_eps"] = keys.Number("attention.layer_norm_rms_epsilon");
  config["tie_word_embeddings"] = keys.Tensor("output.weight") == nullptr;
  config["num_nextn_predict_layers"] = 0;  // converters leave the modules out
  config["bos_token_id"] = config["eos_token_id"] = nullptr;
  const bool latent = keys.architecture().name == "deepseek2";
  const bool experts = keys.Int("expert_count", 0) > 0;
  if (latent) {
    ReadLatentAttention(keys, config);
    ReadDeepSeekExperts(keys, config);
  } else {
    ReadGroupedAttention(keys, config);
  }
  if (keys.architecture().name == "qwen3moe") {
    config["num_experts"] = keys.Int("expert_count");
    config["num_experts_per_tok"] = keys.Int("expert_used_count");
    config["moe_intermediate_size"] = keys.Int("expert_feed_forward_length");
    config["norm_topk_prob"] = true;  // has no key
  } else if (experts && !latent) {
    Fail(
        "{}: a model of '{}' with {} experts is not supported; supported with experts: qwen3moe, "
        "deepseek2",
        keys.file(), keys.architecture().name, keys.Int("expert_count"));
  }
  // A model of experts alone may have no dense width.
  config["intermediate_size"] = experts && !keys.Has("feed_forward_length")
                                    ? keys.Int("expert_feed_forward_length")
                                    : keys.Int("feed_forward_length");
  const double theta = keys.Number("rope.freq_base", 10000);
  config["rope_theta"] = theta;
  const int64_t rotary = (latent ? config["qk_rope_head_dim"] : config["head_dim"]).get<int64_t>();
  config["rope_scaling"] = RopeScalingOf(keys, rotary, theta);
  return ParseConfigJson(config.dump(), keys.file());
}

}  // namespace darkhorse
