// A linear layer, y = x . W^T, and its backward pass. What the layers are made of.
#pragma once

#include "base/arena.h"
#include "kernel/gemm.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/part_clock.h"
#include "model/rope.h"

namespace darkhorse {

// What every layer needs to know of the pass it takes part in.
struct PassContext {
  const ModelConfig& config;
  RopeTable rope;
  const TokenBatch& batch;
  const int32_t* position;  // [T] document position of each row
  KvCache* cache;           // null in training
  Arena& arena;             // buffers that outlive the call are the caller's to release
  PartClock* clock;         // null: nobody asks where the time goes
  int64_t rows() const { return batch.rows(); }
};

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
