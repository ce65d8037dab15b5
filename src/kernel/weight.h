// One weight of a linear layer: the matrix, the number format in which products with it are
// computed, and the forms that they read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/ggml_blocks.h"

namespace darkhorse {

enum class Format {
  kF32,   // kernel/gemm.h
  kBf16,  // kernel/gemm_bf16.h: both operands are rounded
  kQ8,    // kernel/gemm_quant.h: integers of 8 bits, for the forward pass alone
  kQ4,    // the same of 4 bits
  // The types of GGUF's tensors of these names (kernel/block_formats.h), for the forward pass
  // alone.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIq4Nl,
  kQ4K,
  kQ5K,
  kQ6K,
};

struct LowRank;

inline bool IsInteger(Format format) { return format >= Format::kQ8; }
inline bool IsBlocks(Format format) { return format >= Format::kQ4_0; }

struct Weight {
  Matrix w;  // [out, in]; without data where the forms below are all there is
  Format format = Format::kF32;
  // The matrix packed for x . W^T and for dy . W, in layouts of the format's own; null: a product
  // packs what it needs (kernel/linear.h). Of blocks it is all there is.
  const void* forward = nullptr;
  const void* backward = nullptr;

  // For lookups of rows, as of an embedding, where w has no data: the rows as a file holds them.
  const std::byte* stored = nullptr;
  const GgmlTypeInfo* stored_type = nullptr;

  // What products add to it: of these each row takes one (kernel/linear.h), the first where it says
  // nothing. Empty: nothing is added to any row. Outlive the weight.
  std::span<const LowRank> adapters = {};

  bool present() const { return w.data || forward || stored; }
  int64_t out() const { return w.rows; }
  int64_t in() const { return w.cols; }
  // Some of the outputs. q8 and q4 exist packed only, so of such a weight these are the f32 numbers
  // that it was made from; of blocks too, where there are such numbers, else `begin` is a multiple
  // of 16. Its adapters are no part of them.
  Weight Rows(int64_t begin, int64_t count) const;
};

// LoRA (Hu et al. 2021): beside a weight W that stays as it is, the product W + scale * B . A of
// few numbers, which are trained. y = x . W^T + (scale * (x . A^T)) . B^T, in this order.
struct LowRank {
  Weight a;  // [rank, in]
  Weight b;  // [out, rank]
  float scale = 1;
  // DoRA (Liu et al. 2024): the rows of W + scale * B . A have magnitudes that are trained, in the
  // place of the norms they would have, so y = gain * (all of the above), gain = magnitude / norm.
  // For gradients the norms are constants (section 4.3 there). Null: the sum as it is.
  // An adapter that has them is its weight's only one.
  const float* gain = nullptr;          // [out]
  const float* inverse_norm = nullptr;  // [out]

  // One that is absent adds nothing.
  bool present() const { return a.present(); }
};

// Where the gradient of a weight goes; what is null is not wanted.
struct WeightGradient {
  Matrix w;  // [out, in]
  Matrix a;  // of its adapter
  Matrix b;
  float* magnitude = nullptr;  // [out]
};

}  // namespace darkhorse
