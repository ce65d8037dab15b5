#include "kernel/definitions_testing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernel/bf16.h"
#include "kernel/denormals.h"
#include "kernel/f16.h"
#include "kernel/gemm_quant.h"
#include "kernel/kernels.h"

namespace darkhorse {

void GemmReference(ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed, Matrix c,
                   bool accumulate) {
  const int64_t depth = a_transposed ? a.rows : a.cols;
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) {
      float sum = accumulate ? c(i, j) : 0.0f;
      for (int64_t k = 0; k < depth; ++k) {
        sum = std::fma(a_transposed ? a(k, i) : a(i, k), b_transposed ? b(j, k) : b(k, j), sum);
      }
      c(i, j) = sum;
    }
  }
}

namespace {

// Not inlined, so that what it computes stays within the caller's FlushDenormals.
[[gnu::noinline]] float Bf16Element(const std::vector<float>& a, const std::vector<float>& b,
                                    float c) {
  for (size_t begin = 0; begin < a.size(); begin += 32) {
    float even = 0, odd = 0;
    for (size_t k = begin; k < begin + 32; k += 2) {
      even = std::fma(a[k], b[k], even);
      odd = std::fma(a[k + 1], b[k + 1], odd);
    }
    c = c + (even + odd);
  }
  return c;
}

}  // namespace

void Bf16GemmReference(ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed, Matrix c,
                       bool accumulate) {
  const int64_t depth = a_transposed ? a.rows : a.cols;
  std::vector<float> x(static_cast<size_t>((depth + 31) / 32 * 32)), y(x);
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) {
      for (int64_t k = 0; k < depth; ++k) {
        x[static_cast<size_t>(k)] = ToFloat(RoundToBf16(a_transposed ? a(k, i) : a(i, k)));
        y[static_cast<size_t>(k)] = ToFloat(RoundToBf16(b_transposed ? b(j, k) : b(k, j)));
      }
      const FlushDenormals flush;
      c(i, j) = Bf16Element(x, y, accumulate ? c(i, j) : 0.0f);
    }
  }
}

namespace {

float Exp(float x) {
  float y;
  Kernels().ops.exp(&x, &y, 1);
  return y;
}

float LogSumExp(float max, float sum) {
  return static_cast<float>(static_cast<double>(max) + std::log(static_cast<double>(sum)));
}

// Sixteen partial sums, halved.
float SumOf(float sums[16]) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

std::vector<float> PaddedBlock(ConstMatrix x, int64_t row, int64_t begin) {
  std::vector<float> block(static_cast<size_t>(kQuantBlock), 0.0f);
  for (int64_t k = begin; k < std::min(begin + kQuantBlock, x.cols); ++k)
    block[static_cast<size_t>(k - begin)] = x(row, k);
  return block;
}

// Infinity where one of them is a NaN.
float Greatest(const std::vector<float>& x) {
  float greatest = 0;
  for (const float v : x)
    greatest = std::isfinite(v) ? std::max(greatest, std::fabs(v))
                                : std::numeric_limits<float>::infinity();
  return greatest;
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Quantised ActivationBlock(const std::vector<float>& x) {
  const float a = Greatest(x);
  if (!std::isfinite(a)) return {kNan, 0, std::vector<int>(x.size())};
  Quantised block{0, 0, std::vector<int>(x.size())};
  if (a < 0x1p-100f) return block;
  block.scale = a / 127;
  for (size_t k = 0; k < x.size(); ++k)
    block.q[k] = static_cast<int>(std::nearbyint(x[k] * (127 / a)));
  return block;
}

Quantised WeightBlock(Format format, const std::vector<float>& w) {
  const bool q4 = format == Format::kQ4;
  const float a = Greatest(w);
  const float least = q4 ? ToFloat(RoundToF16(*std::min_element(w.begin(), w.end()))) : 0;
  const float range = q4 ? *std::max_element(w.begin(), w.end()) - least : a;
  const float scale = ToFloat(RoundToF16(range / (q4 ? 15.0f : 127.0f)));
  Quantised block{scale, least, std::vector<int>(w.size())};
  if (!std::isfinite(a) || !std::isfinite(scale) || !std::isfinite(least)) {
    block.scale = kNan;
    return block;
  }
  for (size_t k = 0; k < w.size() && scale > 0; ++k) {
    const float q = std::nearbyint((w[k] - least) / scale);
    block.q[k] = static_cast<int>(std::min(std::max(q, q4 ? 0.0f : -127.0f), q4 ? 15.0f : 127.0f));
  }
  return block;
}

template <typename Quantise>
std::vector<float> QuantisedNumbers(ConstMatrix x, const Quantise& quantise) {
  std::vector<float> numbers;
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t k = 0; k < x.cols; k += kQuantBlock) {
      const Quantised block = quantise(PaddedBlock(x, row, k));
      for (int64_t i = k; i < std::min(k + kQuantBlock, x.cols); ++i)
        numbers.push_back(block.Number(static_cast<size_t>(i - k)));
    }
  }
  return numbers;
}

}  // namespace

