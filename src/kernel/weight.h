// One weight of a linear layer: the matrix, the number format in which products with it are
// computed, and the forms that they read.
#pragma once

#include <cstdint>

#include "base/matrix.h"

namespace darkhorse {

enum class Format {
  kF32,   // kernel/gemm.h
  kBf16,  // kernel/gemm_bf16.h: both operands are rounded
};

struct Weight {
  Matrix w;  // [out, in]
  Format format = Format::kF32;
  // The matrix packed for x . W^T and for dy . W, in layouts of the format's own; null: a product
  // packs what it needs (kernel/linear.h).
  const void* forward = nullptr;
  const void* backward = nullptr;

  bool present() const { return w.data != nullptr; }
  int64_t out() const { return w.rows; }
  int64_t in() const { return w.cols; }
  // Some of the outputs.
  Weight Rows(int64_t begin, int64_t count) const { return {w.Rows(begin, count), format}; }
};

}  // namespace darkhorse
