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
#include "kernel/scratch.h"
#include "kernel/unpack.h"

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
  if (!IsBlocks(format) || w.data)
    return {w.Rows(begin, count), IsInteger(format) ? Format::kF32 : format};
  CHECK(begin % kQuantSide == 0);
  return {{nullptr, count, in()}, format, PanelsOf(OperandQuant(*this), begin).data};
}

namespace {

// What a shared input is rounded or quantised to.
struct SharedMemory {
  Scratch<Bf16> tiles;
  Scratch<QuantBlock> blocks;
  bool taken = false;
};
thread_local SharedMemory t_shared;

}  // namespace

LinearInput::LinearInput(ConstMatrix x, AdapterOfRow adapter_of_row, bool shared)
    : x_(x), adapter_of_row_(adapter_of_row), shared_(shared) {
  CHECK(!t_shared.taken);
  t_shared.taken = true;
}

LinearInput::~LinearInput() {
  if (shared_) t_shared.taken = false;
}

Bf16Operand LinearInput::bf16() const {
  if (!shared_) return x_;
  if (!tiles_) {
    Bf16* tiles = t_shared.tiles.Get(TilesSize(x_.rows, x_.cols));
    RoundRows(x_, tiles);
    tiles_ = tiles;
  }
  return {x_.rows, x_.cols, tiles_};
}

QuantInput LinearInput::quantized() const {
  if (shared_ && !blocks_) {
    QuantBlock* blocks = t_shared.blocks.Get(QuantBlocks(x_.rows, x_.cols));
    QuantizeRows(x_, blocks);
    blocks_ = blocks;
  }
  return {x_, blocks_};
}

namespace {

// x . W^T without the adapter.
void PlainForward(const LinearInput& x, const Weight& weight, Matrix y, bool accumulate) {
  if (weight.format == Format::kBf16) return Bf16GemmNT(x.bf16(), OperandNT(weight), y, accumulate);
  if (IsInteger(weight.format))
    return QuantGemm(x.quantized(), OperandQuant(weight), y, accumulate);
  if (weight.forward)
    return GemmPacked(x.f32(), static_cast<const float*>(weight.forward), y, accumulate);
  GemmNT(x.f32(), weight.w, y, accumulate);
}

// Whether products with W itself, not with W^T, can read it as it lies. Beside integers, w holds
// the numbers that they were made from, which are others.
bool HasNN(const Weight& weight) {
  return !IsInteger(weight.format) && (weight.w.data || weight.backward);
}

// dx (+)= dy . W, some rows of W after the other: the sum goes over them in their order, as that of
// one product does, and is as large as what several products share of it.
void UnpackedNN(ConstMatrix dy, const Weight& weight, Matrix dx, bool add_to_dx) {
  constexpr int64_t kRows = 512;
  thread_local Scratch<float> scratch;
  float* const numbers = scratch.Get(std::min(kRows, weight.out()) * weight.in());
  for (int64_t begin = 0; begin < weight.out(); begin += kRows) {
    const Matrix w(numbers, std::min(kRows, weight.out() - begin), weight.in());
    UnpackRows(weight, begin, w);
    const ConstMatrix own = dy.Cols(begin, w.rows);
    const bool add = add_to_dx || begin > 0;
    if (weight.format == Format::kF32) {
      GemmNN(own, w, dx, add);
    } else {
      Bf16GemmNN(own, ConstMatrix(w), dx, add);
    }
  }
}

void PlainBackward(ConstMatrix dy, const LinearInput& x, const Weight& weight, Matrix dx,
                   bool add_to_dx, Matrix dw) {
  CHECK(HasNN(weight) || !dw.data);
  if (dx.data && !HasNN(weight)) return UnpackedNN(dy, weight, dx, add_to_dx);
  if (weight.format == Format::kBf16) {
    if (dw.data) Bf16GemmTN(dy, x.bf16(), dw, /*accumulate=*/true);
    if (dx.data) Bf16GemmNN(dy, OperandNN(weight), dx, add_to_dx);
  } else {
    if (dw.data) GemmTN(dy, x.f32(), dw, /*accumulate=*/true);
    if (dx.data) GemmNN(dy, weight.w, dx, add_to_dx);
  }
}

void Scale(float factor, Matrix x) {
  ParallelForRange(x.rows, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < x.cols; ++j) x(i, j) *= factor;
    }
  });
}

