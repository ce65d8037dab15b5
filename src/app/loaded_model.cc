#include "app/loaded_model.h"

#include "base/error.h"
#include "checkpoint/checkpoint.h"

namespace darkhorse {
namespace {

std::vector<float> ReadWeights(const std::string& directory, const ModelConfig& config,
                               const ParamLayout& layout) {
  VerifyChecksums(directory);
  std::vector<float> buffer(static_cast<size_t>(layout.buffer_size()));
  LoadWeights(directory, config, layout, buffer.data());
  return buffer;
}

}  // namespace

LoadedModel::LoadedModel(const std::string& directory)
    : tokenizer_(Tokenizer::FromJson(LoadTokenizerJson(directory), directory + "/tokenizer.json")),
      model_(LoadModelConfig(directory)),
      layout_(model_.config()),
      buffer_(ReadWeights(directory, model_.config(), layout_)),
      packed_(model_.config(), layout_, buffer_.data()) {
  if (tokenizer_.vocab_size() > config().vocab_size) {
    Fail(
        "{}: tokenizer.json has {} ids but config.json's vocab_size is {}; they belong to "
        "different models",
        directory, tokenizer_.vocab_size(), config().vocab_size);
  }
}

}  // namespace darkhorse
