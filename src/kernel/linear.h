// A linear layer, y = x . W^T, and its backward pass, whatever the weight's format, with its
// adapter where it has one: what the layers are made of. Of gradients, what is null is not wanted.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernel/gemm_bf16.h"
#include "kernel/gemm_quant.h"
#include "kernel/weight.h"

namespace darkhorse {

// [T] which of a weight's adapters each row takes; empty: all of them the first.
using AdapterOfRow = std::span<const int32_t>;

// x[T,in] of a linear layer.
class LinearInput {
 public:
  template <std::convertible_to<ConstMatrix> M>
  LinearInput(const M& x, AdapterOfRow adapter_of_row = {})
      : x_(x), adapter_of_row_(adapter_of_row) {}
  // Of several layers: rounded or quantised once for all of them, by the first that needs it so.
  // The memory is the thread's, so it may have one such input at a time.
  static LinearInput Shared(ConstMatrix x, AdapterOfRow adapter_of_row = {}) {
    return LinearInput(x, adapter_of_row, true);
  }
  ~LinearInput();
  LinearInput(const LinearInput&) = delete;
  LinearInput& operator=(const LinearInput&) = delete;

  ConstMatrix f32() const { return x_; }
  AdapterOfRow adapter_of_row() const { return adapter_of_row_; }
  Bf16Operand bf16() const;
  QuantInput quantized() const;

 private:
  LinearInput(ConstMatrix x, AdapterOfRow adapter_of_row, bool shared);

  const ConstMatrix x_;
  const AdapterOfRow adapter_of_row_;
  const bool shared_ = false;
  mutable const Bf16* tiles_ = nullptr;
  mutable const QuantBlock* blocks_ = nullptr;
};

// y[T,out] = x . W^T, or y += with `accumulate` (the chain of sums then starts from y: a residual
// connection).
void LinearForward(const LinearInput& x, const Weight& weight, Matrix y, bool accumulate = false);

// dW += dy^T . x; dx = dy . W, or dx += with add_to_dx. A weight that exists packed only is frozen:
// dW is null, and dx is the product with its numbers (kernel/unpack.h), of integers a bf16 product.
// Rows may not choose adapters: there is one at most, which is trained.
void LinearBackward(ConstMatrix dy, const LinearInput& x, const Weight& weight, Matrix dx,
                    bool add_to_dx, const WeightGradient& dw);

// The same of one weight per group (mixture of experts): group g owns rows row_begin[g] ...
// row_begin[g+1] - 1. All weights have one format.
void GroupedForward(ConstMatrix x, std::span<const int64_t> row_begin,
                    std::span<const Weight> weights, Matrix y, AdapterOfRow adapter_of_row = {});
void GroupedBackward(ConstMatrix dy, ConstMatrix x, std::span<const int64_t> row_begin,
                     std::span<const Weight> weights, Matrix dx, bool add_to_dx,
                     std::span<const WeightGradient> dw);

// Bytes of the packed forms of a weight of this shape; 0: the format has none.
int64_t ForwardBytes(Format format, int64_t out, int64_t in);
int64_t BackwardBytes(Format format, int64_t out, int64_t in);
// Write them to 64-byte aligned memory. Weights in block formats come from files
// (kernel/block_formats.h).
void PackForward(const Weight& weight, void* packed);
void PackBackward(const Weight& weight, void* packed);

// y[i] = row index[i] of the matrix, as f32 (an embedding, which is never packed); index -1 gives a
// zero row.
void GatherRows(const Weight& weight, std::span<const int32_t> index, Matrix y);

}  // namespace darkhorse
