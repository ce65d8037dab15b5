#include "kernel/definitions_testing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernel/bf16.h"
#include "kernel/denormals.h"
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

void AttentionReference(const AttentionJob& job, ConstMatrix keys, float scale) {
  const auto exp = [loop = Kernels().ops.exp](float x) {
    float y;
    loop(&x, &y, 1);
    return y;
  };
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
      const float rescale = exp(max - new_max);
      max = new_max;
      for (float& sum : sums) sum *= rescale;
      for (float& a : acc) a *= rescale;
      for (int64_t j = begin; j < end; ++j) {
        p[j - begin] = exp(p[j - begin] - max);
        sums[j % 16] += p[j - begin];
        for (int64_t c = 0; c < job.v.cols; ++c) {
          acc[static_cast<size_t>(c)] =
              std::fma(p[j - begin], job.v(j, c), acc[static_cast<size_t>(c)]);
        }
      }
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    for (int64_t c = 0; c < job.v.cols; ++c)
      job.out(row, c) = acc[static_cast<size_t>(c)] / sums[0] + 0.0f;
    if (job.lse)
      job.lse[row] =
          static_cast<float>(static_cast<double>(max) + std::log(static_cast<double>(sums[0])));
  }
}

}  // namespace darkhorse
