// Optimizers over the one list of tensors: AdamW, and Muon for the matrices with AdamW for the
// rest.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/buffer.h"
#include "model/params.h"
#include "train/options.h"

namespace darkhorse {

// Owns the moments; its state is those and the step count.
class Optimizer {
 public:
  // `format`: of Muon's products.
  Optimizer(const ParamLayout& layout, const OptimizerOptions& options,
            Format format = Format::kF32);

  // One update of `weights` from `grads` (both layout buffers) at learning_rate * lr_factor.
  // Returns the global norm of the gradient before clipping. Error if it is not finite; then
  // nothing has changed. Router biases are left alone.
  double Step(const float* grads, double lr_factor, float* weights);

  int64_t step() const { return step_; }
  void set_step(int64_t step) { step_ = step; }
  // The moments by name, for checkpoints.
  std::vector<std::pair<std::string, std::span<float>>> State();

 private:
  void MuonUpdate(const ParamInfo& param, const float* grad, float clip, double lr, float* w,
                  Arena& arena);
  void AdamUpdate(const ParamInfo& param, const float* grad, float clip, double lr, float* w);

  const ParamLayout& layout_;
  OptimizerOptions options_;
  Format format_;
  int64_t step_ = 0;
  FloatBuffer first_;          // first moment, or Muon's momentum
  FloatBuffer second_;         // second moment
  std::vector<Arena> arenas_;  // one per thread
};

// The global L2 norm of a gradient buffer. Padding and router biases hold zeros.
double GradientNorm(const ParamLayout& layout, const float* grads);

}  // namespace darkhorse
