#include "checkpoint/config_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "model/params.h"

namespace darkhorse {
namespace {

using nlohmann::json;

class Reader {
 public:
  Reader(const json& object, std::string name) : object_(object), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  // The member, or nullptr where it is absent or null.
  const json* Find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  bool Has(const std::string& key) const { return object_.contains(key); }  // null included
  int64_t Int(const std::string& key) const { return JsonInt(object_, key, name_, 0, INT64_MAX); }
  int64_t Int(const std::string& key, int64_t absent) const {
    return Find(key) ? Int(key) : absent;
  }
  double Number(const std::string& key, double absent) const {
    const json* value = Find(key);
    if (!value) return absent;
    if (!value->is_number() || !std::isfinite(value->get<double>())) {
      Fail("{}: '{}' must be a number", name_, key);
    }
    return value->get<double>();
  }
  bool Bool(const std::string& key, bool absent) const {
    const json* value = Find(key);
    if (value && !value->is_boolean()) Fail("{}: '{}' must be true or false", name_, key);
    return value ? value->get<bool>() : absent;
  }
  std::string String(const std::string& key, const std::string& absent) const {
    return Find(key) ? JsonString(object_, key, name_) : absent;
  }
  // Refuses every value but `only` (absent counts as it).
  void Require(const std::string& key, const json& only) const {
    const json* value = Find(key);
    if (value && *value != only) {
      Fail("{}: '{}' is {}; this program computes only {} = {}", name_, key, Show(*value), key,
           only.dump());
    }
  }

 private:
  static std::string Show(const json& value) {
    return value.is_primitive()
               ? Printable(value.dump(-1, ' ', false, json::error_handler_t::replace))
               : std::string("not a plain value");
  }
  const json& object_;
  std::string name_;
};

// -1: null, there is no such token.
int64_t TokenId(const Reader& read, const std::string& key, int64_t absent) {
  if (!read.Has(key)) return absent;
  const json* value = read.Find(key);
  if (!value) return -1;
  if (!value->is_array()) return IntOf(*value, key, read.name(), 0, INT32_MAX);
  // Several end tokens: the first is the one a document ends with; the others matter to chat only.
  if (value->empty()) Fail("{}: '{}' is an empty list", read.name(), key);
  return IntOf(value->front(), key, read.name(), 0, INT32_MAX);
}

// transformers 5 writes rope_parameters, with rope_theta inside and rope_type "default" for none;
// before it, rope_scaling was null or had `type`, later `rope_type`.
RopeScaling ReadRopeScaling(const Reader& read, int64_t max_position_embeddings) {
  RopeScaling scaling;
  scaling.type = read.String("rope_type", read.String("type", "default"));
  if (scaling.type == "default") return {};
  if (scaling.type != "yarn") {
    Fail("{}: rope type '{}' is not supported; only yarn is (or null)", read.name(),
         Printable(scaling.type));
  }
  if (!read.Find("factor")) Fail("{}: 'factor' is missing; yarn needs it", read.name());
  read.Require("attention_factor", nullptr);
  read.Require("truncate", true);
  scaling.factor = read.Number("factor", 1);
  scaling.original_max_position_embeddings =
      read.Int("original_max_position_embeddings", max_position_embeddings);
  scaling.beta_fast = read.Number("beta_fast", 32);
  scaling.beta_slow = read.Number("beta_slow", 1);
  scaling.mscale = read.Number("mscale", 1);
  scaling.mscale_all_dim = read.Number("mscale_all_dim", 0);
  return scaling;
}

void ReadRope(const Reader& read, ModelConfig& config) {
  config.rope_theta = read.Number("rope_theta", 10000);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* value = read.Find(key);
    if (!value) continue;
    const std::string where = read.name() + ": " + key;
    if (!value->is_object()) Fail("{}: must be an object or null", where);
    const Reader inner(*value, where);
    config.rope_theta = inner.Number("rope_theta", config.rope_theta);
    config.rope_scaling = ReadRopeScaling(inner, config.max_position_embeddings);
    return;
  }
}

void RefuseOtherMathematics(const Reader& read, const ModelConfig& config) {
  if (read.Find("quantization_config")) {
    Fail(
        "{}: 'quantization_config' is present, and quantized weights are not yet supported; "
        "convert the checkpoint to bf16 and remove the field",
        read.name());
  }
  read.Require("hidden_act", "silu");
  read.Require("attention_bias", false);
  read.Require("attention_dropout", 0.0);
  read.Require("mlp_bias", false);
  read.Require("moe_layer_freq", 1);
  read.Require("rope_interleave", true);
  read.Require("num_key_value_heads", config.num_attention_heads);
  if (read.Find("qk_head_dim")) read.Require("qk_head_dim", config.qk_head_dim());
}

}  // namespace

