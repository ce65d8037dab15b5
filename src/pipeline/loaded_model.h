// A checkpoint in memory, ready to run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "model/kv_cache.h"
#include "model/packed_weights.h"
#include "model/params.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace darkhorse {

class LoadedModel {
 public:
  // `format`: what its linear layers compute in. Error: a checkpoint that is damaged, lacks a file,
  // or whose tokenizer has ids that the model does not know.
  explicit LoadedModel(const std::string& directory, Format format = Format::kF32);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const ModelConfig& config() const { return model_.config(); }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Transformer& model() const { return model_; }
  const ModelWeights& weights() const { return packed_.model(); }
  int64_t packed_bytes() const { return packed_.bytes(); }

  // What a document that begins with `text` begins with, the beginning mark included where the
  // model has one of its own; never empty. `special`: "<...>" of special tokens in the text are
  // read as such.
  std::vector<int32_t> PromptTokens(std::string_view text, bool special) const;

 private:
  // What a checkpoint directory holds.
  struct Checkpoint {
    ModelConfig config;
    Tokenizer tokenizer;
    ParamLayout layout;
    FloatBuffer weights;
  };
  static Checkpoint Read(const std::string& directory, Format format);
  LoadedModel(Checkpoint checkpoint, Format format);

  Transformer model_;
  Tokenizer tokenizer_;
  ParamLayout layout_;
  FloatBuffer buffer_;
  PackedWeights packed_;
};

}  // namespace darkhorse
