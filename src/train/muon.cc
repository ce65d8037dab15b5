#include "train/muon.h"

#include <cmath>
#include <cstring>

#include "kernel/gemm.h"
#include "kernel/gemm_bf16.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

constexpr int kSteps = 5;
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

void Transpose(ConstMatrix from, Matrix to) {
  for (int64_t row = 0; row < from.rows; ++row) {
    for (int64_t col = 0; col < from.cols; ++col) to(col, row) = from(row, col);
  }
}

// X X^T, which is symmetric.
void Gram(ConstMatrix x, Format format, Matrix gram) {
  if (format == Format::kBf16) return Bf16GemmNT(x, x, gram);
  Syrk(x, gram);
}

}  // namespace

void Orthogonalise(Matrix m, Arena& arena, Format format) {
  ArenaScope scope(arena);
  // Wide, so that X X^T is the smaller product.
  const bool tall = m.rows > m.cols;
  Matrix x = tall ? arena.NewMatrix(m.cols, m.rows) : arena.NewMatrix(m.rows, m.cols);
  if (tall) {
    Transpose(m, x);
  } else {
    std::memcpy(x.data, m.data, static_cast<size_t>(m.size()) * sizeof(float));
  }
  const float scale = static_cast<float>(1 / (std::sqrt(SumSquares(x.data, x.size())) + 1e-7));
  for (int64_t i = 0; i < x.size(); ++i) x.data[i] *= scale;

  const int64_t n = x.rows;
  const Matrix gram = arena.NewMatrix(n, n);
  const Matrix poly = arena.NewMatrix(n, n);
  Matrix next = arena.NewMatrix(n, x.cols);
  for (int step = 0; step < kSteps; ++step) {
    Gram(x, format, gram);
    Gram(gram, format, poly);  // its own transpose
    for (int64_t i = 0; i < gram.size(); ++i) poly.data[i] = kB * gram.data[i] + kC * poly.data[i];
    for (int64_t i = 0; i < n; ++i) poly(i, i) += kA;  // a X + (b A + c A^2) X as one product
    if (format == Format::kBf16) {
      Bf16GemmNN(poly, x, next);
    } else {
      GemmNN(poly, x, next);
    }
    std::swap(x, next);
  }
  if (tall) {
    Transpose(x, m);
  } else {
    std::memcpy(m.data, x.data, static_cast<size_t>(m.size()) * sizeof(float));
  }
}

}  // namespace darkhorse