Quantised QuantisedBlock(ConstMatrix x, int64_t row, int64_t begin) {
  return ActivationBlock(PaddedBlock(x, row, begin));
}

std::vector<float> QuantisedActivations(ConstMatrix x) {
  return QuantisedNumbers(x, ActivationBlock);
}

std::vector<float> QuantisedWeights(Format format, ConstMatrix w) {
  return QuantisedNumbers(
      w, [format](const std::vector<float>& block) { return WeightBlock(format, block); });
}

void QuantGemmReference(Format format, ConstMatrix x, ConstMatrix w, Matrix c, bool accumulate) {
  if (!accumulate) {
    for (int64_t i = 0; i < c.rows; ++i) std::fill_n(c.Row(i), c.cols, 0.0f);
  }
  for (int64_t k = 0; k < x.cols; k += kQuantBlock) {
    std::vector<Quantised> rows, columns;
    for (int64_t i = 0; i < c.rows; ++i) rows.push_back(ActivationBlock(PaddedBlock(x, i, k)));
    for (int64_t j = 0; j < c.cols; ++j)
      columns.push_back(WeightBlock(format, PaddedBlock(w, j, k)));
    for (int64_t i = 0; i < c.rows; ++i) {
      const Quantised& a = rows[static_cast<size_t>(i)];
      int sum = 0;
      for (const int q : a.q) sum += q;
      for (int64_t j = 0; j < c.cols; ++j) {
        const Quantised& b = columns[static_cast<size_t>(j)];
        int dot = 0;
        for (size_t n = 0; n < a.q.size(); ++n) dot += a.q[n] * b.q[n];
        c(i, j) = std::fma(static_cast<float>(dot), a.scale * b.scale, c(i, j));
        if (format == Format::kQ4)
          c(i, j) = std::fma(b.least, a.scale * static_cast<float>(sum), c(i, j));
      }
    }
  }
}

void AttentionReference(const AttentionJob& job, ConstMatrix keys, float scale) {
  for (int64_t row = 0; row < job.q.rows; ++row) {
    const int64_t position = job.position + row;
    float max = -std::numeric_limits<float>::infinity();
    float sums[16] = {};
    std::vector<float> acc(static_cast<size_t>(job.v.cols), 0.0f);
    for (int64_t begin = 0; begin <= position; begin += kKeyBlock) {
      const int64_t end = std::min(begin + kKeyBlock, position + 1);
      float p[kKeyBlock];
      float new_max = max;
      for (int64_t j = begin; j < end; ++j) {
        float dot = 0;
        for (int64_t d = 0; d < job.q.cols; ++d) dot = std::fma(job.q(row, d), keys(j, d), dot);
        p[j - begin] = dot * scale;
        new_max = std::max(new_max, p[j - begin]);
      }
      const float rescale = Exp(max - new_max);
      max = new_max;
      for (float& sum : sums) sum *= rescale;
      for (float& a : acc) a *= rescale;
      for (int64_t j = begin; j < end; ++j) {
        p[j - begin] = Exp(p[j - begin] - max);
        sums[j % 16] += p[j - begin];
        for (int64_t c = 0; c < job.v.cols; ++c) {
          acc[static_cast<size_t>(c)] =
              std::fma(p[j - begin], job.v(j, c), acc[static_cast<size_t>(c)]);
        }
      }
    }
    const float sum = SumOf(sums);
    for (int64_t c = 0; c < job.v.cols; ++c)
      job.out(row, c) = acc[static_cast<size_t>(c)] / sum + 0.0f;
    if (job.lse) job.lse[row] = LogSumExp(max, sum);
  }
}

