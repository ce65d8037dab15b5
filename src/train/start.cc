#include "train/start.h"

#include "base/checksum.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "text/tokenizer.h"

namespace darkhorse {

namespace {

// Whether the text of a tokenizer.json is that tokenizer's; another program may spell the same one
// in other bytes.
bool IsTokenizer(const std::string& json, uint64_t hash, const std::string& name) {
  return Checksum64(json) == hash || Tokenizer::FromJson(json, name).hash() == hash;
}

[[noreturn]] void FailOtherTokenizer(const std::string& checkpoint) {
  Fail(
      "{}: its tokenizer is not the one that the training data were made with; prepare the text "
      "again with this model's tokenizer",
      checkpoint);
}

}  // namespace

ModelConfig StartingConfig(const std::string& checkpoint, const ShardInfo& shard) {
  const std::unique_ptr<const ModelSource> source = OpenModel(checkpoint);
  ModelConfig config = source->config();
  if (!IsGgufPath(checkpoint) && IsOwnFolder(checkpoint)) {
    const std::string name = checkpoint + "/tokenizer.json";
    if (!IsTokenizer(LoadTokenizerJson(checkpoint), shard.tokenizer_hash, name))
      FailOtherTokenizer(checkpoint);
    RequireOwnTokenizer(checkpoint, shard.tokenizer_hash);
  } else {
    const Tokenizer tokenizer = source->ReadTokenizer();
    if (!IsTokenizer(source->TokenizerJson(tokenizer), shard.tokenizer_hash, checkpoint))
      FailOtherTokenizer(checkpoint);
    config = source->TextConfig(tokenizer);
  }
  if (shard.vocab_size > config.vocab_size) {
    Fail("{}: config.json's vocab_size is {}, its tokenizer has {} ids; put the model's own there",
         checkpoint, config.vocab_size, shard.vocab_size);
  }
  return config;
}

void LoadStartingWeights(const std::string& checkpoint, TrainedModel& trained) {
  ReadWeights(*OpenModel(checkpoint), trained.layout(), trained.mutable_weights());
}

}  // namespace darkhorse