// scale * (x . A^T), in memory of this thread's until its next.
Matrix Reduced(const LinearInput& x, const LowRank& adapter) {
  thread_local Scratch<float> scratch;
  const int64_t rows = x.f32().rows;
  const Matrix u(scratch.Get(rows * adapter.a.out()), rows, adapter.a.out());
  PlainForward(x, adapter.a, u, false);
  Scale(adapter.scale, u);
  return u;
}

void AdapterForward(const LinearInput& x, const LowRank& adapter, Matrix y) {
  if (adapter.present()) PlainForward(Reduced(x, adapter), adapter.b, y, /*accumulate=*/true);
}

// What each row's adapter adds to y: rows beside each other that take the same one, at once.
void AdaptersForward(const LinearInput& x, std::span<const LowRank> adapters, Matrix y) {
  if (adapters.empty()) return;
  const AdapterOfRow chosen = x.adapter_of_row();
  if (chosen.empty()) return AdapterForward(x, adapters.front(), y);
  CHECK(static_cast<int64_t>(chosen.size()) == y.rows);
  for (size_t begin = 0, end = 0; begin < chosen.size(); begin = end) {
    while (end < chosen.size() && chosen[end] == chosen[begin]) ++end;
    const auto which = static_cast<size_t>(chosen[begin]);
    CHECK(which < adapters.size());
    const auto first = static_cast<int64_t>(begin), rows = static_cast<int64_t>(end - begin);
    AdapterForward(x.f32().Rows(first, rows), adapters[which], y.Rows(first, rows));
  }
}

// dx += the gradient through the adapter.
void AdapterBackward(ConstMatrix dy, const LinearInput& x, const LowRank& adapter, Matrix dx,
                     const WeightGradient& dw) {
  thread_local Scratch<float> scratch;
  const int64_t rank = adapter.a.out();
  const Matrix du(scratch.Get(dy.rows * rank), dy.rows, rank);
  PlainBackward(dy, dw.b.data ? Reduced(x, adapter) : Matrix(), adapter.b, du, false, dw.b);
  Scale(adapter.scale, du);
  PlainBackward(du, x, adapter.a, dx, /*add_to_dx=*/true, dw.a);
}

// y = z * gain, or y += with `accumulate`, output by output.
void MultiplyByGain(ConstMatrix z, const float* gain, Matrix y, bool accumulate) {
  ParallelForRange(z.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = z.Row(row);
      float* to = y.Row(row);
      for (int64_t j = 0; j < z.cols; ++j)
        to[j] = accumulate ? to[j] + from[j] * gain[j] : from[j] * gain[j];
    }
  });
}

// dmagnitude[o] += the sum over rows, in order, of dy * z, divided by the norm.
void MagnitudeBackward(ConstMatrix dy, ConstMatrix z, const float* inverse_norm,
                       float* dmagnitude) {
  constexpr int64_t kAtOnce = 64;
  ParallelForRange(z.cols, kAtOnce, [&](int64_t begin, int64_t end) {
    float sum[kAtOnce] = {};
    for (int64_t row = 0; row < z.rows; ++row) {
      for (int64_t j = begin; j < end; ++j) sum[j - begin] += dy(row, j) * z(row, j);
    }
    for (int64_t j = begin; j < end; ++j) dmagnitude[j] += sum[j - begin] * inverse_norm[j];
  });
}

// What the outputs of a weight with its adapter are multiplied by; null: nothing.
const float* GainOf(const Weight& weight) {
  const float* gain = weight.adapters.empty() ? nullptr : weight.adapters.front().gain;
  CHECK(!gain || weight.adapters.size() == 1);
  return gain;
}

// Groups of rows, one after the other.
template <typename Body>
void ForEachGroup(std::span<const int64_t> row_begin, const Body& body) {
  for (size_t g = 0; g + 1 < row_begin.size(); ++g) {
    if (const int64_t rows = row_begin[g + 1] - row_begin[g]; rows > 0) body(g, row_begin[g], rows);
  }
}

Matrix RowsOf(Matrix x, int64_t begin, int64_t count) {
  return x.data ? x.Rows(begin, count) : Matrix();
}

}  // namespace

