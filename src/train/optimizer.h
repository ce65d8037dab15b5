// Optimizers over the one list of tensors: AdamW, and Muon for the matrices with AdamW for the
// rest.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "model/params.h"
#include "train/moments.h"
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

  Format moments() const { return moments_.format(); }
  int64_t step() const { return step_; }
  void set_step(int64_t step) { step_ = step; }
  // The moments by name, for checkpoints: `visit(name, span of float or Bf16)`.
  template <typename Visit>
  void VisitState(const Visit& visit) {
    for (const auto& [name, i] : {std::pair{"first_moment", 0}, {"second_moment", 1}}) {
      if (moments_.format() == Format::kF32) {
        visit(name, moments_.floats(i));
      } else {
        visit(name, moments_.rounded(i));
      }
    }
  }

 private:
  void MuonUpdate(const ParamInfo& param, const float* grad, float clip, double lr, float* w,
                  Arena& arena);
  void AdamUpdate(const ParamInfo& param, const float* grad, float clip, double lr, float* w);

  const ParamLayout& layout_;
  OptimizerOptions options_;
  Format format_;
  int64_t step_ = 0;
  Moments moments_;            // the first of Muon's is its momentum; it has no second
  std::vector<Arena> arenas_;  // one per thread
};

// The global L2 norm of a gradient buffer. Padding and router biases hold zeros.
double GradientNorm(const ParamLayout& layout, const float* grads);

}  // namespace darkhorse
