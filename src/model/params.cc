#include "model/params.h"

#include <type_traits>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"

namespace darkhorse {
namespace {

constexpr int64_t kAlignment = 16;  // floats: one cache line

// Far above any published model.
constexpr int64_t kMaxFloats = int64_t{1} << 40;
constexpr size_t kMaxTensors = size_t{1} << 18;

}  // namespace

void ParamLayout::Add(const ParamSpec& tensor) {
  int64_t size = 1;
  for (const int64_t extent : tensor.shape) size *= extent;
  if (size > kMaxFloats - buffer_size_ || params_.size() == kMaxTensors) {
    Fail("a model of these dimensions has more than {} parameters or {} tensors; lower them",
         kMaxFloats, kMaxTensors);
  }
  params_.push_back({tensor, buffer_size_, size});
  buffer_size_ += (size + kAlignment - 1) / kAlignment * kAlignment;
}

ParamLayout::ParamLayout(const ModelConfig& config) {
  config.Validate();
  ModelGradients any;  // the list walks a model's structure; this one holds nothing
  ListTensors(config, any, [&](auto&, const ParamSpec& tensor) { Add(tensor); });
}

ParamLayout::ParamLayout(const std::vector<ParamSpec>& tensors) {
  for (const ParamSpec& tensor : tensors) Add(tensor);
}

int64_t ParamLayout::parameter_count() const {
  int64_t count = 0;
  for (const ParamInfo& param : params_) {
    if (param.kind != ParamKind::kRouterBias) count += param.size;
  }
  return count;
}

const ParamInfo* ParamLayout::Find(std::string_view name) const {
  for (const ParamInfo& param : params_) {
    if (param.name == name) return &param;
  }
  return nullptr;
}

namespace {

// Points every tensor of a model at its place in the buffer.
template <typename M>
ModelTensors<M> BindTensors(const ModelConfig& config, const ParamLayout& layout, float* buffer) {
  ModelTensors<M> model;
  auto param = layout.params().begin();
  ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
    CHECK(param != layout.params().end() && param->shape == spec.shape);
    float* data = buffer + param->offset;
    if constexpr (std::is_same_v<decltype(tensor), float*&>) {
      tensor = data;
    } else {
      tensor = M{Matrix(data, spec.shape[0], spec.shape[1])};
    }
    ++param;
  });
  CHECK(param == layout.params().end());
  if (config.tie_word_embeddings) model.lm_head = model.embed_tokens;
  return model;
}

}  // namespace

ModelWeights Bind(const ModelConfig& config, const ParamLayout& layout, float* buffer,
                  Format format) {
  ModelWeights model = BindTensors<Weight>(config, layout, buffer);
  ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
    if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
      if (spec.kind == ParamKind::kMatrix || spec.kind == ParamKind::kHead) tensor.format = format;
    }
  });
  if (config.tie_word_embeddings) model.lm_head.format = format;
  return model;
}

ModelGradients BindGradients(const ModelConfig& config, const ParamLayout& layout, float* buffer) {
  return BindTensors<WeightGradient>(config, layout, buffer);
}

void InitializeWeights(const ModelConfig& config, const ParamLayout& layout, uint64_t seed,
                       float* buffer) {
  const auto& params = layout.params();
  for (size_t tensor = 0; tensor < params.size(); ++tensor) {
    const ParamInfo& param = params[tensor];
    float* out = buffer + param.offset;
    if (param.kind == ParamKind::kNorm || param.kind == ParamKind::kBias ||
        param.kind == ParamKind::kRouterBias) {
      const float value = param.kind == ParamKind::kNorm ? 1.0f : 0.0f;
      for (int64_t i = 0; i < param.size; ++i) out[i] = value;
      continue;
    }
    ParallelForRange(param.size, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        out[i] = static_cast<float>(
            config.initializer_range *
            RandomNormal(seed, RandomStream::kInit, tensor, static_cast<uint64_t>(i)));
      }
    });
  }
}

}  // namespace darkhorse