void LinearForward(const LinearInput& x, const Weight& weight, Matrix y, bool accumulate) {
  const float* gain = GainOf(weight);
  Matrix z = y;
  if (gain && accumulate) {  // what y holds is not multiplied
    thread_local Scratch<float> scratch;
    z = {scratch.Get(y.rows * y.cols), y.rows, y.cols};
  }
  PlainForward(x, weight, z, accumulate && !gain);
  AdaptersForward(x, weight.adapters, z);
  if (gain) MultiplyByGain(z, gain, y, accumulate);
}

void LinearBackward(ConstMatrix dy, const LinearInput& x, const Weight& weight, Matrix dx,
                    bool add_to_dx, const WeightGradient& dw) {
  const LowRank* adapter = weight.adapters.empty() ? nullptr : &weight.adapters.front();
  CHECK(!adapter || (weight.adapters.size() == 1 && x.adapter_of_row().empty()));
  if (adapter && adapter->gain) {
    thread_local Scratch<float> scratch;
    const Matrix z(scratch.Get(dy.rows * dy.cols), dy.rows, dy.cols);
    if (dw.magnitude) {
      PlainForward(x, weight, z, false);
      AdapterForward(x, *adapter, z);
      MagnitudeBackward(dy, z, adapter->inverse_norm, dw.magnitude);
    }
    MultiplyByGain(dy, adapter->gain, z, false);
    dy = z;
  }
  PlainBackward(dy, x, weight, dx, add_to_dx, dw.w);
  if (adapter) AdapterBackward(dy, x, *adapter, dx, dw);
}

void GroupedForward(ConstMatrix x, std::span<const int64_t> row_begin,
                    std::span<const Weight> weights, Matrix y, AdapterOfRow adapter_of_row) {
  const Format format = weights.empty() ? Format::kF32 : weights.front().format;
  if (format == Format::kBf16) {
    GroupedBf16GemmNT(x, row_begin, Operands(weights, OperandNT), y);
  } else if (IsInteger(format)) {
    GroupedQuantGemm(x, row_begin, Operands(weights, OperandQuant), y);
  } else {
    GroupedGemmNT(x, row_begin, weights, y);
  }
  ForEachGroup(row_begin, [&](size_t g, int64_t begin, int64_t rows) {
    const AdapterOfRow own =
        adapter_of_row.empty()
            ? AdapterOfRow()
            : adapter_of_row.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
    const Matrix out = y.Rows(begin, rows);
    AdaptersForward({x.Rows(begin, rows), own}, weights[g].adapters, out);
    if (const float* gain = GainOf(weights[g])) MultiplyByGain(out, gain, out, false);
  });
}

void GroupedBackward(ConstMatrix dy, ConstMatrix x, std::span<const int64_t> row_begin,
                     std::span<const Weight> weights, Matrix dx, bool add_to_dx,
                     std::span<const WeightGradient> dw) {
  if (weights.empty()) return;
  if (!weights.front().adapters.empty() || !HasNN(weights.front())) {
    ForEachGroup(row_begin, [&](size_t g, int64_t begin, int64_t rows) {
      LinearBackward(dy.Rows(begin, rows), x.Rows(begin, rows), weights[g], RowsOf(dx, begin, rows),
                     add_to_dx, dw[g]);
    });
    return;
  }
  std::vector<Matrix> wanted;
  for (const WeightGradient& gradient : dw) wanted.push_back(gradient.w);
  if (weights.front().format == Format::kBf16) {
    GroupedBf16GemmTN(dy, x, row_begin, wanted);
    if (dx.data) GroupedBf16GemmNN(dy, row_begin, Operands(weights, OperandNN), dx, add_to_dx);
  } else {
    GroupedGemmTN(dy, x, row_begin, wanted);
    if (dx.data) GroupedGemmNN(dy, row_begin, weights, dx, add_to_dx);
  }
}

void GatherRows(const Weight& weight, std::span<const int32_t> index, Matrix y) {
  if (weight.w.data) return GatherRows(weight.w, index, y);
  CHECK(weight.stored && y.cols == weight.in() && y.rows == static_cast<int64_t>(index.size()));
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
