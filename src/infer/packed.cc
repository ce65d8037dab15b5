#include "infer/packed.h"

#include <vector>

#include "base/parallel.h"

namespace darkhorse {

PackedWeights::PackedWeights(const ModelConfig& config, const ParamLayout& layout, float* weights)
    : model_(Bind(config, layout, weights)) {
  int64_t total = 0;
  ForEachWeight(model_,
                [&](const Weight& weight) { total += PackedSize(weight.w.rows, weight.w.cols); });
  packed_ = FloatBuffer(total);
  int64_t offset = 0;
  ForEachWeight(model_, [&](Weight& weight) {
    weight.packed = packed_.data() + offset;
    offset += PackedSize(weight.w.rows, weight.w.cols);
  });
  Repack();
}

void PackedWeights::Repack() {
  std::vector<Weight> weights;
  ForEachWeight(model_, [&](const Weight& weight) { weights.push_back(weight); });
  ParallelFor(static_cast<int64_t>(weights.size()), [&](int64_t i) {
    const Weight& weight = weights[static_cast<size_t>(i)];
    // packed points into packed_, which is ours to write.
    PackNT(weight.w, packed_.data() + (weight.packed - packed_.data()));
  });
}

}  // namespace darkhorse
