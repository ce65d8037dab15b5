// A checkpoint in memory, ready to run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/model_source.h"
#include "model/kv_cache.h"
#include "model/transformer.h"
#include "model/weight_store.h"
#include "rl/prompter.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace darkhorse {

class LoadedModel {
 public:
  // `format`: what its linear layers compute in; none: in what the files hold (WeightStore). Error:
  // a model that is damaged, lacks a file, or whose tokenizer has ids that the model does not know.
  explicit LoadedModel(const std::string& path, std::optional<Format> format = Format::kF32);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const ModelConfig& config() const { return model_.config(); }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Transformer& model() const { return model_; }
  const ModelWeights& weights() const { return weights_.model(); }
  int64_t weight_bytes() const { return weights_.bytes(); }
  int64_t file_bytes() const { return source_->file_bytes(); }
  const std::string& path() const { return source_->path(); }
  const ChatFormat& chat_format() const { return chat_format_; }
  // Tokenizer::SilentIds of the ids that the model embeds.
  const std::shared_ptr<const std::vector<int32_t>>& silent_tokens() const { return silent_; }

  // What a document that begins with `text` begins with, the beginning mark included where the
  // model has one of its own; never empty. `special`: "<...>" of special tokens in the text are
  // read as such.
  std::vector<int32_t> PromptTokens(std::string_view text, bool special) const;

  AskedModel Asked() const {
    return {path(), tokenizer_, DocumentStartToken(config()), chat_format_};
  }
  // By the model's chat template. Error: a template that cannot be read.
  Conversation Talk(const Conversation::Options& options) const;

 private:
  LoadedModel(std::unique_ptr<const ModelSource> source, std::optional<Format> format);

  std::unique_ptr<const ModelSource> source_;  // the embedding stays in it
  Tokenizer tokenizer_;
  ChatFormat chat_format_;
  Transformer model_;
  WeightStore weights_;
  std::shared_ptr<const std::vector<int32_t>> silent_;
};

}  // namespace darkhorse
