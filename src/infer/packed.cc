#include "infer/packed.h"

#include <type_traits>

#include "base/parallel.h"

namespace darkhorse {
namespace {

// Whether a linear layer multiplies by matrices of this kind. A tied head is the embedding's matrix
// and is listed as that.
bool IsMultipliedBy(ParamKind kind) {
  return kind == ParamKind::kMatrix || kind == ParamKind::kHead || kind == ParamKind::kRouter;
}

}  // namespace

PackedWeights::PackedWeights(const ModelConfig& config, const ParamLayout& layout, float* weights)
    : model_(Bind(config, layout, weights)) {
  std::vector<Weight*> multiplied;
  ListTensors(config, model_, [&](auto& tensor, const ParamSpec& spec) {
    if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
      if (IsMultipliedBy(spec.kind)) multiplied.push_back(&tensor);
    }
  });
  if (config.tie_word_embeddings) multiplied.push_back(&model_.lm_head);
  int64_t total = 0;
  for (const Weight* weight : multiplied) total += PackedSize(weight->out(), weight->in());
  packed_ = FloatBuffer(total);
  float* next = packed_.data();
  for (Weight* weight : multiplied) {
    targets_.push_back({weight, next});
    weight->packed = next;
    next += PackedSize(weight->out(), weight->in());
  }
  Repack();
}

void PackedWeights::Repack() {
  ParallelFor(static_cast<int64_t>(targets_.size()), [&](int64_t i) {
    const Target& target = targets_[static_cast<size_t>(i)];
    PackNT(target.weight->w, target.packed);
  });
}

}  // namespace darkhorse
