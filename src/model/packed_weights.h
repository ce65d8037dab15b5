// A model's weights as its products read them: every matrix in a number format, packed once for
// many products.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "model/params.h"

namespace darkhorse {

class PackedWeights {
 public:
  enum class Use { kForward, kTraining };  // kTraining: packed for input gradients too

  // Packs the matrices of `weights`, which must outlive this and not change without Repack. The
  // router's stay f32 whatever the format (Bind).
  PackedWeights(const ModelConfig& config, const ParamLayout& layout, float* weights,
                Format format = Format::kF32, Use use = Use::kForward);
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  const ModelWeights& model() const { return model_; }
  // Packs again after the weights have changed.
  void Repack();

  // Bytes of the packed matrices of a model of this config. Allocates nothing of that size.
  static int64_t Bytes(const ModelConfig& config, Format format, Use use = Use::kForward);

  int64_t bytes() const { return packed_.size() * static_cast<int64_t>(sizeof(float)); }

 private:
  struct Target {
    const Weight* weight;  // of model_
    void* forward;         // in packed_
    void* backward;        // null: the format has none, or it is not wanted
  };
  ModelWeights model_;
  std::vector<Target> targets_;  // the matrices that a linear layer multiplies by
  FloatBuffer packed_;
};

}  // namespace darkhorse
