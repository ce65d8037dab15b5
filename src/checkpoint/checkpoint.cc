#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/checksum.h"
#include "base/error.h"
#include "base/json.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/block_scales.h"
#include "checkpoint/config_json.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kMaxJsonBytes = int64_t{1} << 28;
constexpr const char* kGenerationConfig = "/generation_config.json";
constexpr const char* kChatTemplate = "/chat_template.jinja";
constexpr const char* kWeights = "/model.safetensors";
constexpr const char* kTrainerFormat = "darkhorse-trainer-1";

std::string StateName(const std::string& directory) { return directory + "/" + kTrainerStateFile; }
std::string OptimizerName(const std::string& directory) { return directory + "/" + kOptimizerFile; }

// The text of an added token in tokenizer.json; "" if there is none with this id.
std::string TokenText(const json& tokenizer, int64_t id) {
  const auto added = tokenizer.find("added_tokens");
  if (added == tokenizer.end() || !added->is_array()) return "";
  for (const json& token : *added) {
    if (token.is_object() && token.contains("id") && token["id"] == id &&
        token.contains("content") && token["content"].is_string()) {
      return token["content"].get<std::string>();
    }
  }
  return "";
}

std::string TokenizerConfigJson(const ModelConfig& config, const ModelFiles& files) {
  const json tokenizer = ParseJsonObject(files.tokenizer_json, "tokenizer.json");
  ordered_json out;
  out["tokenizer_class"] = "PreTrainedTokenizerFast";
  out["model_max_length"] = config.max_position_embeddings;
  out["clean_up_tokenization_spaces"] = false;
  const int32_t start = DocumentStartToken(config);  // none where the mark of ends separates
  const std::string bos = start < 0 ? "" : TokenText(tokenizer, start);
  const std::string eos = TokenText(tokenizer, config.eos_token_id);
  if (!bos.empty()) out["bos_token"] = bos;
  if (!eos.empty()) out["eos_token"] = out["pad_token"] = eos;
  return out.dump(2) + "\n";
}

