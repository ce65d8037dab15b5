#include "checkpoint/config_json.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/block_scales.h"
#include "model/config_fields.h"

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

  // The member, which must be of the value's type; an integer must not be negative.
  void Read(const std::string& key, int64_t& value) const {
    value = JsonInt(object_, key, name_, 0, INT64_MAX);
  }
  void Read(const std::string& key, double& value) const {
    const json& member = object_.at(key);
    if (!member.is_number() || !std::isfinite(member.get<double>())) {
      Fail("{}: '{}' must be a number", name_, key);
    }
    value = member.get<double>();
  }
  void Read(const std::string& key, bool& value) const {
    const json& member = object_.at(key);
    if (!member.is_boolean()) Fail("{}: '{}' must be true or false", name_, key);
    value = member.get<bool>();
  }
  void Read(const std::string& key, std::string& value) const {
    value = JsonString(object_, key, name_);
  }
  void Read(const Field& field) const {
    const auto read = [&](auto* value) {
      if constexpr (requires { Read(field.path, *value); }) {
        Read(field.path, *value);
      } else {
        CHECK(!"a type that no field of a model's configuration has");
      }
    };
    std::visit(read, field.value);
  }
  // The same, and false, if the member is absent or null: then nothing is read.
  bool ReadIfThere(const Field& field) const {
    if (!Find(field.path)) return false;
    Read(field);
    return true;
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

// How a model type's config.json tells a field of ModelConfig, where it is not simply a member of
// that name which must be there.
struct FieldRule {
  const char* field;
  // What transformers takes where the member is absent (or null, but for those of kNulls), from the
  // fields that are listed before this one.
  std::function<json(const ModelConfig&)> absent;
  bool fixed = false;          // the type knows no such member: what `absent` gives is all there is
  const char* name = nullptr;  // of the member, where it is another
};
// A member of the file that is no field: written so, and refused where it says another.
struct Constant {
  const char* after;  // the field that it is written behind
  const char* name;
  json value;
};
struct ModelTypeRules {
  const char* model_type;
  const char* architecture;  // transformers' class
  std::vector<FieldRule> fields;
  std::vector<Constant> constants;
};

FieldRule Default(const char* field, json value, const char* name = nullptr) {
  return {field, [value](const ModelConfig&) { return value; }, false, name};
}
FieldRule Fixed(const char* field, json value) {
  return {field, [value](const ModelConfig&) { return value; }, true};
}

using Rules = std::vector<FieldRule>;
Rules Join(std::initializer_list<Rules> parts) {
  Rules all;
  for (const Rules& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Rules AllTypes() {
  return {Default("num_nextn_predict_layers", 0), Default("rope_theta", 10000.0),
          Default("rms_norm_eps", 1e-6), Default("initializer_range", 0.02),
          Default("tie_word_embeddings", false)};
}
Rules LatentTypes() {
  return Join({AllTypes(),
               {Default("q_lora_rank", 0), Fixed("num_key_value_heads", 0), Fixed("head_dim", 0),
                Fixed("attention_bias", false), Fixed("attention_output_bias", false),
                Fixed("qk_norm", false)}});
}
Rules GroupedTypes() {
  Rules rules = AllTypes();
  for (const char* field : {"q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
                            "v_head_dim", "n_shared_experts", "num_nextn_predict_layers"}) {
    std::erase_if(rules, [&](const FieldRule& rule) { return rule.field == std::string(field); });
    rules.push_back(Fixed(field, 0));
  }
  return Join({std::move(rules),
               {{"num_key_value_heads",
                 [](const ModelConfig& config) { return config.num_attention_heads; }},
                {"head_dim",
                 [](const ModelConfig& config) {
                   return config.hidden_size / std::max<int64_t>(1, config.num_attention_heads);
                 }},
                Fixed("rope_interleave", false),
                Fixed("n_group", 1),
                Fixed("topk_group", 1),
                Fixed("scoring_func", "softmax"),
                Fixed("topk_method", "greedy"),
                Fixed("routed_scaling_factor", 1.0)}});
}
Rules DenseTypes() {
  return Join({GroupedTypes(),
               {{"first_k_dense_replace",
                 [](const ModelConfig& config) { return config.num_hidden_layers; }, true},
                Fixed("moe_intermediate_size", 0),
                Fixed("n_routed_experts", 0),
                Fixed("num_experts_per_tok", 0),
                Fixed("norm_topk_prob", false)}});
}
// One member for all four biases.
Rules BiasesTogether() {
  return {Default("attention_bias", false),
          {"attention_output_bias", [](const ModelConfig& config) { return config.attention_bias; },
           true}};
}

// In the order of kModelTypes.
const std::vector<ModelTypeRules>& ModelTypes() {
  static const std::vector<Constant> latent = {{"first_k_dense_replace", "moe_layer_freq", 1},
                                               {"tie_word_embeddings", "attention_bias", false}};
  static const std::vector<Constant> qwen = {{"tie_word_embeddings", "use_sliding_window", false}};
  static const std::vector<ModelTypeRules> types = {
      {"deepseek_v3", "DeepseekV3ForCausalLM",
       Join({LatentTypes(),
             {Default("rope_interleave", true), Default("n_shared_experts", 1),
              Default("n_group", 8), Default("topk_group", 4), Default("scoring_func", "sigmoid"),
              Default("topk_method", "noaux_tc"), Default("norm_topk_prob", true),
              Default("routed_scaling_factor", 2.5), Default("max_position_embeddings", 4096),
              Default("bos_token_id", 0), Default("eos_token_id", 1)}}),
       latent},
      {"deepseek_v2", "DeepseekV2ForCausalLM",
       Join({LatentTypes(),
             {Fixed("rope_interleave", true), Default("n_shared_experts", 2), Default("n_group", 1),
              Default("topk_group", 1), Default("scoring_func", "softmax"),
              Default("topk_method", "greedy"), Default("norm_topk_prob", false),
              Default("routed_scaling_factor", 1.0), Default("max_position_embeddings", 2048),
              Default("bos_token_id", 1), Default("eos_token_id", 2)}}),
       latent},
      {"llama",
       "LlamaForCausalLM",
       Join({DenseTypes(),
             BiasesTogether(),
             {Fixed("qk_norm", false), Default("max_position_embeddings", 2048),
              Default("bos_token_id", 1), Default("eos_token_id", 2)}}),
       {{"tie_word_embeddings", "mlp_bias", false}}},
      {"qwen2", "Qwen2ForCausalLM",
       Join({DenseTypes(),
             {Fixed("attention_bias", true), Fixed("attention_output_bias", false),
              Fixed("qk_norm", false), Default("max_position_embeddings", 32768),
              Default("bos_token_id", -1), Default("eos_token_id", -1)}}),
       qwen},
      {"qwen3", "Qwen3ForCausalLM",
       Join({DenseTypes(),
             BiasesTogether(),
             {Fixed("qk_norm", true), Default("max_position_embeddings", 32768),
              Default("bos_token_id", -1), Default("eos_token_id", -1)}}),
       qwen},
      {"qwen3_moe",
       "Qwen3MoeForCausalLM",
       Join({GroupedTypes(),
             BiasesTogether(),
             {Fixed("qk_norm", true), Default("max_position_embeddings", 32768),
              Fixed("first_k_dense_replace", 0), Default("n_routed_experts", 128, "num_experts"),
              Default("num_experts_per_tok", 8), Default("moe_intermediate_size", 768),
              Default("norm_topk_prob", false), Default("bos_token_id", -1),
              Default("eos_token_id", -1)}}),
       {{"tie_word_embeddings", "use_sliding_window", false},
        {"tie_word_embeddings", "decoder_sparse_step", 1},
        {"tie_word_embeddings", "mlp_only_layers", json::array()}}},
  };
  return types;
}

// nullptr: a field that is a member of its own name.
const FieldRule* FindRule(const ModelTypeRules& type, std::string_view field) {
  for (const FieldRule& rule : type.fields) {
    if (rule.field == field) return &rule;
  }
  return nullptr;
}

const ModelTypeRules* FindModelType(std::string_view model_type) {
  for (const ModelTypeRules& type : ModelTypes()) {
    if (type.model_type == model_type) return &type;
  }
  return nullptr;
}

// Fields of which null says that there is no such thing, and the value that says so here.
struct Null {
  const char* field;
  int64_t value;
};
constexpr Null kNulls[] = {{"q_lora_rank", 0}, {"bos_token_id", -1}, {"eos_token_id", -1}};

const Null* FindNull(std::string_view field) {
  const auto* found = std::find_if(std::begin(kNulls), std::end(kNulls),
                                   [&](const Null& n) { return n.field == field; });
  return found == std::end(kNulls) ? nullptr : found;
}

// One id or a list of them, each of a vocabulary of that size.
std::vector<int64_t> ReadTokenIds(const Reader& read, const std::string& key, int64_t vocab_size) {
  const json& value = *read.Find(key);
  std::vector<int64_t> ids;
  const auto add = [&](const json& id) {
    ids.push_back(IntOf(id, key, read.name(), 0, INT32_MAX));
    if (ids.back() < vocab_size) return;
    Fail(
        "{}: '{}' is {}, but vocab_size is {}, so that ids end at {}; write the id that the token "
        "has in tokenizer.json",
        read.name(), key, ids.back(), vocab_size, vocab_size - 1);
  };
  if (!value.is_array()) {
    add(value);
  } else {
    if (value.empty()) Fail("{}: '{}' is an empty list", read.name(), key);
    for (const json& id : value) add(id);
  }
  return ids;
}

void SetStopTokens(std::vector<int64_t> ids, ModelConfig* config) {
  const bool only_eos = ids == std::vector<int64_t>{config->eos_token_id};
  config->stop_token_ids = only_eos ? std::vector<int64_t>() : std::move(ids);
}

// How the files spell them: one id as itself.
nlohmann::ordered_json SpellTokens(const std::vector<int64_t>& ids) {
  if (ids.size() == 1) return ids.front();
  return ids;
}

void ReadField(const Reader& read, const ModelTypeRules& type, const ModelConfig& config,
               Field field) {
  const FieldRule* rule = FindRule(type, field.path);
  if (rule && rule->fixed) {
    CHECK(AssignJson(field, rule->absent(config)));
    return;
  }
  if (rule && rule->name) field.path = rule->name;
  const Null* null = FindNull(field.path);
  if (null && read.Has(field.path) && !read.Find(field.path)) {
    *std::get<int64_t*>(field.value) = null->value;
  } else if (read.Find(field.path) && field.path.ends_with("_token_id")) {
    *std::get<int64_t*>(field.value) = ReadTokenIds(read, field.path, config.vocab_size).front();
  } else if (rule && !read.Find(field.path)) {
    CHECK(AssignJson(field, rule->absent(config)));
  } else {
    read.Read(field);  // says that it is missing, or must not be null
  }
}

// The fields of RopeScaling that a type of it has; none: there is no such type.
std::vector<std::string_view> RopeMembers(std::string_view type) {
  if (type == "linear") return {"factor"};
  if (type == "llama3") {
    return {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"};
  }
  if (type != "yarn") return {};
  return {"factor",          "original_max_position_embeddings",
          "beta_fast",       "beta_slow",
          "mscale",          "mscale_all_dim",
          "attention_factor"};
}

// transformers 5 writes rope_parameters, with rope_theta inside and rope_type "default" for none;
// before it, rope_scaling was null or had `type`, later `rope_type`.
RopeScaling ReadRopeScaling(const Reader& read, int64_t max_position_embeddings) {
  std::string type = "default";
  for (const char* key : {"rope_type", "type"}) {
    if (!read.Find(key)) continue;
    read.Read(key, type);
    break;
  }
  if (type == "default") return {};
  const auto members = RopeMembers(type);
  if (members.empty()) {
    Fail("{}: rope type '{}' is not supported; yarn, llama3 and linear are (or null)", read.name(),
         Printable(type));
  }
  if (!read.Find("factor")) Fail("{}: 'factor' is missing; {} needs it", read.name(), type);
  read.Require("truncate", true);
  RopeScaling scaling;
  scaling.original_max_position_embeddings = max_position_embeddings;
  const FieldList fields = FieldsOf(scaling);
  for (const Field& field : fields.fields()) {
    if (std::ranges::find(members, field.path) != members.end()) read.ReadIfThere(field);
  }
  scaling.type = type;
  return scaling;
}

void ReadRope(const Reader& read, ModelConfig& config) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* value = read.Find(key);
    if (!value) continue;
    const std::string where = read.name() + ": " + key;
    if (!value->is_object()) Fail("{}: must be an object or null", where);
    const Reader inner(*value, where);
    if (inner.Find("rope_theta")) inner.Read("rope_theta", config.rope_theta);
    config.rope_scaling = ReadRopeScaling(inner, config.max_position_embeddings);
    return;
  }
}

// DeepSeek's eight-bit weights are read (checkpoint/block_scales.h); what is said of activations is
// how other programs compute with them.
void RefuseOtherQuantization(const Reader& read) {
  const json* value = read.Find("quantization_config");
  if (!value) return;
  const json block = {kScaleBlock, kScaleBlock};
  const bool known = value->is_object() && value->value("quant_method", json()) == "fp8" &&
                     value->value("fmt", json("e4m3")) == "e4m3" &&
                     value->value("weight_block_size", json()) == block;
  if (known) return;
  Fail(
      "{}: 'quantization_config' is present; of quantized weights only fp8 (e4m3) with "
      "weight_block_size {} is supported; convert the checkpoint to bf16 and remove the field",
      read.name(), block.dump());
}

void RefuseOtherMathematics(const Reader& read, const ModelTypeRules& type,
                            const ModelConfig& config) {
  RefuseOtherQuantization(read);
  read.Require("hidden_act", "silu");
  read.Require("attention_dropout", 0.0);
  read.Require("partial_rotary_factor", 1.0);
  for (const Constant& constant : type.constants) read.Require(constant.name, constant.value);
  if (const json* layers = read.Find("layer_types")) {
    for (const json& layer : *layers) {
      if (layer != "full_attention") {
        Fail("{}: 'layer_types' has {}; this program computes only full_attention", read.name(),
             Printable(layer.dump(-1, ' ', false, json::error_handler_t::replace)));
      }
    }
  }
  read.Require("mlp_bias", false);
  if (!config.latent_attention()) return;
  read.Require("num_key_value_heads", config.num_attention_heads);
  if (read.Find("qk_head_dim")) read.Require("qk_head_dim", config.key_dim());
}

// What the config has beyond what its model type can tell; "" if there is nothing.
std::string Inexpressible(const ModelTypeRules& type, const ModelConfig& config) {
  ModelConfig copy = config;
  const FieldList fields = FieldsOf(copy);
  for (const Field& field : fields.fields()) {
    const FieldRule* rule = FindRule(type, field.path);
    if (!rule || !rule->fixed) continue;
    ModelConfig expected = config;
    const FieldList expected_fields = FieldsOf(expected);
    CHECK(AssignJson(*expected_fields.Find(field.path), rule->absent(config)));
    if (expected != config) {
      return fmt::format("{} = {} but a model of type {} has {}", field.path,
                         FieldsToJson(fields)[field.path].dump(), type.model_type,
                         rule->absent(config).dump());
    }
  }
  return "";
}

}  // namespace

ModelConfig ParseConfigJson(std::string_view text, const std::string& name) {
  const json object = ParseJsonObject(text, name);
  const Reader read(object, name);
  ModelConfig config;
  config.model_type.clear();
  if (read.Find("model_type")) read.Read("model_type", config.model_type);
  const ModelTypeRules* type = FindModelType(config.model_type);
  if (!type) {
    Fail("{}: model_type is '{}'; this program reads {}", name, Printable(config.model_type),
         fmt::join(kModelTypes, ", "));
  }
  const FieldList fields = FieldsOf(config);
  for (const Field& field : fields.fields()) {
    const bool of_section = field.path.find('.') != std::string::npos;
    const bool of_this_file = field.path != "model_type" && field.path != "stop_token_ids";
    if (!of_section && of_this_file) ReadField(read, *type, config, field);
  }
  if (read.Find("eos_token_id"))
    SetStopTokens(ReadTokenIds(read, "eos_token_id", config.vocab_size), &config);
  ReadRope(read, config);
  try {
    config.Validate();
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
  RefuseOtherMathematics(read, *type, config);
  return config;
}

void RequireWritable(const ModelConfig& config) {
  const ModelTypeRules* type = FindModelType(config.model_type);
  CHECK(type);
  if (const std::string what = Inexpressible(*type, config); !what.empty())
    Fail("{}; choose a model_type that can tell it: {}", what, fmt::join(kModelTypes, ", "));
}

std::string WriteConfigJson(const ModelConfig& config, std::string_view torch_dtype) {
  using nlohmann::ordered_json;
  ModelConfig copy = config;
  ordered_json fields = FieldsToJson(FieldsOf(copy));
  for (const Null& null : kNulls) {
    if (fields[null.field] <= null.value) fields[null.field] = nullptr;
  }
  if (const std::string& scaling = config.rope_scaling.type; scaling.empty()) {
    fields["rope_scaling"] = nullptr;
  } else {
    ordered_json members = {{"type", scaling}};
    for (const std::string_view member : RopeMembers(scaling))
      members[std::string(member)] = fields["rope_scaling"][std::string(member)];
    if (members.contains("attention_factor") && config.rope_scaling.attention_factor == 0)
      members.erase("attention_factor");
    fields["rope_scaling"] = std::move(members);
  }
  // A list is read back with its first as eos_token_id; any other is generation_config.json's.
  const std::vector<int64_t>& stops = config.stop_token_ids;
  if (!stops.empty() && stops.front() == config.eos_token_id)
    fields["eos_token_id"] = SpellTokens(stops);
  fields.erase("stop_token_ids");

  RequireWritable(config);
  const ModelTypeRules& type = *FindModelType(config.model_type);
  ordered_json out;
  out["architectures"] = {type.architecture};
  for (const auto& [name, value] : fields.items()) {
    const FieldRule* rule = FindRule(type, name);
    const bool fixed = rule && rule->fixed;
    if (!fixed && !out.contains(name)) out[rule && rule->name ? rule->name : name] = value;
    // What transformers knows besides the fields, where its own files have it.
    if (name == "model_type") out["torch_dtype"] = torch_dtype;
    if (name == "num_attention_heads" && config.latent_attention())
      out["num_key_value_heads"] = value;
    if (name == "rope_theta") out["rope_scaling"] = fields["rope_scaling"];
    if (name == "tie_word_embeddings") out["hidden_act"] = "silu";
    for (const Constant& constant : type.constants) {
      if (name == constant.after) out[constant.name] = constant.value;
    }
    if (name == "tie_word_embeddings") out["attention_dropout"] = 0.0;
  }
  out["use_cache"] = true;
  return out.dump(2) + "\n";
}

void ReadGenerationConfigJson(std::string_view text, const std::string& name, ModelConfig* config) {
  const json object = ParseJsonObject(text, name);
  const Reader read(object, name);
  if (read.Find("eos_token_id"))
    SetStopTokens(ReadTokenIds(read, "eos_token_id", config->vocab_size), config);
}

std::string WriteGenerationConfigJson(const ModelConfig& config) {
  nlohmann::ordered_json out;
  out["bos_token_id"] = nullptr;  // there is none
  if (config.bos_token_id >= 0) out["bos_token_id"] = config.bos_token_id;
  const std::vector<int32_t> stops = StopTokens(config);
  out["eos_token_id"] = nullptr;
  if (!stops.empty()) out["eos_token_id"] = SpellTokens({stops.begin(), stops.end()});
  out["do_sample"] = true;
  out["temperature"] = 1.0;
  out["top_p"] = 1.0;
  return out.dump(2) + "\n";
}

}  // namespace darkhorse
