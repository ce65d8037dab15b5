#include "model/mlp.h"

#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {

void MlpForward(const PassContext& pass, const MlpWeights& w, ConstMatrix x, Matrix y,
                MlpSaved* saved) {
  MlpSaved local;
  MlpSaved& s = saved ? *saved : local;
  const int64_t intermediate = w.gate_proj.out();
  s.gate = pass.arena.NewMatrix(x.rows, intermediate);
  s.up = pass.arena.NewMatrix(x.rows, intermediate);
  s.activated = pass.arena.NewMatrix(x.rows, intermediate);
  {
    const LinearInput in = LinearInput::Shared(x, pass.adapter_of_row);
    LinearForward(in, w.gate_proj, s.gate);
    LinearForward(in, w.up_proj, s.up);
  }
  SwiGluForward(s.gate, s.up, s.activated);
  LinearForward({s.activated, pass.adapter_of_row}, w.down_proj, y, /*accumulate=*/true);
}

void MlpBackward(const PassContext& pass, const MlpWeights& w, const MlpSaved& s, ConstMatrix dy,
                 ConstMatrix x, Matrix dx, bool add_to_dx, const MlpGradients& grads) {
  ArenaScope scope(pass.arena);
  const Matrix dactivated = pass.arena.NewMatrix(x.rows, s.gate.cols);
  const Matrix dgate = pass.arena.NewMatrix(x.rows, s.gate.cols);
  const Matrix dup = pass.arena.NewMatrix(x.rows, s.gate.cols);
  LinearBackward(dy, s.activated, w.down_proj, dactivated, false, grads.down_proj);
  SwiGluBackward(dactivated, s.gate, s.up, dgate, dup);
  const LinearInput in = LinearInput::Shared(x);
  LinearBackward(dgate, in, w.gate_proj, dx, add_to_dx, grads.gate_proj);
  LinearBackward(dup, in, w.up_proj, dx, true, grads.up_proj);
}

}  // namespace darkhorse
