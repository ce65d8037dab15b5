#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/ops.h"
#include "train/muon.h"

namespace darkhorse {
namespace {

constexpr int64_t kRoundedAtOnce = 1 << 14;  // numbers of one thread

}  // namespace

Optimizer::Optimizer(const ParamLayout& layout, const OptimizerOptions& options, Format format)
    : layout_(layout),
      options_(options),
      format_(format),
      moments_(layout.buffer_size(), FormatOf(options.moments)),
      arenas_(static_cast<size_t>(NumThreads())) {
  Validate(options);
}

void Optimizer::MuonUpdate(const ParamInfo& param, const float* grad, float clip, double lr,
                           float* w, Arena& arena) {
  ArenaScope scope(arena);
  const float momentum = static_cast<float>(options_.muon_momentum);
  const Matrix update = arena.NewMatrix(param.shape[0], param.shape[1]);
  moments_.Update(param.offset, param.size, step_,
                  [&](int64_t offset, int64_t n, float* m, float*) {
                    const float* g = grad + offset;
                    for (int64_t i = 0; i < n; ++i) {
                      m[i] = momentum * m[i] + clip * g[i];
                      update.data[offset + i] = clip * g[i] + momentum * m[i];  // Nesterov
                    }
                  });
  Orthogonalise(update, arena, format_);
  // An orthogonal [A,B] has root mean square 1/sqrt(max(A,B)); 0.2 is AdamW's typical one, so both
  // can share learning rate and decay (Moonlight, Liu et al. 2025, section 2.2).
  const float rms = 0.2f * std::sqrt(static_cast<float>(std::max(param.shape[0], param.shape[1])));
  const float step = static_cast<float>(lr) * rms;
  const float keep = static_cast<float>(1 - lr * options_.weight_decay);
  for (int64_t i = 0; i < param.size; ++i) w[i] = keep * w[i] - step * update.data[i];
}

void Optimizer::AdamUpdate(const ParamInfo& param, const float* grad, float clip, double lr,
                           float* w) {
  const bool decays = param.kind != ParamKind::kNorm && param.kind != ParamKind::kBias &&
                      param.kind != ParamKind::kRouter;
  const double count = static_cast<double>(step_);
  const AdamWParams p{static_cast<float>(lr),
                      static_cast<float>(options_.beta1),
                      static_cast<float>(options_.beta2),
                      static_cast<float>(options_.epsilon),
                      decays ? static_cast<float>(options_.weight_decay) : 0.0f,
                      static_cast<float>(1 - std::pow(options_.beta1, count)),
                      static_cast<float>(1 - std::pow(options_.beta2, count)),
                      clip};
  const auto update = [&](int64_t begin, int64_t size) {
    moments_.Update(param.offset + begin, size, step_,
                    [&](int64_t offset, int64_t n, float* m, float* v) {
                      AdamWUpdate(p, grad + begin + offset, w + begin + offset, m, v, n);
                    });
  };
  // In f32 the update has its own threads; what rounds has more to do than it.
  if (moments_.format() == Format::kF32) return update(0, param.size);
  ParallelForRange(param.size, kRoundedAtOnce,
                   [&](int64_t begin, int64_t end) { update(begin, end - begin); });
}

double Optimizer::Step(const float* grads, double lr_factor, float* weights) {
  const double norm = GradientNorm(layout_, grads);
  if (!std::isfinite(norm)) {
    Fail(
        "the gradient is not finite (norm {}) at step {}; start another run with a lower learning "
        "rate (the checkpoints so far are untouched)",
        norm, step_ + 1);
  }
  ++step_;
  const double lr = options_.learning_rate * lr_factor;
  const double max_norm = options_.max_grad_norm;
  const float clip = max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
  std::vector<const ParamInfo*> matrices;
  for (const ParamInfo& param : layout_.params()) {
    if (param.kind == ParamKind::kRouterBias) continue;
    if (options_.optimizer == "muon" && param.kind == ParamKind::kMatrix) {
      matrices.push_back(&param);
    } else {
      AdamUpdate(param, grads + param.offset, clip, lr, weights + param.offset);
    }
  }
  // Whole matrices in parallel: a small product on one core beats one shared by two.
  if (arenas_.size() < static_cast<size_t>(NumThreads()))
    arenas_ = std::vector<Arena>(static_cast<size_t>(NumThreads()));
  ParallelFor(static_cast<int64_t>(matrices.size()), [&](int64_t i) {
    const ParamInfo& param = *matrices[static_cast<size_t>(i)];
    MuonUpdate(param, grads + param.offset, clip, lr, weights + param.offset,
               arenas_[static_cast<size_t>(ThreadIndex())]);
  });
  return norm;
}

double GradientNorm(const ParamLayout& layout, const float* grads) {
  return std::sqrt(SumSquares(grads, layout.buffer_size()));
}

}  // namespace darkhorse
