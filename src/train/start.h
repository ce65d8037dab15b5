// Where training begins, if not at fresh weights: a model as its files have it.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "data/shard.h"
#include "model/adapter.h"
#include "model/config.h"
#include "train/trained_model.h"

namespace darkhorse {

// The model's configuration, marking the ends of documents as the shard does. Error: a model of
// another tokenizer than the shard's.
ModelConfig StartingConfig(const ModelSource& model, const ShardInfo& shard);

// A model opened to be trained further: all its weights, or an adapter of it.
class TrainingStart {
 public:
  // Where an adapter lies at `path`, that is what goes on, as it is. `format`: of the products.
  // UsageError: options that do not fit the model, or that differ from the defaults and from what
  // holds: nothing would come of them. Error as OpenModel's, and for a model
  // that could be trained but not written.
  TrainingStart(const std::string& path, const AdapterOptions& adapter, Format format);

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }  // without MTP modules for an adapter
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatFormat& chat_format() const { return chat_format_; }
  bool trains_adapter() const { return adapter_.has_value(); }
  // The options as they hold: of an adapter that goes on its own rank, alpha, magnitudes, layers.
  const AdapterOptions& options() const { return options_; }
  // Tells of an adapter that goes on otherwise than the options say, "" where there is none.
  const std::string& note() const { return note_; }
  // UsageError where an adapter is trained and `gamma`, which the user knows as `field`, asks for
  // the router's biases to move, for they are its base's.
  void RefuseMovingBiases(const std::string& field, double gamma) const;
  // What a training that needs so much keeps of activations; `recompute` as in kRecomputeHelp.
  // need.format and need.activations are set here. Error if this machine cannot hold it.
  Activations Fit(TrainingNeed need, const std::string& recompute) const;
  // The token is to end texts, too. False, and nothing has changed, for an adapter: what ends texts
  // is in its base's files.
  bool StopAt(int32_t token);
  // What goes beside what is trained.
  ModelFiles Files() const;
  // `seed`: of a fresh adapter.
  std::unique_ptr<TrainedModel> Make(const OptimizerOptions& optimizer, Activations activations,
                                     uint64_t seed) const;

 private:
  std::string path_;
  AdapterOptions options_;
  std::string note_;
  std::shared_ptr<const ModelSource> source_;  // where an adapter is trained, its base
  std::shared_ptr<const ModelSource> begun_;   // the adapter that goes on; null: a fresh one
  const Format format_;
  Tokenizer tokenizer_;
  ChatFormat chat_format_;
  ModelConfig config_;
  struct Adapter {
    WeightStore::Choose weights;
    ParamLayout layout;
    AdapterFiles files;
  };
  std::optional<Adapter> adapter_;
};

}  // namespace darkhorse
