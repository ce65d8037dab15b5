// A model's files, opened; and loaded, ready to run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_source.h"
#include "model/adapter.h"
#include "model/kv_cache.h"
#include "model/transformer.h"
#include "model/weight_store.h"
#include "pipeline/run_format.h"
#include "rl/prompter.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace darkhorse {

// What conversations have room for unless more is asked for, or the model has less: tokens.
inline constexpr int64_t kStandardContext = 8192;

// What a model is to remember while it runs.
struct CacheNeed {
  CacheForm form = CacheForm::kExpanded;
  int64_t sequences = 0;  // at once; 0: not known yet
  int64_t tokens = 0;     // of each
  int64_t in_all = 0;     // of all of them at most; 0: no limit
  bool module = false;    // the first module for multi-token prediction runs, too
  double beside = 0;      // what something else takes beside the model, bytes
  // What a caller's user can do about it, for errors: "lower --context", "--weights q4".
  std::string smaller_cache = "run fewer sequences at once, or shorter ones";
  std::string smaller_weights = "a smaller format of the weights";
};

// Bytes of a model that runs. Not counted: what a pass takes for its rows, the program itself.
struct RunningMemory {
  double weights = 0;
  double rotations = 0;  // of the positions
  double cache = 0;
  double adapters = 0;  // beside the weights
  double total() const { return weights + rotations + cache + adapters; }
};
// `adapters`: folders, as LoadedModel's.
RunningMemory MemoryToRun(const ModelSource& source, const RunFormat& format, const CacheNeed& need,
                          const std::vector<std::string>& adapters = {});

// What the files say. No weights are read.
class OpenedModel {
 public:
  // Error: a model that is damaged, lacks a file, or whose tokenizer has ids that the model does
  // not know.
  explicit OpenedModel(const std::string& path);

  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  int64_t file_bytes() const { return source_->file_bytes(); }
  const std::string& path() const { return source_->path(); }
  const ModelSource& source() const { return *source_; }
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
  std::unique_ptr<const ModelSource> source_;  // the embedding stays in it
  Tokenizer tokenizer_;
  ChatFormat chat_format_;
  ModelConfig config_;
  std::shared_ptr<const std::vector<int32_t>> silent_;
};

// An adapter of a model that is loaded beside it, of which each request to an engine takes one
// (GenerationRequest::adapter).
struct LoadedAdapter {
  std::string folder;
  ChatFormat chat_format;  // its own, or the model's
};

class LoadedModel : public OpenedModel {
 public:
  // An adapter's products are beside those of its base, as in training, but with latent attention,
  // whose cache reads whole weights: there they are added to the base's. Error: this machine has no
  // memory for the weights and the cache that will be needed, told before any of it is taken.
  // `adapters`: folders of others' adapters of the same base, which are its second, third and so
  // on. Error: one that is not of it or has magnitudes (DoRA), or latent attention.
  LoadedModel(OpenedModel opened, const RunFormat& format, const CacheNeed& need = {},
              const std::vector<std::string>& adapters = {});
  explicit LoadedModel(const std::string& path, const RunFormat& format = Format::kF32)
      : LoadedModel(OpenedModel(path), format) {}
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const Transformer& model() const { return model_; }
  const ModelWeights& weights() const { return adapted_ ? adapted_->model() : weights_.model(); }
  int64_t weight_bytes() const { return weights_.bytes(); }
  const std::vector<LoadedAdapter>& adapters() const { return adapters_; }

 private:
  Transformer model_;
  WeightStore weights_;
  std::vector<LoadedAdapter> adapters_;
  std::vector<AdapterPairs> pairs_;  // of adapters, one that was opened with the model first
  std::optional<AdaptedWeights> adapted_;
};

}  // namespace darkhorse