ModelConfig ParseConfigJson(std::string_view text, const std::string& name) {
  const json object = ParseJsonObject(text, name);
  const Reader read(object, name);
  ModelConfig config;
  config.model_type = read.String("model_type", "");
  const bool v3 = config.model_type == "deepseek_v3";
  if (!v3 && config.model_type != "deepseek_v2") {
    Fail("{}: model_type is '{}'; this program reads deepseek_v3 and deepseek_v2", name,
         Printable(config.model_type));
  }
  config.vocab_size = read.Int("vocab_size");
  config.hidden_size = read.Int("hidden_size");
  config.num_hidden_layers = read.Int("num_hidden_layers");
  config.num_attention_heads = read.Int("num_attention_heads");
  config.q_lora_rank = read.Int("q_lora_rank", 0);
  config.kv_lora_rank = read.Int("kv_lora_rank");
  config.qk_nope_head_dim = read.Int("qk_nope_head_dim");
  config.qk_rope_head_dim = read.Int("qk_rope_head_dim");
  config.v_head_dim = read.Int("v_head_dim");
  config.intermediate_size = read.Int("intermediate_size");
  config.moe_intermediate_size = read.Int("moe_intermediate_size");
  config.first_k_dense_replace = read.Int("first_k_dense_replace");
  config.n_routed_experts = read.Int("n_routed_experts");
  config.n_shared_experts = read.Int("n_shared_experts", v3 ? 1 : 2);
  config.num_experts_per_tok = read.Int("num_experts_per_tok");
  config.n_group = read.Int("n_group", v3 ? 8 : 1);
  config.topk_group = read.Int("topk_group", v3 ? 4 : 1);
  config.scoring_func = read.String("scoring_func", v3 ? "sigmoid" : "softmax");
  config.topk_method = read.String("topk_method", v3 ? "noaux_tc" : "greedy");
  config.norm_topk_prob = read.Bool("norm_topk_prob", v3);
  config.routed_scaling_factor = read.Number("routed_scaling_factor", v3 ? 2.5 : 1.0);
  config.num_nextn_predict_layers = read.Int("num_nextn_predict_layers", 0);
  config.max_position_embeddings = read.Int("max_position_embeddings", v3 ? 4096 : 2048);
  config.rms_norm_eps = read.Number("rms_norm_eps", 1e-6);
  config.initializer_range = read.Number("initializer_range", 0.02);
  config.tie_word_embeddings = read.Bool("tie_word_embeddings", false);
  config.bos_token_id = TokenId(read, "bos_token_id", v3 ? 0 : 1);
  config.eos_token_id = TokenId(read, "eos_token_id", v3 ? 1 : 2);
  ReadRope(read, config);
  try {
    CheckDimensions(config);
    config.Validate();
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
  RefuseOtherMathematics(read, config);
  return config;
}

std::string WriteConfigJson(const ModelConfig& config, std::string_view torch_dtype) {
  nlohmann::ordered_json out;
  const bool v3 = config.model_type == "deepseek_v3";
  out["architectures"] = json::array({v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"});
  out["model_type"] = config.model_type;
  out["torch_dtype"] = torch_dtype;
  out["vocab_size"] = config.vocab_size;
  out["hidden_size"] = config.hidden_size;
  out["num_hidden_layers"] = config.num_hidden_layers;
  out["num_attention_heads"] = config.num_attention_heads;
  out["num_key_value_heads"] = config.num_attention_heads;
  out["q_lora_rank"] = nullptr;
  if (config.q_lora_rank > 0) out["q_lora_rank"] = config.q_lora_rank;
  out["kv_lora_rank"] = config.kv_lora_rank;
  out["qk_nope_head_dim"] = config.qk_nope_head_dim;
  out["qk_rope_head_dim"] = config.qk_rope_head_dim;
  out["v_head_dim"] = config.v_head_dim;
  out["intermediate_size"] = config.intermediate_size;
  out["moe_intermediate_size"] = config.moe_intermediate_size;
  out["first_k_dense_replace"] = config.first_k_dense_replace;
  out["moe_layer_freq"] = 1;
  out["n_routed_experts"] = config.n_routed_experts;
  out["n_shared_experts"] = config.n_shared_experts;
  out["num_experts_per_tok"] = config.num_experts_per_tok;
  out["n_group"] = config.n_group;
  out["topk_group"] = config.topk_group;
  out["scoring_func"] = config.scoring_func;
  out["topk_method"] = config.topk_method;
  out["norm_topk_prob"] = config.norm_topk_prob;
  out["routed_scaling_factor"] = config.routed_scaling_factor;
  out["num_nextn_predict_layers"] = config.num_nextn_predict_layers;
  out["max_position_embeddings"] = config.max_position_embeddings;
  out["rope_theta"] = config.rope_theta;
  out["rope_scaling"] = nullptr;
  if (const RopeScaling& rope = config.rope_scaling; !rope.type.empty()) {
    out["rope_scaling"] = {
        {"type", rope.type},
        {"factor", rope.factor},
        {"original_max_position_embeddings", rope.original_max_position_embeddings},
        {"beta_fast", rope.beta_fast},
        {"beta_slow", rope.beta_slow},
        {"mscale", rope.mscale},
        {"mscale_all_dim", rope.mscale_all_dim}};
  }
  out["rms_norm_eps"] = config.rms_norm_eps;
  out["initializer_range"] = config.initializer_range;
  out["tie_word_embeddings"] = config.tie_word_embeddings;
  out["hidden_act"] = "silu";
  out["attention_bias"] = false;
  out["attention_dropout"] = 0.0;
  out["bos_token_id"] = nullptr;  // there is none
  if (config.bos_token_id >= 0) out["bos_token_id"] = config.bos_token_id;
  out["eos_token_id"] = nullptr;
  if (config.eos_token_id >= 0) out["eos_token_id"] = config.eos_token_id;
  out["use_cache"] = true;
  return out.dump(2) + "\n";
}

}  // namespace darkhorse
