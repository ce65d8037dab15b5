#include "checkpoint/folder_source.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/block_scales.h"
#include "checkpoint/checkpoint.h"

namespace darkhorse {
namespace {

using nlohmann::json;

constexpr int64_t kMaxJsonBytes = int64_t{1} << 26;

// tokenizer_config.json; null where there is none.
struct TokenizerConfig {
  std::string name;
  json object;

  explicit TokenizerConfig(const std::string& directory)
      : name(directory + "/tokenizer_config.json") {
    if (FileExists(name)) object = ParseJsonObject(ReadFile(name, kMaxJsonBytes), name);
  }
  // A token's text: itself, or the content of an object.
  std::string Token(const char* key) const {
    if (!object.is_object() || !object.contains(key)) return "";
    const json& token = object[key];
    if (token.is_string()) return token.get<std::string>();
    if (token.is_object() && token.contains("content") && token["content"].is_string())
      return token["content"].get<std::string>();
    return "";
  }
  std::optional<bool> Bool(const char* key) const {
    if (!object.is_object() || !object.contains(key) || !object[key].is_boolean())
      return std::nullopt;
    return object[key].get<bool>();
  }
  std::string Template() const {
    if (!object.is_object() || !object.contains("chat_template")) return "";
    const json& found = object["chat_template"];
    if (found.is_string()) return found.get<std::string>();
    if (!found.is_array()) return "";
    std::string first;
    for (const json& entry : found) {
      if (!entry.is_object() || !entry.contains("template") || !entry["template"].is_string())
        continue;
      const std::string text = entry["template"].get<std::string>();
      if (entry.value("name", "") == "default") return text;
      if (first.empty()) first = text;
    }
    return first;
  }
};

}  // namespace

FolderSource::FolderSource(const std::string& directory)
    : ModelSource(directory, LoadVerifiedModelConfig(directory)), tensors_(directory) {}

int64_t FolderSource::file_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, entry] : tensors_.entries())
    bytes += static_cast<int64_t>(entry.tensor->bytes.size());
  return bytes;
}

Tokenizer FolderSource::ReadTokenizer() const {
  Tokenizer tokenizer = Tokenizer::FromJson(LoadTokenizerJson(path()), path() + "/tokenizer.json");
  tokenizer.CheckEmbedded(config().vocab_size, path(), "put the model's own tokenizer.json there");
  RequireOwnTokenizer(path(), tokenizer.hash());
  return tokenizer;
}

std::string FolderSource::TokenizerJson(const Tokenizer&) const {
  return LoadTokenizerJson(path());  // as it is
}

ModelConfig FolderSource::TextConfig(const Tokenizer& tokenizer) const {
  ModelConfig text = config();
  // Those of this program mean documents by bos_token_id; those of others a token that their
  // tokenizer may put there.
  if (IsOwnFolder(path())) return text;
  const TokenizerConfig file(path());
  std::optional<int32_t> start = tokenizer.StartToken();
  if (const auto adds = file.Bool("add_bos_token")) {
    const auto bos = tokenizer.TokenId(file.Token("bos_token"));
    start = *adds ? bos : std::nullopt;
  }
  text.bos_token_id = start.value_or(-1);
  return text;
}

ChatFormat FolderSource::ReadChatFormat() const {
  const TokenizerConfig file(path());
  const std::string jinja = path() + "/chat_template.jinja";
  return {FileExists(jinja) ? ReadFile(jinja, kMaxJsonBytes) : file.Template(),
          file.Token("bos_token"), file.Token("eos_token")};
}

const CheckpointTensors::Entry& FolderSource::EntryOf(const ParamSpec& param) const {
  const auto found = tensors_.entries().find(param.name);
  CHECK(found != tensors_.entries().end());
  return found->second;
}

void FolderSource::ReadRows(const ParamSpec& param, int64_t begin, int64_t count,
                            float* out) const {
  const CheckpointTensors::Entry& entry = EntryOf(param);
  TensorView part = *entry.tensor;
  const size_t row = part.bytes.size() / static_cast<size_t>(param.shape[0]);
  part.bytes =
      part.bytes.subspan(static_cast<size_t>(begin) * row, static_cast<size_t>(count) * row);
  const int64_t size = part.size();
  ReadFloats(part, entry.file->path(), {out, static_cast<size_t>(size)});
  if (part.dtype == DType::kF8E4m3) {
    const auto scales = tensors_.entries().find(ScalesName(param.name));
    CHECK(scales != tensors_.entries().end());
    MultiplyByScales(*scales->second.tensor, scales->second.file->path(), begin, count,
                     param.shape[1], out);
  }
  if (!std::all_of(out, out + size, [](float x) { return std::isfinite(x); })) {
    Fail("{}: {} holds numbers that are not finite; take an earlier checkpoint or a sound copy",
         entry.file->path(), param.name);
  }
}

StoredRows FolderSource::Rows(const ParamSpec& param) const {
  const TensorView& tensor = *EntryOf(param).tensor;
  const GgmlTypeInfo* type = nullptr;
  if (tensor.dtype == DType::kF32) type = &InfoOf(GgmlType::kF32);
  if (tensor.dtype == DType::kBf16) type = &InfoOf(GgmlType::kBf16);
  if (tensor.dtype == DType::kF16) type = &InfoOf(GgmlType::kF16);
  const std::byte* first = tensor.bytes.data();
  const int64_t row_bytes = static_cast<int64_t>(tensor.bytes.size()) / param.shape[0];
  return {type, [=](int64_t row) { return first + row * row_bytes; }, true};
}

}  // namespace darkhorse
