#include "checkpoint/adapter_folder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checksums.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kMaxJsonBytes = int64_t{1} << 24;
constexpr const char* kAdapterTensors = "/adapter_model.safetensors";
// Under which name the tensors' file keeps the fingerprint of the base that they were trained on.
constexpr const char* kBaseFingerprint = "base_xxh64";

// Of adapter_config.json, what changes the numbers and is not read here.
void RefuseOtherKinds(const json& config, const std::string& name) {
  const auto refuse = [&](const char* key, const std::string& what) {
    Fail(
        "{}: {} is {}, which is not read here; merge that adapter into its base with the program "
        "that made it",
        name, key, what);
  };
  if (const std::string type = JsonString(config, "peft_type", name); type != "LORA")
    refuse("peft_type", "'" + Printable(type) + "'");
  for (const char* key : {"fan_in_fan_out", "lora_bias"}) {
    if (config.contains(key) && config[key] == true) refuse(key, "true");
  }
  if (config.contains("bias") && config["bias"] != "none") refuse("bias", config["bias"].dump());
  for (const char* key :
       {"modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices"}) {
    if (config.contains(key) && !config[key].is_null() && !config[key].empty())
      refuse(key, Printable(config[key].dump()));
  }
}

double NumberOf(const json& config, const char* key, const std::string& name) {
  if (!config.contains(key) || !config[key].is_number() || !(config[key].get<double>() > 0))
    Fail("{}: {} is missing or no number above 0; fetch the adapter again", name, key);
  return config[key].get<double>();
}

AdapterFiles ReadAdapterConfig(const std::string& directory) {
  const std::string name = directory + kAdapterConfig;
  const json config = ParseJsonObject(ReadFile(name, kMaxJsonBytes), name);
  RefuseOtherKinds(config, name);
  AdapterFiles files;
  files.base = JsonString(config, "base_model_name_or_path", name);
  files.rank = JsonInt(config, "r", name, 1, int64_t{1} << 20);
  files.alpha = NumberOf(config, "lora_alpha", name);
  const auto is = [&](const char* key) { return config.contains(key) && config[key] == true; };
  files.root_scale = is("use_rslora");
  files.dora = is("use_dora");
  return files;
}

// Where the base lies: the path as it is, or beside the adapter.
std::string FindBase(const std::string& directory, const std::string& base) {
  const std::string beside = (fs::path(directory) / base).lexically_normal().string();
  for (const std::string& path : {base, beside}) {
    if (!path.empty() && IsModelPath(path)) return path;
  }
  Fail("{}{}: its base model '{}' is not there; put its path into base_model_name_or_path",
       directory, kAdapterConfig, Printable(base));
}

void RequireBase(const SafetensorsFile& tensors, const std::string& base) {
  const auto found = tensors.metadata().find(kBaseFingerprint);
  if (found == tensors.metadata().end()) return;  // another program's
  if (const std::string have = HexU64(CheckpointFingerprint(base)); found->second != have)
    Fail(
        "{}: was trained on another model than {} (whose checksum is {}, its base's {}); put its "
        "own base's path into base_model_name_or_path",
        tensors.path(), base, have, Printable(found->second));
}