void WriteWeights(const std::string& directory, const ModelConfig& config,
                  const ParamLayout& layout, const float* weights, const ModelFiles& files) {
  const std::string_view torch_dtype = files.dtype == DType::kBf16 ? "bfloat16" : "float32";
  WriteFileAtomically(directory + "/config.json", WriteConfigJson(config, torch_dtype));
  std::vector<TensorSpec> specs;
  for (const ParamInfo& param : layout.params()) {
    // The router's bias decides which expert is chosen: published checkpoints keep it in f32.
    const bool exact = param.kind == ParamKind::kRouterBias;
    specs.push_back({param.name, exact ? DType::kF32 : files.dtype, param.shape});
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (files.tokenizer_hash) metadata[kTokenizerHash] = HexU64(*files.tokenizer_hash);
  SafetensorsWriter writer(directory + kWeights, std::move(specs), metadata);
  for (const ParamInfo& param : layout.params()) {
    writer.Append({weights + param.offset, static_cast<size_t>(param.size)});
  }
  writer.Commit();
  WriteFileAtomically(directory + kGenerationConfig, WriteGenerationConfigJson(config));
}

void WriteModel(const std::string& directory, const ModelConfig& config, const ParamLayout& layout,
                const float* weights, const ModelFiles& files) {
  if (files.adapter) {
    WriteAdapter(directory, *files.adapter, layout, weights);
  } else {
    WriteWeights(directory, config, layout, weights, files);
  }
  if (!files.chat_template.empty())
    WriteFileAtomically(directory + kChatTemplate, files.chat_template);
  if (files.tokenizer_json.empty()) return;
  WriteFileAtomically(directory + "/tokenizer.json", files.tokenizer_json);
  WriteFileAtomically(directory + "/tokenizer_config.json", TokenizerConfigJson(config, files));
}

void WriteTrainerState(const std::string& directory, const TrainerState& state) {
  ordered_json out;
  out["format"] = kTrainerFormat;
  out["step"] = state.step;
  out["state"] = ordered_json::parse(state.json);
  WriteFileAtomically(StateName(directory), out.dump(1) + "\n");
  std::vector<TensorSpec> specs;
  for (const auto& [name, values] : state.tensors) {
    specs.push_back({name, DType::kF32, {static_cast<int64_t>(values.size())}});
  }
  for (const auto& [name, values] : state.rounded)
    specs.push_back({name, DType::kBf16, {static_cast<int64_t>(values.size())}});
  SafetensorsWriter writer(OptimizerName(directory), std::move(specs), {});
  for (const auto& [name, values] : state.tensors) writer.Append(values);
  std::vector<float> widened;  // what the writer rounds, to what it was
  for (const auto& [name, values] : state.rounded) {
    constexpr size_t kAtOnce = 1 << 16;
    for (size_t i = 0; i < values.size(); i += kAtOnce) {
      const auto part = values.subspan(i, std::min(kAtOnce, values.size() - i));
      widened.resize(part.size());
      std::ranges::transform(part, widened.begin(), [](Bf16 x) { return ToFloat(x); });
      writer.Append(widened);
    }
  }
  writer.Commit();
}

// Names of tensors that repeat others: MTP modules share embedding and head but are published with
// copies, some writers store a tied head, and old ones stored the rotary frequencies.
std::unordered_set<std::string> RedundantNames(const ModelConfig& config) {
  std::unordered_set<std::string> names;
  if (config.tie_word_embeddings) names.insert("lm_head.weight");
  for (int64_t layer = 0; layer < config.num_hidden_layers + config.num_nextn_predict_layers;
       ++layer) {
    const std::string prefix = LayerPrefix(layer);
    names.insert(prefix + "self_attn.rotary_emb.inv_freq");
    if (layer < config.num_hidden_layers) continue;
    names.insert(prefix + "embed_tokens.weight");
    names.insert(prefix + "shared_head.head.weight");
  }
  return names;
}

// What is wrong between a checkpoint's tensors and a layout; remembers the first.
class Mismatches {
 public:
  void Add(std::string what) {
    if (count_++ == 0) first_ = std::move(what);
  }
  void ThrowIfAny(const std::string& directory) const {
    if (count_ == 0) return;
    Fail("{}: {}{}; config.json and the tensors do not belong together, fetch both again",
         directory, first_, count_ == 1 ? "" : fmt::format(" (and {} more such)", count_ - 1));
  }

 private:
  std::string first_;
  int64_t count_ = 0;
};

void CompareTensors(const CheckpointTensors& tensors, const std::string& directory,
                    const ModelConfig& config, const ParamLayout& layout) {
  Mismatches mismatches;
  std::unordered_set<std::string_view> known;
  for (const ParamInfo& param : layout.params()) {
    known.insert(param.name);
    const auto found = tensors.entries().find(param.name);
    if (found == tensors.entries().end()) {
      const bool mtp = param.layer >= config.num_hidden_layers;
      mismatches.Add(fmt::format(
          "tensor '{}' is missing{}", param.name,
          mtp ? " (if the MTP module was dropped, set num_nextn_predict_layers to 0)" : ""));
    } else if (const TensorView& tensor = *found->second.tensor; tensor.shape != param.shape) {
      mismatches.Add(fmt::format("tensor '{}' has shape {} where config.json asks for {}",
                                 param.name, ShapeText(tensor.shape), ShapeText(param.shape)));
    } else if (tensor.dtype == DType::kF8E4m3) {
      const auto scales = tensors.entries().find(ScalesName(param.name));
      const std::vector<int64_t> shape = ScalesShape(param.shape);
      if (param.shape.size() != 2 || scales == tensors.entries().end() ||
          scales->second.tensor->shape != shape) {
        mismatches.Add(fmt::format("tensor '{}' is F8_E4M3, and its scales '{}' of shape {} are {}",
                                   param.name, ScalesName(param.name), ShapeText(shape),
                                   scales == tensors.entries().end()
                                       ? std::string("missing")
                                       : ShapeText(scales->second.tensor->shape)));
      } else {
        known.insert(scales->first);
      }
    }
  }
  const std::unordered_set<std::string> redundant = RedundantNames(config);
  for (const auto& [name, entry] : tensors.entries()) {
    if (!known.contains(name) && !redundant.contains(name)) {
      mismatches.Add(fmt::format("tensor '{}' is unknown to this model", Printable(name)));
    }
  }
  mismatches.ThrowIfAny(directory);
}

}  // namespace

