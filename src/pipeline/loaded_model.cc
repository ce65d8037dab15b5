#include "pipeline/loaded_model.h"

#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "checkpoint/checkpoint.h"

namespace darkhorse {
namespace {

void RequireMemoryOf(const ModelConfig& config, Format format, const std::string& directory) {
  const ModelCost cost(config);
  // As they are and packed.
  const auto weights =
      static_cast<double>(cost.WeightBytes() + PackedWeights::Bytes(config, format));
  RequireMemory(weights + RopeCache::Bytes(config),
                fmt::format("{}: the model, with {} parameters and a context of {},", directory,
                            FormatCount(static_cast<double>(cost.parameters())),
                            config.max_position_embeddings),
                "choose a smaller one, or lower max_position_embeddings in its config.json");
}

}  // namespace

LoadedModel::Checkpoint LoadedModel::Read(const std::string& directory, Format format) {
  // What is cheap to look at comes first.
  const ModelConfig config = LoadVerifiedModelConfig(directory);
  RequireMemoryOf(config, format, directory);
  Tokenizer tokenizer =
      Tokenizer::FromJson(LoadTokenizerJson(directory), directory + "/tokenizer.json");
  tokenizer.CheckEmbedded(config.vocab_size, directory);
  RequireOwnTokenizer(directory, tokenizer.hash());
  ParamLayout layout(config);
  FloatBuffer weights(layout.buffer_size());
  LoadWeights(directory, config, layout, weights.data());
  return {config, std::move(tokenizer), std::move(layout), std::move(weights)};
}

LoadedModel::LoadedModel(const std::string& directory, Format format)
    : LoadedModel(Read(directory, format), format) {}

LoadedModel::LoadedModel(Checkpoint checkpoint, Format format)
    : model_(checkpoint.config),
      tokenizer_(std::move(checkpoint.tokenizer)),
      layout_(std::move(checkpoint.layout)),
      buffer_(std::move(checkpoint.weights)),
      packed_(model_.config(), layout_, buffer_.data(), format) {}

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

}  // namespace darkhorse
