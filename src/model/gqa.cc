#include "model/gqa.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "model/attention.h"

namespace darkhorse {
namespace {

// y = x . W^T + bias: the chain of sums starts from the bias.
void Project(const LinearInput& x, const Weight& w, const float* bias, Matrix y) {
  for (int64_t row = 0; bias && row < y.rows; ++row) std::copy_n(bias, y.cols, y.Row(row));
  LinearForward(x, w, y, /*accumulate=*/bias != nullptr);
}

// [T, heads*width] as one row per head, [T*heads, width].
Matrix ByHead(Matrix x, int64_t width) {
  CHECK(x.stride == x.cols);
  return {x.data, x.size() / width, width};
}

// Queries or keys: projected, normed by head where there is a norm, rotated. `in` and `inv_rms` are
// for the norm's backward pass.
struct Rotated {
  Matrix in;
  float* inv_rms;
  Matrix out;
};
Rotated ProjectAndRotate(const PassContext& pass, const LinearInput& x, const Weight& w,
                         const float* bias, const float* norm) {
  const int64_t rows = x.f32().rows, width = pass.config.head_dim, heads = w.out() / width;
  Rotated r{};
  r.out = pass.arena.NewMatrix(rows, w.out());
  if (norm) {
    r.in = pass.arena.NewMatrix(rows, w.out());
    r.inv_rms = pass.arena.Floats(rows * heads);
    Project(x, w, bias, r.in);
    RmsNormForward(ByHead(r.in, width), norm, static_cast<float>(pass.config.rms_norm_eps),
                   ByHead(r.out, width), r.inv_rms);
  } else {
    Project(x, w, bias, r.out);
  }
  RopeInPlace(r.out, 0, heads, width, pass.rope, pass.position, /*inverse=*/false);
  return r;
}

// The gradient of what was rotated -> that of what was projected, in place.
void UnrotateBackward(const PassContext& pass, Matrix d, Matrix in, const float* inv_rms,
                      const float* norm, float* dnorm) {
  const int64_t width = pass.config.head_dim;
  RopeInPlace(d, 0, d.cols / width, width, pass.rope, pass.position, /*inverse=*/true);
  if (!norm) return;
  const Matrix heads = ByHead(d, width);
  RmsNormBackward(heads, ByHead(in, width), norm, inv_rms, heads, /*add_to_dx=*/false, dnorm);
}

AttentionHeads Heads(const PassContext& pass, const GqaSaved& s) {
  const int64_t width = pass.config.head_dim;
  return {{s.q, width}, {s.k, width}, {s.v, width}, {s.heads_out, width}, s.lse};
}

}  // namespace

void GqaForward(const PassContext& pass, const GqaWeights& w, int64_t layer, ConstMatrix x,
                Matrix y, GqaSaved* saved) {
  GqaSaved local{};
  GqaSaved& s = saved ? *saved : local;
  s.heads_out = pass.arena.NewMatrix(x.rows, w.q_proj.out());
  s.lse = saved ? pass.arena.Floats(pass.config.num_attention_heads * x.rows) : nullptr;
  {
    const LinearInput in = LinearInput::Shared(x, pass.adapter_of_row);
    const Rotated q = ProjectAndRotate(pass, in, w.q_proj, w.q_bias, w.q_norm);
    const Rotated k = ProjectAndRotate(pass, in, w.k_proj, w.k_bias, w.k_norm);
    s.q_in = q.in, s.q_inv_rms = q.inv_rms, s.q = q.out;
    s.k_in = k.in, s.k_inv_rms = k.inv_rms, s.k = k.out;
    s.v = pass.arena.NewMatrix(x.rows, w.v_proj.out());
    Project(in, w.v_proj, w.v_bias, s.v);
  }
  if (pass.cache) {
    CHECK(pass.cache->format() == AttentionFormat(w.o_proj));
    AttendCache(pass, layer, Heads(pass, s));
  } else {
    AttendOwnRows(pass, pass.batch.segments, Heads(pass, s), AttentionFormat(w.o_proj));
  }
  LinearForward({s.heads_out, pass.adapter_of_row}, w.o_proj, y, /*accumulate=*/true);
  for (int64_t row = 0; w.o_bias && row < y.rows; ++row) {
    for (int64_t i = 0; i < y.cols; ++i) y.Row(row)[i] += w.o_bias[i];
  }
}

void GqaBackward(const PassContext& pass, const GqaWeights& w, const GqaSaved& s, ConstMatrix dy,
                 ConstMatrix x, Matrix dx, const GqaGradients& grads) {
  ArenaScope scope(pass.arena);
  GqaSaved d{};
  d.heads_out = pass.arena.NewMatrix(x.rows, s.heads_out.cols);
  d.q = pass.arena.NewMatrix(x.rows, s.q.cols);
  d.k = pass.arena.NewMatrix(x.rows, s.k.cols);
  d.v = pass.arena.NewMatrix(x.rows, s.v.cols);
  LinearBackward(dy, s.heads_out, w.o_proj, d.heads_out, false, grads.o_proj);
  AddColumnSums(dy, grads.o_bias);
  AttendBackward(pass, Heads(pass, s), Heads(pass, d), AttentionFormat(w.o_proj));
  UnrotateBackward(pass, d.q, s.q_in, s.q_inv_rms, w.q_norm, grads.q_norm);
  UnrotateBackward(pass, d.k, s.k_in, s.k_inv_rms, w.k_norm, grads.k_norm);
  const LinearInput in = LinearInput::Shared(x);
  LinearBackward(d.q, in, w.q_proj, dx, false, grads.q_proj);
  LinearBackward(d.k, in, w.k_proj, dx, true, grads.k_proj);
  LinearBackward(d.v, in, w.v_proj, dx, true, grads.v_proj);
  AddColumnSums(d.q, grads.q_bias);
  AddColumnSums(d.k, grads.k_bias);
  AddColumnSums(d.v, grads.v_bias);
}

}  // namespace darkhorse
