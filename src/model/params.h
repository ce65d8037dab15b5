// The model's parameters as flat float buffers: weights, gradients and optimizer moments share one
// layout, which follows the list of tensors (model/tensors.h). Names are Hugging Face's, so import
// and export are the identity.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/tensors.h"

namespace darkhorse {

struct ParamInfo : ParamSpec {
  int64_t offset;  // floats from the start of the buffer; a multiple of 16
  int64_t size;    // floats
};

class ParamLayout {
 public:
  // Lists the tensors of a config in file order. Error: a config that is not valid, or so large
  // that it must be a mistake or an attack; sizes are computed without overflow.
  explicit ParamLayout(const ModelConfig& config);
  // Of tensors that are no whole model's, in their order. Error as above.
  explicit ParamLayout(const std::vector<ParamSpec>& tensors);
  const std::vector<ParamInfo>& params() const { return params_; }
  // Floats in a buffer of this layout, padding included. Padding is zero and stays zero.
  int64_t buffer_size() const { return buffer_size_; }
  int64_t parameter_count() const;                     // without padding and without router biases
  const ParamInfo* Find(std::string_view name) const;  // nullptr if absent

 private:
  void Add(const ParamSpec& tensor);
  std::vector<ParamInfo> params_;
  int64_t buffer_size_ = 0;
};

// The buffer (layout.buffer_size() floats) seen as a model, and a gradient buffer as its gradients,
// all of them wanted. `format` is what linear layers compute in, but for the router, whose choices
// f32 keeps stable (DeepSeek-V3 section 3.3 keeps it, too).
ModelWeights Bind(const ModelConfig& config, const ParamLayout& layout, float* buffer,
                  Format format = Format::kF32);
ModelGradients BindGradients(const ModelConfig& config, const ParamLayout& layout, float* buffer);

// Draws the initial weights: matrices, embeddings, head and router from N(0, initializer_range);
// norms 1, biases 0. Element i of tensor t is a pure function of (seed, t, i).
void InitializeWeights(const ModelConfig& config, const ParamLayout& layout, uint64_t seed,
                       float* buffer);

}  // namespace darkhorse