// The pairs that the file holds, in the order of the model's weights, with their magnitudes.
ParamLayout LayoutOf(const SafetensorsFile& tensors, const ModelConfig& config, bool dora) {
  std::vector<ParamSpec> pairs;
  std::unordered_set<std::string> known;
  const ParamLayout whole(config);
  for (const ParamInfo& weight : whole.params()) {
    if (weight.kind != ParamKind::kMatrix || weight.layer < 0 ||
        weight.layer >= config.num_hidden_layers)
      continue;
    const TensorView* a = tensors.Find(LoraName(weight.name, 'A'));
    const TensorView* b = tensors.Find(LoraName(weight.name, 'B'));
    if (!a && !b) continue;
    const TensorView* magnitude = dora ? tensors.Find(MagnitudeName(weight.name)) : nullptr;
    if (!a || !b || (dora && !magnitude))
      Fail("{}: of the pair of {} lora_{} is missing; fetch the adapter again", tensors.path(),
           weight.name,
           !a   ? "A"
           : !b ? "B"
                : "magnitude_vector");
    const int64_t rank = a->shape.empty() ? 0 : a->shape[0];
    for (const auto& [tensor, shape] : {std::pair(a, std::vector{rank, weight.shape[1]}),
                                        std::pair(b, std::vector{weight.shape[0], rank}),
                                        std::pair(magnitude, std::vector{weight.shape[0]})}) {
      if (!tensor) continue;
      if (tensor->shape != shape || rank == 0)
        Fail(
            "{}: tensor '{}' has shape {} where the base model asks for {}; it is an adapter of "
            "another model",
            tensors.path(), tensor->name, ShapeText(tensor->shape), ShapeText(shape));
      ParamSpec spec = weight;
      spec.name = tensor->name;
      spec.shape = shape;
      spec.kind = tensor == magnitude ? ParamKind::kNorm : ParamKind::kAdapter;
      pairs.push_back(spec);
      known.insert(tensor->name);
    }
  }
  for (const TensorView& tensor : tensors.tensors()) {
    if (known.contains(tensor.name)) continue;
    Fail(
        "{}: tensor '{}' is of no linear layer of the base model; it is an adapter of another "
        "model, or of a kind that is not read",
        tensors.path(), Printable(tensor.name));
  }
  if (pairs.empty()) Fail("{}: holds no tensor; fetch the adapter again", tensors.path());
  return ParamLayout(pairs);
}

void RequireAdapterFolder(const std::string& directory) {
  if (IsAdapterFolder(directory)) return;
  Fail("{}: is no adapter's folder, which holds {} and {}", directory, kAdapterConfig + 1,
       kAdapterTensors + 1);
}

}  // namespace

double AdapterFiles::scale() const {
  const double r = static_cast<double>(rank);
  return alpha / (root_scale ? std::sqrt(r) : r);
}

bool IsAdapterFolder(const std::string& directory) {
  return FileExists(directory + kAdapterConfig) && FileExists(directory + kAdapterTensors);
}

std::vector<std::string> TargetModules(const ParamLayout& layout) {
  std::vector<std::string> modules;
  for (const ParamInfo& param : layout.params()) {
    std::string module = param.name.substr(0, param.name.rfind(".lora_"));
    module = module.substr(module.rfind('.') + 1);
    if (std::ranges::find(modules, module) == modules.end()) modules.push_back(module);
  }
  return modules;
}

void WriteAdapter(const std::string& directory, const AdapterFiles& adapter,
                  const ParamLayout& layout, const float* values) {
  ordered_json config;
  config["peft_type"] = "LORA";
  config["task_type"] = "CAUSAL_LM";
  config["base_model_name_or_path"] = adapter.base;
  config["r"] = adapter.rank;
  config["lora_alpha"] = adapter.alpha;
  config["use_rslora"] = adapter.root_scale;
  config["use_dora"] = adapter.dora;
  config["lora_dropout"] = 0.0;
  config["bias"] = "none";
  config["fan_in_fan_out"] = false;
  config["inference_mode"] = true;
  config["target_modules"] = TargetModules(layout);
  WriteFileAtomically(directory + kAdapterConfig, config.dump(2) + "\n");
  std::vector<TensorSpec> specs;
  for (const ParamInfo& param : layout.params())
    specs.push_back({param.name, DType::kF32, param.shape});
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (adapter.base_fingerprint) metadata[kBaseFingerprint] = HexU64(*adapter.base_fingerprint);
  SafetensorsWriter writer(directory + kAdapterTensors, std::move(specs), metadata);
  for (const ParamInfo& param : layout.params())
    writer.Append({values + param.offset, static_cast<size_t>(param.size)});
  writer.Commit();
}

ParamLayout ReadAdapterLayout(const std::string& directory, const ModelSource& base) {
  RequireAdapterFolder(directory);
  const SafetensorsFile tensors(directory + kAdapterTensors);
  return LayoutOf(tensors, base.config(), ReadAdapterConfig(directory).dora);
}

