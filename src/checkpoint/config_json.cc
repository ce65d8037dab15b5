#include "checkpoint/config_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/json.h"
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

// Of each of the model types, in the order of kModelTypes: what transformers calls its class, and
// what it takes for a field that is absent (or null, but for those of kNulls). A field of
// ModelConfig that does not stand here must be there.
constexpr const char* kArchitectures[std::size(kModelTypes)] = {"DeepseekV3ForCausalLM",
                                                                "DeepseekV2ForCausalLM"};
struct Default {
  const char* field;
  json of[std::size(kModelTypes)];
};
const std::vector<Default>& Defaults() {
  static const std::vector<Default> defaults = {
      {"q_lora_rank", {0, 0}},
      {"n_shared_experts", {1, 2}},
      {"n_group", {8, 1}},
      {"topk_group", {4, 1}},
      {"scoring_func", {"sigmoid", "softmax"}},
      {"topk_method", {"noaux_tc", "greedy"}},
      {"norm_topk_prob", {true, false}},
      {"routed_scaling_factor", {2.5, 1.0}},
      {"num_nextn_predict_layers", {0, 0}},
      {"max_position_embeddings", {4096, 2048}},
      {"rope_theta", {10000.0, 10000.0}},
      {"rms_norm_eps", {1e-6, 1e-6}},
      {"initializer_range", {0.02, 0.02}},
      {"tie_word_embeddings", {false, false}},
      {"bos_token_id", {0, 1}},
      {"eos_token_id", {1, 2}},
  };
  return defaults;
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

// Index of the model type in kModelTypes; its size if it is none of them.
size_t ModelTypeIndex(std::string_view model_type) {
  return static_cast<size_t>(std::find(std::begin(kModelTypes), std::end(kModelTypes), model_type) -
                             std::begin(kModelTypes));
}

// One id or a list of them.
std::vector<int64_t> ReadTokenIds(const Reader& read, const std::string& key) {
  const json& value = *read.Find(key);
  if (!value.is_array()) return {IntOf(value, key, read.name(), 0, INT32_MAX)};
  if (value.empty()) Fail("{}: '{}' is an empty list", read.name(), key);
  std::vector<int64_t> ids;
  for (const json& id : value) ids.push_back(IntOf(id, key, read.name(), 0, INT32_MAX));
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

void ReadField(const Reader& read, size_t model_type, const Field& field) {
  const Null* null = FindNull(field.path);
  if (null && read.Has(field.path) && !read.Find(field.path)) {
    *std::get<int64_t*>(field.value) = null->value;
  } else if (read.Find(field.path) && field.path.ends_with("_token_id")) {
    *std::get<int64_t*>(field.value) = ReadTokenIds(read, field.path).front();
  } else if (!read.ReadIfThere(field)) {
    for (const Default& standard : Defaults()) {
      if (standard.field != field.path) continue;
      CHECK(AssignJson(field, standard.of[model_type]));
      return;
    }
    read.Read(field);  // says that it is missing, or must not be null
  }
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
  if (type != "yarn") {
    Fail("{}: rope type '{}' is not supported; only yarn is (or null)", read.name(),
         Printable(type));
  }
  if (!read.Find("factor")) Fail("{}: 'factor' is missing; yarn needs it", read.name());
  read.Require("attention_factor", nullptr);
  read.Require("truncate", true);
  RopeScaling scaling;
  scaling.original_max_position_embeddings = max_position_embeddings;
  const FieldList fields = FieldsOf(scaling);
  for (const Field& field : fields.fields()) {
    if (field.path != "type") read.ReadIfThere(field);
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
  config.model_type.clear();
  if (read.Find("model_type")) read.Read("model_type", config.model_type);
  const size_t model_type = ModelTypeIndex(config.model_type);
  if (model_type == std::size(kModelTypes)) {
    Fail("{}: model_type is '{}'; this program reads {}", name, Printable(config.model_type),
         fmt::join(kModelTypes, " and "));
  }
  const FieldList fields = FieldsOf(config);
  for (const Field& field : fields.fields()) {
    const bool of_section = field.path.find('.') != std::string::npos;
    const bool of_this_file = field.path != "model_type" && field.path != "stop_token_ids";
    if (!of_section && of_this_file) ReadField(read, model_type, field);
  }
  if (read.Find("eos_token_id")) SetStopTokens(ReadTokenIds(read, "eos_token_id"), &config);
  ReadRope(read, config);
  try {
    config.Validate();
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
  RefuseOtherMathematics(read, config);
  return config;
}

std::string WriteConfigJson(const ModelConfig& config, std::string_view torch_dtype) {
  using nlohmann::ordered_json;
  ModelConfig copy = config;
  ordered_json fields = FieldsToJson(FieldsOf(copy));
  for (const Null& null : kNulls) {
    if (fields[null.field] <= null.value) fields[null.field] = nullptr;
  }
  if (config.rope_scaling.type.empty()) fields["rope_scaling"] = nullptr;
  // A list is read back with its first as eos_token_id; any other is generation_config.json's.
  const std::vector<int64_t>& stops = config.stop_token_ids;
  if (!stops.empty() && stops.front() == config.eos_token_id)
    fields["eos_token_id"] = SpellTokens(stops);
  fields.erase("stop_token_ids");

  const size_t model_type = ModelTypeIndex(config.model_type);
  CHECK(model_type < std::size(kArchitectures));
  ordered_json out;
  out["architectures"] = {kArchitectures[model_type]};
  for (const auto& [name, value] : fields.items()) {
    if (!out.contains(name)) out[name] = value;
    // What transformers knows besides the fields, where its own files have it.
    if (name == "model_type") out["torch_dtype"] = torch_dtype;
    if (name == "num_attention_heads") out["num_key_value_heads"] = value;
    if (name == "first_k_dense_replace") out["moe_layer_freq"] = 1;
    if (name == "rope_theta") out["rope_scaling"] = fields["rope_scaling"];
    if (name == "tie_word_embeddings") {
      out["hidden_act"] = "silu";
      out["attention_bias"] = false;
      out["attention_dropout"] = 0.0;
    }
  }
  out["use_cache"] = true;
  return out.dump(2) + "\n";
}

void ReadGenerationConfigJson(std::string_view text, const std::string& name, ModelConfig* config) {
  const json object = ParseJsonObject(text, name);
  const Reader read(object, name);
  if (read.Find("eos_token_id")) SetStopTokens(ReadTokenIds(read, "eos_token_id"), config);
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