void PublishCheckpoint(const std::string& directory, const ModelConfig& config,
                       const ParamLayout& layout, const float* weights, const ModelFiles& files,
                       const TrainerState* state) {
  DirectoryPublisher publisher(directory);
  WriteModel(publisher.path(), config, layout, weights, files);
  if (state) WriteTrainerState(publisher.path(), *state);
  WriteChecksums(publisher.path());
  publisher.Commit();
}

ModelConfig LoadModelConfig(const std::string& directory) {
  RequireCheckpoint(directory);
  const std::string name = directory + "/config.json";
  ModelConfig config = ParseConfigJson(ReadFile(name, kMaxJsonBytes), name);
  const std::string generation = directory + kGenerationConfig;
  if (FileExists(generation))
    ReadGenerationConfigJson(ReadFile(generation, kMaxJsonBytes), generation, &config);
  return config;
}

ModelConfig LoadVerifiedModelConfig(const std::string& directory) {
  VerifyChecksums(directory, Verify::kModel);
  const ModelConfig config = LoadModelConfig(directory);
  CompareTensors(CheckpointTensors(directory), directory, config, ParamLayout(config));
  return config;
}

std::string LoadTokenizerJson(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  if (FileExists(directory) && !FileExists(path)) throw NoTokenizer(directory);
  return ReadFile(path, kMaxJsonBytes);
}

std::optional<uint64_t> TokenizerHashOf(const std::string& directory) {
  std::string path = directory + kWeights;
  if (const std::string index = path + ".index.json"; !FileExists(path) && FileExists(index)) {
    const auto files = ParseShardIndex(ReadFile(index, kMaxJsonBytes), index);
    if (!files.empty()) path = directory + "/" + files.begin()->second;  // each shard has it
  }
  if (!FileExists(path)) return std::nullopt;
  const SafetensorsFile file(path);
  const auto found = file.metadata().find(kTokenizerHash);
  if (found == file.metadata().end()) return std::nullopt;
  const std::string& text = found->second;
  uint64_t hash = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (error != std::errc() || end != text.data() + text.size())
    Fail("{}: __metadata__: {} is '{}', no hexadecimal number; restore it from a copy", path,
         kTokenizerHash, Printable(text));
  return hash;
}

void RequireOwnTokenizer(const std::string& directory, uint64_t hash) {
  const std::optional<uint64_t> own = TokenizerHashOf(directory);
  if (!own || *own == hash) return;
  Fail(
      "{}/tokenizer.json: not the tokenizer that this model was trained with (its hash is {}, the "
      "model's {}), so every token would mean another; put back the model's own",
      directory, HexU64(hash), HexU64(*own));
}

SavedTrainerState::SavedTrainerState(const std::string& directory)
    : directory_(directory), tensors_(OptimizerName(directory)) {
  const std::string name = StateName(directory);
  const nlohmann::json state = ParseJsonObject(ReadFile(name, kMaxJsonBytes), name);
  if (const std::string format = JsonString(state, "format", name); format != kTrainerFormat) {
    Fail("{}: format is '{}' but this program reads '{}'; use the version that wrote it", name,
         Printable(format), kTrainerFormat);
  }
  step_ = JsonInt(state, "step", name, 0, INT64_MAX);
  if (!state.contains("state")) Fail("{}: 'state' is missing; the file is damaged", name);
  json_ = state["state"].dump();
}

const TensorView& SavedTrainerState::Find(const std::string& name, size_t size, DType dtype) const {
  const TensorView* tensor = tensors_.Find(name);
  if (!tensor || tensor->size() != static_cast<int64_t>(size) || tensor->dtype != dtype) {
    Fail("{}: tensor '{}' {}; the checkpoint was written by another recipe, resume with that one",
         tensors_.path(), name,
         !tensor ? "is missing"
         : tensor->dtype != dtype
             ? fmt::format("is {} where {} is needed", DTypeName(tensor->dtype), DTypeName(dtype))
             : fmt::format("has {} elements where {} are needed", tensor->size(), size));
  }
  return *tensor;
}

void SavedTrainerState::Read(const std::string& name, std::span<float> out) const {
  ReadFloats(Find(name, out.size(), DType::kF32), tensors_.path(), out);
}

void SavedTrainerState::Read(const std::string& name, std::span<Bf16> out) const {
  const TensorView& tensor = Find(name, out.size(), DType::kBf16);
  if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), out.size_bytes());
}

}  // namespace darkhorse
