#include <fmt/format.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "base/checksum.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checksums.h"
#include "checkpoint/config_json.h"
#include "checkpoint/export.h"
#include "checkpoint/export_rows.h"
#include "kernel/ggml_encode.h"

namespace darkhorse {
namespace {

using nlohmann::ordered_json;

using Files = std::map<std::string, std::string>;  // texts by name

// What a folder has beside config.json and the weights, and other programs read.
constexpr const char* kCompanions[] = {
    "tokenizer.json",      "tokenizer_config.json",  "special_tokens_map.json",
    "chat_template.jinja", "generation_config.json", "vocab.json",
    "merges.txt",          "added_tokens.json",
};

Files CopiedFiles(const std::string& directory) {
  Files files;
  for (const char* name : kCompanions) {
    const std::string path = directory + "/" + name;
    if (FileExists(path)) files[name] = ReadFile(path);
  }
  return files;
}

std::string TokenizerConfigJson(const ModelConfig& config, const ChatFormat& format) {
  ordered_json out;
  out["tokenizer_class"] = "PreTrainedTokenizerFast";
  out["model_max_length"] = config.max_position_embeddings;
  out["clean_up_tokenization_spaces"] = false;
  if (!format.bos_token.empty()) out["bos_token"] = format.bos_token;
  if (!format.eos_token.empty()) out["eos_token"] = out["pad_token"] = format.eos_token;
  if (!format.chat_template.empty()) out["chat_template"] = format.chat_template;
  return out.dump(2) + "\n";
}

// A GGUF file's tokenizer and the rest as a folder has them, and its configuration.
Files TranslatedFiles(const ModelSource& source, ModelConfig* config) {
  const Tokenizer tokenizer = source.ReadTokenizer();
  const ChatFormat format = source.ReadChatFormat();
  *config = source.TextConfig(tokenizer);
  // config.json names the token, whether or not texts begin with it: tokenizer.json says that.
  if (const auto bos = tokenizer.TokenId(format.bos_token)) config->bos_token_id = *bos;
  return {{"tokenizer.json", tokenizer.ToJson()},
          {"tokenizer_config.json", TokenizerConfigJson(*config, format)},
          {"generation_config.json", WriteGenerationConfigJson(*config)}};
}

struct Shard {
  std::string name;
  std::vector<TensorSpec> specs;
  int64_t bytes = 0;
};

int64_t Bytes(const TensorSpec& spec) {
  return std::accumulate(spec.shape.begin(), spec.shape.end(), DTypeBytes(spec.dtype),
                         std::multiplies<>());
}

// In the layout's order; one begins where the one before has no room left.
std::vector<Shard> Shards(const ParamLayout& layout, DType dtype, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  for (const ParamInfo& param : layout.params()) {
    const bool exact = param.kind == ParamKind::kRouterBias;
    TensorSpec spec = {param.name, exact ? DType::kF32 : dtype, param.shape};
    const int64_t bytes = Bytes(spec);
    if (shards.back().bytes > 0 && shards.back().bytes + bytes > shard_bytes) shards.emplace_back();
    shards.back().bytes += bytes;
    shards.back().specs.push_back(std::move(spec));
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

std::string IndexJson(const std::vector<Shard>& shards, int64_t total) {
  nlohmann::json map = nlohmann::json::object();
  for (const Shard& shard : shards) {
    for (const TensorSpec& spec : shard.specs) map[spec.name] = shard.name;
  }
  const ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return index.dump(2) + "\n";
}

void WriteTensor(const ModelSource& source, const ParamInfo& param, DType dtype,
                 SafetensorsWriter& writer, ExportProgress& progress) {
  const float largest = LargestEncodable(dtype == DType::kBf16 ? GgmlType::kBf16 : GgmlType::kF32);
  const int64_t rows = param.shape[0], cols = param.size / rows;
  std::vector<float> group;
  ForRows(
      rows, cols, [&](int64_t count) { group.resize(static_cast<size_t>(count * cols)); },
      [&](int64_t group_begin, int64_t begin, int64_t count) {
        float* out = group.data() + (begin - group_begin) * cols;
        source.ReadRows(param, begin, count, out);
        RequireWithin(out, count * cols, largest, source.path(), param.name);
      },
      [&] {
        writer.Append(group);
        progress.Add(static_cast<int64_t>(group.size()) * DTypeBytes(dtype));
      });
}

}  // namespace

void ExportFolder(const ModelSource& source, DType dtype, const std::string& out,
                  const ExportOptions& options) {
  RequireNew(out);
  const bool from_folder = !IsGgufPath(source.path());
  ModelConfig config = source.config();
  const Files files = from_folder ? CopiedFiles(source.path()) : TranslatedFiles(source, &config);
  const ParamLayout layout(config);
  const std::vector<Shard> shards = Shards(layout, dtype, options.shard_bytes);
  int64_t weights = 0, texts = 1 << 20;  // configuration, index and headers besides
  for (const Shard& shard : shards) weights += shard.bytes;
  for (const auto& [name, text] : files) texts += static_cast<int64_t>(text.size());
  RequireRoom(out, weights + texts);

  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  const bool own = from_folder && IsOwnFolder(source.path());
  if (const auto hash = own ? TokenizerHashOf(source.path()) : std::nullopt) {
    metadata[kTokenizerHash] = HexU64(*hash);
  }
  DirectoryPublisher publisher(out);
  const auto write = [&](const std::string& name, const std::string& text) {
    WriteFileAtomically(publisher.path() + "/" + name, text);
  };
  write("config.json", WriteConfigJson(config, dtype == DType::kBf16 ? "bfloat16" : "float32"));
  for (const auto& [name, text] : files) write(name, text);
  ExportProgress progress(options, weights);
  auto param = layout.params().begin();
  for (const Shard& shard : shards) {
    SafetensorsWriter writer(publisher.path() + "/" + shard.name, shard.specs, metadata);
    for (const TensorSpec& spec : shard.specs) {
      WriteTensor(source, *param++, spec.dtype, writer, progress);
    }
    writer.Commit();
  }
  if (shards.size() > 1) write("model.safetensors.index.json", IndexJson(shards, weights));
  if (own) WriteChecksums(publisher.path());
  publisher.Commit();
}

}  // namespace darkhorse
