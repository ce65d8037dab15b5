#include "model/packed_weights.h"

#include <type_traits>

#include "base/parallel.h"
#include "kernel/linear.h"

namespace darkhorse {
namespace {

// Whether a linear layer multiplies by matrices of this kind. A tied head is the embedding's matrix
// and is listed as that.
bool IsMultipliedBy(ParamKind kind) {
  return kind == ParamKind::kMatrix || kind == ParamKind::kHead || kind == ParamKind::kRouter;
}

// Floats, of whole cache lines.
int64_t Lines(int64_t bytes) { return (bytes + 63) / 64 * 16; }

int64_t ForwardFloats(const Weight& w) { return Lines(ForwardBytes(w.format, w.out(), w.in())); }
int64_t BackwardFloats(const Weight& w, PackedWeights::Use use) {
  return use == PackedWeights::Use::kTraining ? Lines(BackwardBytes(w.format, w.out(), w.in())) : 0;
}

std::vector<Weight*> Multiplied(const ModelConfig& config, ModelWeights& model) {
  std::vector<Weight*> multiplied;
  ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
    if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
      if (IsMultipliedBy(spec.kind)) multiplied.push_back(&tensor);
    }
  });
  if (config.tie_word_embeddings) multiplied.push_back(&model.lm_head);
  return multiplied;
}

int64_t PackedFloats(const std::vector<Weight*>& multiplied, PackedWeights::Use use) {
  int64_t total = 0;
  for (const Weight* w : multiplied) total += ForwardFloats(*w) + BackwardFloats(*w, use);
  return total;
}

}  // namespace

int64_t PackedWeights::Bytes(const ModelConfig& config, Format format, Use use) {
  ModelWeights shapes = Bind(config, ParamLayout(config), nullptr, format);
  return PackedFloats(Multiplied(config, shapes), use) * static_cast<int64_t>(sizeof(float));
}

PackedWeights::PackedWeights(const ModelConfig& config, const ParamLayout& layout, float* weights,
                             Format format, Use use)
    : model_(Bind(config, layout, weights, format)) {
  const std::vector<Weight*> multiplied = Multiplied(config, model_);
  packed_ = FloatBuffer(PackedFloats(multiplied, use));
  float* next = packed_.data();
  const auto take = [&](int64_t floats) {
    void* taken = floats > 0 ? next : nullptr;
    next += floats;
    return taken;
  };
  for (Weight* w : multiplied) {
    targets_.push_back({w, take(ForwardFloats(*w)), take(BackwardFloats(*w, use))});
    w->forward = targets_.back().forward;
    w->backward = targets_.back().backward;
  }
  Repack();
}

void PackedWeights::Repack() {
  ParallelFor(static_cast<int64_t>(targets_.size()), [&](int64_t i) {
    const Target& target = targets_[static_cast<size_t>(i)];
    PackForward(*target.weight, target.forward);
    if (target.backward) PackBackward(*target.weight, target.backward);
  });
}

}  // namespace darkhorse
