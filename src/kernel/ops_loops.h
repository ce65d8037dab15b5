// The row operations and attention tiles of one instruction set, as function pointers. Each is
// single-threaded and knows nothing of matrices or threads: n is the length of a row or range.
// ops.h and attention.h are the interface to call; they add threads and shapes, and hold the
// formulas.
#pragma once

#include <cstdint>

#include "kernel/bf16_loops.h"

namespace darkhorse {

// The statistics of one row of logits that log-softmax and its gradient need.
struct SoftmaxStats {
  float max;       // m = max x
  float sum;       // s = sum exp(x - m)
  float weighted;  // sum exp(x - m) * (x - m), where asked for: entropy = log s - weighted / s
};

// What d(loss)/d(logit) = -p * (dlogp + dentropy * (log p + entropy)) is computed from, for every
// logit but the target's.
struct LogSoftmaxGradient {
  float max, inv_sum, log_sum;
  float dlogp;     // d(loss)/d(log p[target])
  float dentropy;  // d(loss)/d(entropy)
  float entropy;
};

struct AdamWStep {
  float lr, beta1, beta2, eps, weight_decay, inv_bias1, inv_bias2, grad_scale;
};

// Up to kQueryBlock query rows against all keys up to each row's own position.
struct AttentionForwardArgs {
  const float* q;
  int64_t q_stride;
  const float* key_panels;
  const float* v;
  int64_t v_stride;
  float* out;
  int64_t out_stride;
  float* max;  // [queries] the final running maximum and sum of each row: lse = max + log(sum)
  float* sum;
  int64_t queries;
  int64_t position;       // of the first query
  int64_t position_step;  // from one to the next: 1, or 0
  int64_t key_dim, value_dim;
  float scale;
  float* scratch;  // AttentionForwardScratch floats
};

// One head of the positions of one document from `first` on, operands laid out for the tiles.
// Those of queries, dout and out among them, begin with that position, those of keys and values
// with 0. "Panels" are key panels (attention.h); "strips" hold 16 columns each, element (t, c) at
// ((c/16) * padded + t) * 16 + c%16, zero beyond the last row and column.
struct AttentionBackwardArgs {
  const float* q;
  int64_t q_stride;
  const float* dout;
  int64_t dout_stride;
  const float* out;
  int64_t out_stride;
  const float* k_panels;
  const float* v_panels;
  const float* q_strips;
  const float* k_strips;
  const float* dout_strips;
  const float* lse;
  float* dq;
  int64_t dq_stride;
  float* dk;
  int64_t dk_stride;
  float* dv;
  int64_t dv_stride;
  int64_t first, positions;      // of the first query; of all keys
  int64_t padded, query_padded;  // rows of strips of keys and of queries: multiples of 16
  int64_t key_dim, value_dim;
  float scale;
  float* row_dot;  // [positions - first] scratch
};

// The running softmax of up to kBf16QueryBlock query rows over one block of keys
// (attention_bf16.h).
struct SoftmaxBlockArgs {
  float* scores;  // [rows][kKeyBlock] q.k, used up
  int64_t rows;
  int64_t visible;  // keys of the block that the first row sees; each next one sees
  int64_t step;     // so many more: 0 or 1
  float scale;
  float* max;  // [rows] running
  float* sum;  // [rows][16] partial sums
  float* acc;  // [rows][acc_stride] of value_dim each, brought to the new maximum
  int64_t acc_stride, value_dim;
  Bf16* p;  // [rows][kKeyBlock] exp(score - max), rounded, as left tiles (bf16_loops.h)
  float* rescale = nullptr;  // not null: [rows] what acc is to be multiplied by, and is not here
};

// P and dS of up to kKeyBlock query rows against one block of keys.
struct ProbabilityBlockArgs {
  float* scores;  // [rows][kKeyBlock] q.k, used up
  float* dp;      // [rows][kKeyBlock] dout.v, used up
  int64_t rows;
  int64_t visible, keys;  // as above with a step of 1, but never more than `keys`
  float scale;
  const float* lse;      // [rows]
  const float* row_dot;  // [rows] dout.out
  Bf16* p;               // exp(scale * score - lse) as left tiles of kKeyBlock rows, zero beyond
  Bf16* ds;              // scale * P * (dp - row_dot) likewise
};

struct ScaleAndDotArgs {
  float weight[4];
  const float* dy[4];
  const float* x[4];
  float* dx[4];
};

inline constexpr int64_t kKeyBlock = 64;        // positions per block of the running softmax
inline constexpr int64_t kQueryBlock = 48;      // a multiple of the tile's 6 rows
inline constexpr int64_t kBf16QueryBlock = 64;  // of the matrix unit's 32

// Partial sums and accumulators of the queries, and one key block's v in strips of 16 columns.
constexpr int64_t AttentionForwardScratch(int64_t queries, int64_t value_dim) {
  const int64_t padded = (value_dim + 15) / 16 * 16;
  return queries * (16 + padded) + kKeyBlock * padded;
}

struct OpsLoops {
  void (*exp)(const float* x, float* y, int64_t n);
  void (*sigmoid)(const float* x, float* y, int64_t n);
  // Returns 1 / sqrt(mean(x^2) + eps).
  float (*rms_norm_forward)(const float* x, const float* weight, float eps, float* y, int64_t n);
  // dx = or += …; dweight += dy * x * inv_rms.
  void (*rms_norm_backward)(const float* dy, const float* x, const float* weight, float inv_rms,
                            float* dx, bool add_to_dx, float* dweight, int64_t n);
  // `pairs` neighbours rotated by (cos, sin) pairs, or the two halves of x by `pairs` cos, then as
  // many sin; sine_sign = -1 rotates back.
  void (*rope_neighbours)(float* x, const float* cos_sin, float sine_sign, int64_t pairs);
  void (*rope_halves)(float* x, const float* cos_sin, float sine_sign, int64_t pairs);
  void (*swiglu_forward)(const float* gate, const float* up, float* y, int64_t n);
  void (*swiglu_backward)(const float* dy, const float* gate, const float* up, float* dgate,
                          float* dup, int64_t n);
  void (*softmax)(const float* x, float* y, int64_t n);
  SoftmaxStats (*softmax_stats)(const float* x, bool weighted, int64_t n);
  // logits -> dlogits, all but the target's own +dlogp.
  void (*log_softmax_backward)(float* logits, const LogSoftmaxGradient& gradient, int64_t n);
  void (*add)(const float* x, float* y, int64_t n);
  // y += weight * x, product and sum rounded each.
  void (*add_scaled)(float weight, const float* x, float* y, int64_t n);
  // Four rows at once: dx = weight * dy; returns in `dot` the products dy . x, elements in order.
  void (*scale_and_dot)(const ScaleAndDotArgs& args, int64_t n, double dot[4]);
  double (*sum_squares)(const float* x, int64_t n);
  void (*adamw)(const AdamWStep& step, const float* grad, float* w, float* m, float* v, int64_t n);
  void (*attention_forward)(const AttentionForwardArgs& args);
  void (*attention_backward)(const AttentionBackwardArgs& args);
  float (*dot)(const float* a, const float* b, int64_t n);
  // out = acc / s + 0, s = the sum of the 16 partial `sums`, which is returned.
  float (*finish_row)(const float* acc, const float* sums, float* out, int64_t value_dim);
  void (*softmax_block)(const SoftmaxBlockArgs& args);
  void (*probability_block)(const ProbabilityBlockArgs& args);
};

}  // namespace darkhorse
