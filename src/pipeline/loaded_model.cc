#include "pipeline/loaded_model.h"

#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "checkpoint/checkpoint.h"

namespace darkhorse {
namespace {

WeightStore::Choose Chooser(const ModelSource& source, std::optional<Format> format) {
  return [&source, format](const ParamSpec& param) {
    return format ? *format : WeightStore::AsStored(source, param);
  };
}

// Multi-token-prediction modules are for training.
ModelConfig MainModel(ModelConfig config) {
  config.num_nextn_predict_layers = 0;
  return config;
}

// What is cheap to look at comes first.
std::unique_ptr<const ModelSource> OpenThatFits(const std::string& path,
                                                std::optional<Format> format) {
  auto source = OpenModel(path);
  const ModelConfig& config = source->config();
  const auto weights =
      static_cast<double>(WeightStore::Bytes(MainModel(config), *source, Chooser(*source, format)));
  RequireMemory(weights + RopeCache::Bytes(config),
                fmt::format("{}: the model, with {} parameters and a context of {},", path,
                            FormatCount(static_cast<double>(ModelCost(config).parameters())),
                            config.max_position_embeddings),
                "choose a smaller one, or lower max_position_embeddings in its config.json");
  return source;
}

}  // namespace

LoadedModel::LoadedModel(const std::string& path, std::optional<Format> format)
    : LoadedModel(OpenThatFits(path, format), format) {}

LoadedModel::LoadedModel(std::unique_ptr<const ModelSource> source, std::optional<Format> format)
    : source_(std::move(source)),
      tokenizer_(source_->ReadTokenizer()),
      chat_format_(source_->ReadChatFormat()),
      model_(source_->TextConfig(tokenizer_)),
      weights_(MainModel(model_.config()), *source_, Chooser(*source_, format)),
      silent_(tokenizer_.SilentIds(model_.config().vocab_size)) {}

std::vector<int32_t> LoadedModel::PromptTokens(std::string_view text, bool special) const {
  std::vector<int32_t> tokens =
      tokenizer_.EncodeDocument(DocumentStartToken(config()), text, special);
  const auto eos = static_cast<int32_t>(config().eos_token_id);
  if (tokens.empty() && eos < 0) {
    FailUsage(
        "the prompt is empty, and this model knows no token that begins a document; give one");
  }
  if (tokens.empty()) tokens.push_back(eos);  // documents follow each other
  return tokens;
}

Conversation LoadedModel::Talk(const Conversation::Options& options) const {
  return {tokenizer_, chat_format_, DocumentStartToken(config()), path(), options};
}

}  // namespace darkhorse
