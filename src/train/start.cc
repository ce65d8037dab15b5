#include "train/start.h"

#include "base/checksum.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "text/tokenizer.h"

namespace darkhorse {

ModelConfig StartingConfig(const std::string& checkpoint, const ShardInfo& shard) {
  ModelConfig config = LoadVerifiedModelConfig(checkpoint);
  const std::string json = LoadTokenizerJson(checkpoint);
  // A file that another program wrote may spell the same tokenizer in other bytes.
  const auto same = [&] {
    return Checksum64(json) == shard.tokenizer_hash ||
           Tokenizer::FromJson(json, checkpoint + "/tokenizer.json").hash() == shard.tokenizer_hash;
  };
  if (!same()) {
    Fail(
        "{}: its tokenizer is not the one that the training data were made with; prepare the text "
        "again with this model's tokenizer.json",
        checkpoint);
  }
  RequireOwnTokenizer(checkpoint, shard.tokenizer_hash);
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
