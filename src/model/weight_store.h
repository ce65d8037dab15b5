// A model's weights for inference alone: each in the form that products read, and nothing beside
// it. Matrices stream from the files through a small buffer, on all threads; embeddings stay in the
// files, which are read where a token asks.
#pragma once

#include <functional>

#include "base/buffer.h"
#include "model/param_source.h"
#include "model/params.h"

namespace darkhorse {

class WeightStore {
 public:
  // The format of a matrix that a linear layer multiplies by; of blocks only where the source holds
  // it so. The router's is f32 whatever it says.
  using Choose = std::function<Format(const ParamSpec&)>;
  // What the source holds: its blocks as they are, 16 bits as bf16, else f32.
  static Format AsStored(const ParamSource& source, const ParamSpec& param);

  // `source` must outlive this. Error: numbers that are not finite.
  WeightStore(const ModelConfig& config, const ParamSource& source, const Choose& format);
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  const ModelWeights& model() const { return model_; }
  // Bytes in memory, without what stays in the files.
  int64_t bytes() const { return buffer_.size() * static_cast<int64_t>(sizeof(float)); }

  // The same before there is one. Allocates nothing of that size.
  static int64_t Bytes(const ModelConfig& config, const ParamSource& source, const Choose& format);
  // What attention computes in with them, which is what its cache holds (model/attention.h).
  static Format AttentionFormat(const ModelConfig& config, const ParamSource& source,
                                const Choose& format);

 private:
  ModelWeights model_;
  FloatBuffer buffer_;
};

}  // namespace darkhorse
