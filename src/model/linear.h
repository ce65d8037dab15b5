// A linear layer, y = x . W^T, and its backward pass. What the layers are made of.
#pragma once

#include "kernel/gemm.h"

namespace darkhorse {

// y[T,out] = x[T,in] . W^T, or y += with `accumulate` (the chain of sums then starts from y: a
// residual connection).
inline void LinearForward(ConstMatrix x, const Weight& weight, Matrix y, bool accumulate = false) {
  if (weight.packed) {
    GemmPacked(x, weight.packed, y, accumulate);
  } else {
    GemmNT(x, weight.w, y, accumulate);
  }
}

// dW += dy^T . x; dx = dy . W, or dx += with add_to_dx. Of dW and dx, what is null is not wanted.
inline void LinearBackward(ConstMatrix dy, ConstMatrix x, const Weight& weight, Matrix dx,
                           bool add_to_dx, Matrix dw) {
  if (dw.data) GemmTN(dy, x, dw, /*accumulate=*/true);
  if (dx.data) GemmNN(dy, weight.w, dx, add_to_dx);
}

}  // namespace darkhorse
