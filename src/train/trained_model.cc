#include "train/trained_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "checkpoint/adapter_folder.h"
#include "checkpoint/model_source.h"
#include "checkpoint/run_directory.h"
#include "model/cost.h"

namespace darkhorse {

namespace {

bool IsFinite(float x) { return std::isfinite(x); }
bool IsFinite(Bf16 x) { return std::isfinite(ToFloat(x)); }

template <typename T>
void RequireFinite(std::string_view what, std::span<T> values, int64_t step) {
  std::atomic<bool> finite{true};
  ParallelForRange(static_cast<int64_t>(values.size()), 1 << 16, [&](int64_t begin, int64_t end) {
    if (!std::all_of(values.data() + begin, values.data() + end, [](T x) { return IsFinite(x); })) {
      finite = false;
    }
  });
  if (finite) return;
  Fail(
      "{} are not all finite after step {}, so they are not saved; start another run with a lower "
      "optimizer.learning_rate (the checkpoints so far are untouched)",
      what, step);
}

bool SameTensors(const ParamLayout& a, const ParamLayout& b) {
  return std::ranges::equal(a.params(), b.params(), [](const ParamInfo& x, const ParamInfo& y) {
    return x.name == y.name && x.shape == y.shape;
  });
}

constexpr char kSmallerBeside[] = "choose a smaller teacher";

std::string Beside(const TrainingNeed& need) {
  return need.beside > 0 ? fmt::format(", beside a teacher of {}", FormatBytes(need.beside)) : "";
}

}  // namespace

void RequireTrainingMemory(const ModelConfig& config, const TrainingNeed& need) {
  const ModelCost cost(config);
  const double rotations = RopeCache::Bytes(config, need.micro_batch_tokens);
  double state = 4 * static_cast<double>(cost.WeightBytes());
  double activations = 0;
  if (state < 1e15) {  // the estimate counts in integers, which this keeps small
    const TrainingMemory memory =
        cost.Training(need.micro_batch_tokens, need.format, need.activations, need.moments);
    state = static_cast<double>(memory.weights + memory.gradients + memory.moments + memory.packed +
                                need.copies * memory.weights);
    activations = static_cast<double>(memory.activations);
  }
  // What takes most is what is worth lowering.
  std::string cure = "lower micro_batch_tokens";
  if (state > activations || state > static_cast<double>(PhysicalMemoryBytes())) {
    cure = config.n_routed_experts > 0
               ? "lower vocab_size, hidden_size, num_hidden_layers, n_routed_experts or "
                 "moe_intermediate_size"
               : "lower vocab_size, hidden_size, num_hidden_layers or intermediate_size";
    if (need.moments == Format::kF32) cure = "set optimizer.moments to bf16, or " + cure;
  }
  if (need.beside > state + activations) cure = kSmallerBeside;
  RequireMemory(state + activations + rotations + need.beside,
                fmt::format("training a model of {} parameters, in micro-batches of {} tokens{},",
                            FormatCount(static_cast<double>(cost.parameters())),
                            need.micro_batch_tokens, Beside(need)),
                cure);
}

void RequireAdapterMemory(const ModelConfig& config, const ParamLayout& adapter, int64_t base_bytes,
                          const TrainingNeed& need) {
  const ModelCost cost(config);
  const int64_t copies = 2 + need.copies;  // values, gradients
  const double trained = static_cast<double>(copies * adapter.buffer_size()) * sizeof(float) +
                         static_cast<double>(Moments::Bytes(adapter.buffer_size(), need.moments)) +
                         static_cast<double>(AdaptedWeights::Bytes(adapter, need.format));
  auto activations = static_cast<double>(
      cost.Training(need.micro_batch_tokens, Format::kF32, need.activations).activations);
  // With DoRA a layer's product, forward and backward, before it is multiplied (kernel/linear.cc).
  int64_t widest = 0;
  for (const ParamInfo& param : adapter.params()) {
    if (param.shape.size() == 1) widest = std::max(widest, param.size);
  }
  activations += 2 * static_cast<double>(widest * need.micro_batch_tokens) * sizeof(float);
  const auto base = static_cast<double>(base_bytes);
  std::string cure = "set adapter.weights to q8 or q4, or choose a smaller model";
  if (activations > base) cure = "lower micro_batch_tokens";
  if (need.beside > std::max(activations, base)) cure = kSmallerBeside;
  RequireMemory(
      base + trained + activations + RopeCache::Bytes(config, need.micro_batch_tokens) +
          need.beside,
      fmt::format("training an adapter of {} parameters of a model of {}, in micro-batches of {} "
                  "tokens{},",
                  FormatCount(static_cast<double>(adapter.parameter_count())),
                  FormatCount(static_cast<double>(cost.parameters())), need.micro_batch_tokens,
                  Beside(need)),
      cure);
}

TrainedBytes BytesOfAllWeights(const ModelCost& cost, Format format, Format moments) {
  const TrainingMemory memory = cost.Training(1, format, Activations::kKept, moments);
  return {memory.weights, memory.moments, memory.packed + cost.PackedBytes(format)};
}

TrainedModel::TrainedModel(const ModelConfig& config, const OptimizerOptions& optimizer,
                           Format format, Activations activations)
    : format_(format),
      activations_(activations),
      model_(config, activations),
      layout_(config),
      weights_(layout_.buffer_size()),
      grads_(layout_.buffer_size()),
      bound_weights_(Bind(config, layout_, weights_.data())),
      bound_grads_(BindGradients(config, layout_, grads_.data())),
      optimizer_(layout_, optimizer, format) {
  if (format != Format::kF32)
    packed_.emplace(config, layout_, weights_.data(), format, PackedWeights::Use::kTraining);
}

TrainedModel::TrainedModel(const ModelConfig& config, const OptimizerOptions& optimizer,
                           Format format, Activations activations, AdapterTraining adapter)
    : format_(format),
      activations_(activations),
      model_(config, activations),
      source_(std::move(adapter.source)),
      base_(std::in_place, config, *source_, adapter.weights),
      scale_(adapter.scale),
      layout_(std::move(adapter.layout)),
      weights_(layout_.buffer_size()),
      grads_(layout_.buffer_size()),
      adapted_(std::in_place, config, base_->model(), layout_, scale_, weights_.data(), format),
      bound_grads_(BindAdapterGradients(config, layout_, grads_.data())),
      optimizer_(layout_, optimizer, format) {}

TrainedBytes TrainedModel::bytes() const {
  const Format moments = optimizer_.moments();
  if (!base_) return BytesOfAllWeights(model_.cost(), format_, moments);
  return {layout_.buffer_size() * static_cast<int64_t>(sizeof(float)),
          Moments::Bytes(layout_.buffer_size(), moments),
          base_->bytes() + AdaptedWeights::Bytes(layout_, format_)};
}

const ModelWeights& TrainedModel::bound_weights() {
  if (stale_ && packed_) packed_->Repack();
  if (stale_ && adapted_) adapted_->Repack();
  stale_ = false;
  if (adapted_) return adapted_->model();
  return packed_ ? packed_->model() : bound_weights_;
}

const ModelWeights& TrainedModel::WithValues(float* values) {
  if (base_) {
    other_adapted_.emplace(config(), base_->model(), layout_, scale_, values, format_);
    return other_adapted_->model();
  }
  other_weights_ = Bind(config(), layout_, values, format_);
  return other_weights_;
}

void TrainedModel::Initialize(uint64_t seed) {
  if (base_) {
    InitializeAdapter(layout_, seed, mutable_weights());
    return adapted_->InitializeMagnitudes();
  }
  InitializeWeights(config(), layout_, seed, mutable_weights());
}

void TrainedModel::ZeroGradients() { std::fill(grads_.begin(), grads_.end(), 0.0f); }

std::string TrainedModel::Save(const std::string& run, int64_t keep, const ModelFiles& files,
                               const std::string& json, int64_t step) {
  // A checkpoint that cannot be loaded must not stand before, or crowd out, one that can.
  RequireFinite("the weights", std::span<float>(weights_), step);
  TrainerState state;
  state.step = step;
  state.json = json;
  optimizer_.VisitState([&]<typename T>(const char* name, std::span<T> values) {
    RequireFinite("the optimizer's moments", values, step);
    if constexpr (std::is_same_v<T, float>) {
      state.tensors.emplace_back(name, values);
    } else {
      state.rounded.emplace_back(name, values);
    }
  });
  for (const auto& [name, values] : extra_state_) state.tensors.emplace_back(name, values);
  return PublishStep(run, keep, config(), layout_, weights_.data(), files, state);
}

std::string TrainedModel::Load(const std::string& directory) {
  const auto require = [&](bool same) {
    if (!same)
      Fail("{}: its model is not the recipe's; resume with the recipe the run was started with",
           directory);
  };
  const std::unique_ptr<const ModelSource> source = OpenModel(directory);
  const SavedTrainerState saved(directory);
  if (base_) {
    require(source->adapter() && SameTensors(source->adapter()->layout(), layout_));
    source->adapter()->ReadValues(mutable_weights());
  } else {
    require(!source->adapter() && source->config() == config());
    ReadWeights(*source, layout_, mutable_weights());
  }
  optimizer_.VisitState([&](const char* name, auto values) { saved.Read(name, values); });
  for (const auto& [name, values] : extra_state_) saved.Read(name, values);
  optimizer_.set_step(saved.step());
  return saved.json();
}

}  // namespace darkhorse