namespace {

// Not inlined, as Bf16Element. acc += P . V over one block: p[64], rows of V beyond the last are
// zero.
[[gnu::noinline]] void AttendBlock(const float* scores, int64_t visible, float scale, int64_t begin,
                                   ConstMatrix v, float& max, float* sums,
                                   std::vector<float>& acc) {
  float s[kKeyBlock];
  float new_max = max;
  for (int64_t j = 0; j < visible; ++j) {
    s[j] = scores[j] * scale;
    new_max = std::max(new_max, s[j]);
  }
  const float rescale = Exp(max - new_max);
  max = new_max;
  for (int i = 0; i < 16; ++i) sums[i] *= rescale;
  std::vector<float> p(kKeyBlock), column(kKeyBlock);
  for (int64_t j = 0; j < visible; ++j) {
    const float e = Exp(s[j] - max);
    sums[j % 16] += e;
    p[static_cast<size_t>(j)] = ToFloat(RoundToBf16(e));
  }
  for (int64_t c = 0; c < v.cols; ++c) {
    float& a = acc[static_cast<size_t>(c)];
    for (int64_t j = 0; j < kKeyBlock; ++j) {
      column[static_cast<size_t>(j)] = j < visible ? ToFloat(RoundToBf16(v(begin + j, c))) : 0.0f;
    }
    a *= rescale;
    a = Bf16Element(p, column, a);
  }
}

[[gnu::noinline]] void FinishRow(const std::vector<float>& acc, float sum, float* out) {
  for (size_t c = 0; c < acc.size(); ++c) out[c] = acc[c] / sum + 0.0f;
}

// P and dS of one row, in place of its scores and dP.
[[gnu::noinline]] void ProbabilityRow(float scale, float lse, float dot, int64_t visible,
                                      float* scores, float* dp) {
  for (int64_t j = 0; j < visible; ++j) {
    const float p = Exp(scores[j] * scale - lse);
    dp[j] = p * (dp[j] - dot) * scale;
    scores[j] = p;
  }
}

}  // namespace

void Bf16AttentionReference(ConstMatrix q, ConstMatrix k, ConstMatrix v, float scale, Matrix out,
                            float* lse) {
  const FlushDenormals flush;
  std::vector<float> scores(static_cast<size_t>(q.rows * q.rows));
  Bf16GemmReference(q, false, k, true, Matrix(scores.data(), q.rows, q.rows), false);
  for (int64_t row = 0; row < q.rows; ++row) {
    float max = -std::numeric_limits<float>::infinity();
    float sums[16] = {};
    std::vector<float> acc(static_cast<size_t>(v.cols));
    for (int64_t begin = 0; begin <= row; begin += kKeyBlock) {
      AttendBlock(scores.data() + row * q.rows + begin, std::min(kKeyBlock, row + 1 - begin), scale,
                  begin, v, max, sums, acc);
    }
    const float sum = SumOf(sums);
    FinishRow(acc, sum, out.Row(row));
    lse[row] = LogSumExp(max, sum);
  }
}

void Bf16AttentionBackwardReference(const AttentionBackwardJob& job, float scale) {
  const FlushDenormals flush;
  const int64_t n = job.q.rows, first = job.k_before.rows, all = first + n;
  std::vector<float> p_of(static_cast<size_t>(n * all)), ds_of(p_of);
  const Matrix p(p_of.data(), n, all), ds(ds_of.data(), n, all);
  const auto joined = [&](ConstMatrix before, ConstMatrix own, std::vector<float>& to) {
    for (const ConstMatrix& part : {before, own}) {
      for (int64_t row = 0; row < part.rows; ++row)
        to.insert(to.end(), part.Row(row), part.Row(row) + part.cols);
    }
    return ConstMatrix(to.data(), all, own.cols);
  };
  std::vector<float> k_of, v_of;
  const ConstMatrix k = joined(job.k_before, job.k, k_of), v = joined(job.v_before, job.v, v_of);
  Bf16GemmReference(job.q, false, k, true, p, false);
  Bf16GemmReference(job.dout, false, v, true, ds, false);
  for (int64_t row = 0; row < n; ++row) {
    const float dot = Kernels().ops.dot(job.dout.Row(row), job.out.Row(row), job.v.cols);
    const int64_t visible = first + row + 1;
    ProbabilityRow(scale, job.lse[row], dot, visible, p.Row(row), ds.Row(row));
    for (int64_t j = visible; j < all; ++j) p(row, j) = ds(row, j) = 0;
  }
  Bf16GemmReference(ds, false, k, false, job.dq, false);
  Bf16GemmReference(ds, true, job.q, false, job.dk, false);
  Bf16GemmReference(p, true, job.dout, false, job.dv, false);
}

}  // namespace darkhorse
