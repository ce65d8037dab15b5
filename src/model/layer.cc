#include "model/layer.h"

#include <cstring>
#include <optional>

#include "kernel/ops.h"

namespace darkhorse {
namespace {

Matrix Copy(Arena& arena, ConstMatrix x) {
  const Matrix copy = arena.NewMatrix(x.rows, x.cols);
  std::memcpy(copy.data, x.data, static_cast<size_t>(x.size()) * sizeof(float));
  return copy;
}

}  // namespace

void LayerForward(const PassContext& pass, const LayerWeights& w, int64_t layer, Matrix x,
                  LayerSaved* saved) {
  const float eps = static_cast<float>(pass.config.rms_norm_eps);
  std::optional<ArenaScope> scope;
  LayerSaved local;
  if (!saved) scope.emplace(pass.arena);
  LayerSaved& s = saved ? *saved : local;

  if (saved) s.in = Copy(pass.arena, x);
  s.in_normed = pass.arena.NewMatrix(x.rows, x.cols);
  s.in_inv_rms = pass.arena.Floats(x.rows);
  RmsNormForward(x, w.input_layernorm, eps, s.in_normed, s.in_inv_rms);
  {
    const PartTimer timer(pass.clock, Part::kAttention);
    if (pass.config.latent_attention()) {
      MlaForward(pass, w.mla, layer, s.in_normed, x, saved ? &s.mla : nullptr);
    } else {
      GqaForward(pass, w.gqa, layer, s.in_normed, x, saved ? &s.gqa : nullptr);
    }
  }

  if (saved) s.mid = Copy(pass.arena, x);
  s.mid_normed = pass.arena.NewMatrix(x.rows, x.cols);
  s.mid_inv_rms = pass.arena.Floats(x.rows);
  RmsNormForward(x, w.post_attention_layernorm, eps, s.mid_normed, s.mid_inv_rms);
  const PartTimer timer(pass.clock, w.is_moe ? Part::kExperts : Part::kDenseFeedForward);
  if (w.is_moe) {
    MoeForward(pass, w.moe, s.mid_normed, x, &s.moe);
  } else {
    MlpForward(pass, w.mlp, s.mid_normed, x, &s.mlp);
  }
}

void LayerBackward(const PassContext& pass, const LayerWeights& w, const LayerSaved& s,
                   float balance_alpha, Matrix dx, const LayerGradients& grads) {
  ArenaScope scope(pass.arena);
  const Matrix dnormed = pass.arena.NewMatrix(dx.rows, dx.cols);
  {
    const PartTimer timer(pass.clock, w.is_moe ? Part::kExperts : Part::kDenseFeedForward);
    if (w.is_moe) {
      MoeBackward(pass, w.moe, s.moe, dx, s.mid_normed, balance_alpha, dnormed, grads.moe);
    } else {
      MlpBackward(pass, w.mlp, s.mlp, dx, s.mid_normed, dnormed, /*add_to_dx=*/false, grads.mlp);
    }
  }
  RmsNormBackward(dnormed, s.mid, w.post_attention_layernorm, s.mid_inv_rms, dx, /*add_to_dx=*/true,
                  grads.post_attention_layernorm);
  {
    const PartTimer timer(pass.clock, Part::kAttention);
    if (pass.config.latent_attention()) {
      MlaBackward(pass, w.mla, s.mla, dx, s.in_normed, dnormed, grads.mla);
    } else {
      GqaBackward(pass, w.gqa, s.gqa, dx, s.in_normed, dnormed, grads.gqa);
    }
  }
  RmsNormBackward(dnormed, s.in, w.input_layernorm, s.in_inv_rms, dx, /*add_to_dx=*/true,
                  grads.input_layernorm);
}

}  // namespace darkhorse