AdapterPairs ReadAdapter(const std::string& directory, const ModelSource& base) {
  RequireAdapterFolder(directory);
  VerifyChecksums(directory, Verify::kModel);
  AdapterFiles files = ReadAdapterConfig(directory);
  const SafetensorsFile tensors(directory + kAdapterTensors);
  RequireBase(tensors, base.path());
  files.base = base.path();
  ParamLayout layout = LayoutOf(tensors, base.config(), files.dora);
  AdapterPairs pairs{std::move(files), std::move(layout), {}};
  pairs.values.resize(static_cast<size_t>(pairs.layout.buffer_size()));
  for (const ParamInfo& param : pairs.layout.params()) {
    const std::span<float> out(pairs.values.data() + param.offset, static_cast<size_t>(param.size));
    ReadFloats(*tensors.Find(param.name), tensors.path(), out);
    if (!std::ranges::all_of(out, [](float x) { return std::isfinite(x); }))
      Fail("{}: {} holds numbers that are not finite; take an earlier checkpoint or a sound copy",
           tensors.path(), param.name);
  }
  return pairs;
}

ChatFormat AdapterChatFormat(const std::string& directory, const ModelSource& base) {
  ChatFormat format = base.ReadChatFormat();
  if (const std::string own = directory + "/chat_template.jinja"; FileExists(own))
    format.chat_template = ReadFile(own, kMaxJsonBytes);
  return format;
}

std::unique_ptr<AdapterSource> AdapterSource::Open(const std::string& directory) {
  VerifyChecksums(directory, Verify::kModel);
  const std::string path = FindBase(directory, ReadAdapterConfig(directory).base);
  if (IsAdapterFolder(path))
    Fail("{}{}: its base {} is an adapter itself; merge that into its own base first", directory,
         kAdapterConfig, path);
  std::unique_ptr<ModelSource> base = OpenModel(path);
  AdapterPairs pairs = ReadAdapter(directory, *base);
  return std::unique_ptr<AdapterSource>(
      new AdapterSource(directory, std::move(base), std::move(pairs)));
}

void AdapterSource::ReadValues(float* values) const {
  std::copy(pairs_.values.begin(), pairs_.values.end(), values);
}

int64_t AdapterSource::file_bytes() const {
  return base_->file_bytes() + static_cast<int64_t>(pairs_.values.size() * sizeof(float));
}

void AdapterSource::ReadRows(const ParamSpec& param, int64_t begin, int64_t count,
                             float* out) const {
  base_->ReadRows(param, begin, count, out);
  if (param.kind != ParamKind::kMatrix) return;
  const ParamInfo* a = pairs_.layout.Find(LoraName(param.name, 'A'));
  if (!a) return;
  const ParamInfo* b = pairs_.layout.Find(LoraName(param.name, 'B'));
  const std::vector<float>& values = pairs_.values;
  const int64_t rank = a->shape[0], in = param.shape[1];
  const auto scale = static_cast<float>(pairs_.files.scale());
  const ParamInfo* magnitude = pairs_.layout.Find(MagnitudeName(param.name));
  for (int64_t i = 0; i < count; ++i) {
    const float* b_row = values.data() + b->offset + (begin + i) * rank;
    for (int64_t r = 0; r < rank; ++r) {
      const float* a_row = values.data() + a->offset + r * in;
      const float factor = scale * b_row[r];
      for (int64_t k = 0; k < in; ++k) out[i * in + k] += factor * a_row[k];
    }
    if (!magnitude) continue;
    float* row = out + i * in;
    const auto norm = static_cast<float>(std::sqrt(SumSquares(row, in)));
    const float gain =
        norm > 0 ? values[static_cast<size_t>(magnitude->offset + begin + i)] / norm : 0;
    for (int64_t k = 0; k < in; ++k) row[k] *= gain;
  }
}

StoredRows AdapterSource::Rows(const ParamSpec& param) const {
  if (param.kind == ParamKind::kMatrix && pairs_.layout.Find(LoraName(param.name, 'A'))) return {};
  return base_->Rows(param);
}

}  // namespace darkhorse
