// A checkpoint in memory, ready to run.
#pragma once

#include <string>
#include <string_view>

#include "base/buffer.h"
#include "infer/packed.h"
#include "model/kv_cache.h"
#include "model/params.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Error if this machine cannot hold the engine's cache; `cure` names what to lower.
void RequireCacheMemory(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
                        std::string_view cure);

class LoadedModel {
 public:
  // Error: a checkpoint that is damaged, lacks a file, or whose tokenizer has ids that the model
  // does not know.
  explicit LoadedModel(const std::string& directory);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const ModelConfig& config() const { return model_.config(); }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Transformer& model() const { return model_; }
  const ModelWeights& weights() const { return packed_.model(); }

 private:
  Tokenizer tokenizer_;
  Transformer model_;
  ParamLayout layout_;
  FloatBuffer buffer_;
  PackedWeights packed_;
};

}  // namespace darkhorse
