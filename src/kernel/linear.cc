#include "kernel/linear.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/block_formats.h"
#include "kernel/gemm.h"
#include "kernel/gemm_bf16.h"
#include "kernel/gemm_quant.h"
#include "kernel/ops.h"
#include "kernel/quant_panels.h"

namespace darkhorse {
namespace {

Bf16Operand OperandNT(const Weight& weight) {
  const auto* tiles = static_cast<const Bf16*>(weight.forward);
  return tiles ? Bf16Operand(weight.out(), weight.in(), tiles) : Bf16Operand(weight.w);
}

Bf16Operand OperandNN(const Weight& weight) {
  const auto* tiles = static_cast<const Bf16*>(weight.backward);
  return tiles ? Bf16Operand(weight.out(), weight.in(), tiles) : Bf16Operand(weight.w);
}

QuantOperand OperandQuant(const Weight& weight) {
  CHECK(weight.forward);
  return {weight.format, weight.out(), weight.in(), weight.forward};
}

template <typename Operand>
auto Operands(std::span<const Weight> weights, const Operand& operand) {
  std::vector<decltype(operand(weights.front()))> operands;
  operands.reserve(weights.size());
  for (const Weight& weight : weights) operands.push_back(operand(weight));
  return operands;
}

}  // namespace

Weight Weight::Rows(int64_t begin, int64_t count) const {
  if (!IsBlocks(format)) return {w.Rows(begin, count), IsInteger(format) ? Format::kF32 : format};
  CHECK(begin % kQuantSide == 0);
  return {{nullptr, count, in()}, format, PanelsOf(OperandQuant(*this), begin).data};
}

void LinearForward(ConstMatrix x, const Weight& weight, Matrix y, bool accumulate) {
  if (weight.format == Format::kBf16) return Bf16GemmNT(x, OperandNT(weight), y, accumulate);
  if (IsInteger(weight.format)) return QuantGemm(x, OperandQuant(weight), y, accumulate);
  if (weight.forward)
    return GemmPacked(x, static_cast<const float*>(weight.forward), y, accumulate);
  GemmNT(x, weight.w, y, accumulate);
}

void LinearBackward(ConstMatrix dy, ConstMatrix x, const Weight& weight, Matrix dx, bool add_to_dx,
                    Matrix dw) {
  CHECK(!IsInteger(weight.format));
  if (weight.format == Format::kBf16) {
    if (dw.data) Bf16GemmTN(dy, x, dw, /*accumulate=*/true);
    if (dx.data) Bf16GemmNN(dy, OperandNN(weight), dx, add_to_dx);
  } else {
    if (dw.data) GemmTN(dy, x, dw, /*accumulate=*/true);
    if (dx.data) GemmNN(dy, weight.w, dx, add_to_dx);
  }
}

void GroupedForward(ConstMatrix x, std::span<const int64_t> row_begin,
                    std::span<const Weight> weights, Matrix y) {
  const Format format = weights.empty() ? Format::kF32 : weights.front().format;
  if (format == Format::kBf16)
    return GroupedBf16GemmNT(x, row_begin, Operands(weights, OperandNT), y);
  if (IsInteger(format)) return GroupedQuantGemm(x, row_begin, Operands(weights, OperandQuant), y);
  GroupedGemmNT(x, row_begin, weights, y);
}

void GroupedBackward(ConstMatrix dy, ConstMatrix x, std::span<const int64_t> row_begin,
                     std::span<const Weight> weights, Matrix dx, bool add_to_dx,
                     std::span<const Matrix> dw) {
  CHECK(weights.empty() || !IsInteger(weights.front().format));
  if (!weights.empty() && weights.front().format == Format::kBf16) {
    GroupedBf16GemmTN(dy, x, row_begin, dw);
    if (dx.data) GroupedBf16GemmNN(dy, row_begin, Operands(weights, OperandNN), dx, add_to_dx);
  } else {
    GroupedGemmTN(dy, x, row_begin, dw);
    if (dx.data) GroupedGemmNN(dy, row_begin, weights, dx, add_to_dx);
  }
}

void GatherRows(const Weight& weight, std::span<const int32_t> index, Matrix y) {
  if (weight.w.data) return GatherRows(weight.w, index, y);
  if (!weight.stored) return GatherBlockRows(OperandQuant(weight), index, y);
  CHECK(y.cols == weight.in() && y.rows == static_cast<int64_t>(index.size()));
  const GgmlTypeInfo& type = *weight.stored_type;
  ParallelFor(y.rows, [&](int64_t i) {
    const int64_t row = index[static_cast<size_t>(i)];
    CHECK(row >= -1 && row < weight.out());
    if (row < 0) {
      std::fill_n(y.Row(i), y.cols, 0.0f);
    } else {
      type.decode(weight.stored + row * type.BytesOf(y.cols), y.cols / type.numbers, y.Row(i));
    }
  });
}

int64_t ForwardBytes(Format format, int64_t out, int64_t in) {
  switch (format) {
    case Format::kF32:
      return PackedSize(out, in) * static_cast<int64_t>(sizeof(float));
    case Format::kBf16:
      return TilesSize(out, in) * static_cast<int64_t>(sizeof(Bf16));
    default:
      return QuantBytes(format, out, in);
  }
}

int64_t BackwardBytes(Format format, int64_t out, int64_t in) {
  return format == Format::kBf16 ? TilesSize(out, in) * static_cast<int64_t>(sizeof(Bf16)) : 0;
}

void PackForward(const Weight& weight, void* packed) {
  if (weight.format == Format::kF32) {
    PackNT(weight.w, static_cast<float*>(packed));
  } else if (weight.format == Format::kBf16) {
    RoundForNT(weight.w, static_cast<Bf16*>(packed));
  } else {
    CHECK(!IsBlocks(weight.format));
    QuantizeWeights(weight.format, weight.w, packed);
  }
}

void PackBackward(const Weight& weight, void* packed) {
  CHECK(weight.format == Format::kBf16);
  RoundForNN(weight.w, static_cast<Bf16*>(packed));
}

}  // namespace darkhorse
