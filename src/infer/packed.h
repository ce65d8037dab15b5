// A model's weights in the form that decoding reads: every matrix packed once for many products of
// few rows.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "model/params.h"

namespace darkhorse {

class PackedWeights {
 public:
  // Packs the matrices of `weights`, which must outlive this and not change without Repack.
  PackedWeights(const ModelConfig& config, const ParamLayout& layout, float* weights);
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  const ModelWeights& model() const { return model_; }
  // Packs again after the weights have changed.
  void Repack();

 private:
  struct Target {
    Weight* weight;  // of model_
    float* packed;   // in packed_
  };
  ModelWeights model_;
  std::vector<Target> targets_;  // the matrices that a linear layer multiplies by
  FloatBuffer packed_;
};

}  // namespace darkhorse
