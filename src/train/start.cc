#include "train/start.h"

#include <algorithm>
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

// visit(field, its value in options, in held, in the defaults) for each that shapes an adapter.
template <typename Options, typename Visit>
void ForEachShape(Options& options, const AdapterOptions& held, const Visit& visit) {
  const AdapterOptions standard;
  visit("rank", options.rank, held.rank, standard.rank);
  visit("alpha", options.alpha, held.alpha, standard.alpha);
  visit("dora", options.dora, held.dora, standard.dora);
  visit("targets", options.targets, held.targets, standard.targets);
}

std::string Spelled(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}
template <typename T>
std::string Spelled(const T& value) {
  return fmt::format("{}", value);
}

// What no adapter will use.
void RefuseAll(const AdapterOptions& options, const std::string& path) {
  const auto refuse = [&](const char* field, const auto& value, const auto&, const auto& standard) {
    if (value == standard) return;
    FailUsage(
        "adapter.{0} is '{1}', but all weights of {2} are trained; set adapter.kind to lora, or "
        "leave adapter.{0} out",
        field, Spelled(value), path);
  };
  ForEachShape(options, options, refuse);
  refuse("weights", options.weights, options.weights, AdapterOptions().weights);
}

// The layers that targets name, sorted; "all" alone where it is all.
std::vector<std::string> Layers(const ModelConfig& config, const ParamLayout& layout) {
  std::vector<std::string> names = TargetModules(layout);
  std::ranges::sort(names);
  std::vector<std::string> all = TargetModules(AdapterLayout(config, {}));
  std::ranges::sort(all);
  return names == all ? AdapterOptions().targets : names;
}

// The shape that the adapter has.
AdapterOptions ShapeOf(const AdapterSource& adapter, const ModelConfig& config) {
  AdapterOptions own;
  own.rank = adapter.files().rank;
  own.alpha = adapter.files().alpha;
  own.dora = adapter.files().dora;
  own.targets = Layers(config, adapter.layout());
  return own;
}

// Options of an adapter that goes on, with its own shape. Those that are the defaults nobody need
// have given: `note` tells where the shape is another.
AdapterOptions GoingOn(AdapterOptions options, const AdapterSource& adapter,
                       const ModelConfig& config, std::string* note) {
  const AdapterOptions own = ShapeOf(adapter, config);
  if (options.targets != AdapterOptions().targets)
    options.targets = Layers(config, AdapterLayout(config, options));
  const std::string shape = fmt::format("rank {}, alpha {}, dora {}, targets {}", own.rank,
                                        own.alpha, own.dora, Spelled(own.targets));
  bool differs = false;
  ForEachShape(options, own,
               [&](const char* field, auto& value, const auto& has, const auto& standard) {
                 if (value == has) return;
                 if (value != standard) {
                   FailUsage(
                       "adapter.{0} is '{1}', but the adapter {2} goes on as it is: {3}; leave "
                       "adapter.{0} out, or begin another adapter, of its base {4}",
                       field, Spelled(value), adapter.path(), shape, adapter.base().path());
                 }
                 value = has;
                 differs = true;
               });
  if (differs) *note = fmt::format("the adapter {} goes on as it is: {}", adapter.path(), shape);
  return options;
}

bool IsPublished(const ModelSource& source) {
  return IsGgufPath(source.path()) || !IsOwnFolder(source.path());
}

}  // namespace

TrainingStart::TrainingStart(const std::string& path, const AdapterOptions& options, Format format)
    : path_(path),
      options_(options),
      source_(OpenModel(path)),
      format_(format),
      tokenizer_(source_->ReadTokenizer()),
      chat_format_(source_->ReadChatFormat()),
      config_(source_->TextConfig(tokenizer_)) {
  Validate(options);
  const AdapterSource* begun = source_->adapter();
  if (options.kind == "none" || (options.kind == "auto" && !begun && !IsPublished(*source_))) {
    RefuseAll(options, path);
    RequireWritable(config_);
    return;  // of a model with an adapter, the two in one
  }
  config_.num_nextn_predict_layers = 0;
  AdapterFiles files;
  if (begun) {
    options_ = GoingOn(options, *begun, config_, &note_);
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
