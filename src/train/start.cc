#include "train/start.h"

#include <filesystem>

#include "base/checksum.h"
#include "base/error.h"
#include "base/memory.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checksums.h"
#include "checkpoint/config_json.h"
#include "checkpoint/model_source.h"
#include "text/tokenizer.h"

namespace darkhorse {

ModelConfig StartingConfig(const ModelSource& model, const ShardInfo& shard) {
  const Tokenizer tokenizer = model.ReadTokenizer();
  // Another program may spell the same tokenizer in other bytes.
  if (tokenizer.hash() != shard.tokenizer_hash &&
      Checksum64(model.TokenizerJson(tokenizer)) != shard.tokenizer_hash) {
    Fail(
        "{}: its tokenizer is not the one that the training data were made with; prepare the text "
        "again with this model's tokenizer",
        model.path());
  }
  return model.TextConfig(tokenizer);
}

namespace {

// What AdapterOptions::weights says; "auto": what the files hold.
WeightStore::Choose ChooserOf(const std::string& weights, const ModelSource& source) {
  if (weights == "auto") {
    return [&source](const ParamSpec& param) { return WeightStore::AsStored(source, param); };
  }
  const Format format = weights == "q8"   ? Format::kQ8
                        : weights == "q4" ? Format::kQ4
                                          : FormatOf(weights);
  return [format](const ParamSpec&) { return format; };
}

bool IsPublished(const ModelSource& source) {
  return IsGgufPath(source.path()) || !IsOwnFolder(source.path());
}

}  // namespace

TrainingStart::TrainingStart(const std::string& path, const AdapterOptions& options, Format format)
    : path_(path),
      source_(OpenModel(path)),
      format_(format),
      tokenizer_(source_->ReadTokenizer()),
      chat_format_(source_->ReadChatFormat()),
      config_(source_->TextConfig(tokenizer_)) {
  Validate(options);
  const AdapterSource* begun = source_->adapter();
  if (options.kind == "none" || (options.kind == "auto" && !begun && !IsPublished(*source_))) {
    if (options.dora)
      FailUsage(
          "adapter.dora is true, but all weights of {} are trained; set adapter.kind to lora, or "
          "dora to false",
          path);
    if (options.weights != "auto") {
      FailUsage(
          "adapter.weights is '{}', but all weights of {} are trained; set adapter.kind to lora, "
          "or weights to auto",
          options.weights, path);
    }
    RequireWritable(config_);
    return;  // of a model with an adapter, the two in one
  }
  config_.num_nextn_predict_layers = 0;
  AdapterFiles files;
  if (begun) {
    files = begun->files();
    begun_ = source_;
    source_ = std::shared_ptr<const ModelSource>(begun_, &begun->base());
  } else {
    files = {.base = std::filesystem::absolute(path).lexically_normal().string(),
             .base_fingerprint = CheckpointFingerprint(path),
             .rank = options.rank,
             .alpha = options.alpha,
             .dora = options.dora};
  }
  adapter_.emplace(Adapter{ChooserOf(options.weights, *source_),
                           begun ? begun->layout() : AdapterLayout(config_, options), files});
}

void TrainingStart::RefuseMovingBiases(const std::string& field, double gamma) const {
  if (!adapter_ || !(gamma > 0)) return;
  FailUsage(
      "{} is {}, but an adapter leaves the router as it is; set it to 0, or adapter.kind to none",
      field, gamma);
}

Activations TrainingStart::Fit(TrainingNeed need, const std::string& recompute) const {
  need.format = format_;
  need.activations = recompute == "yes" ? Activations::kRecomputed : Activations::kKept;
  if (recompute == "auto") {
    const int64_t kept = ModelCost(config_).Training(need.micro_batch_tokens, format_).activations;
    if (kept > PhysicalMemoryBytes() / 2) need.activations = Activations::kRecomputed;
  }
  if (adapter_) {
    RequireAdapterMemory(config_, adapter_->layout,
                         WeightStore::Bytes(config_, *source_, adapter_->weights), need);
  } else {
    RequireTrainingMemory(config_, need);
  }
  return need.activations;
}

bool TrainingStart::StopAt(int32_t token) {
  if (adapter_) return false;
  std::vector<int64_t>& stops = config_.stop_token_ids;
  if (stops.empty() && config_.eos_token_id >= 0) stops.push_back(config_.eos_token_id);
  stops.push_back(token);
  return true;
}

ModelFiles TrainingStart::Files() const {
  ModelFiles files;
  files.tokenizer_json = source_->TokenizerJson(tokenizer_);
  files.chat_template = chat_format_.chat_template;
  files.tokenizer_hash = tokenizer_.hash();
  if (adapter_) files.adapter = adapter_->files;
  return files;
}

std::unique_ptr<TrainedModel> TrainingStart::Make(const OptimizerOptions& optimizer,
                                                  Activations activations, uint64_t seed) const {
  if (!adapter_) {
    auto trained = std::make_unique<TrainedModel>(config_, optimizer, format_, activations);
    ReadWeights(*source_, trained->layout(), trained->mutable_weights());
    return trained;
  }
  auto trained = std::make_unique<TrainedModel>(
      config_, optimizer, format_, activations,
      AdapterTraining{source_, adapter_->weights, adapter_->layout, adapter_->files.scale()});
  if (begun_) {
    begun_->adapter()->ReadValues(trained->mutable_weights());
  } else {
    trained->Initialize(seed);
  }
  return trained;
}

}  // namespace darkhorse
