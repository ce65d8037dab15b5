#include "kernel/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {

// A parallel task is worth starting for about this many elements.
constexpr int64_t kGrain = 1 << 14;
// Sums across rows: partial sums over this many rows, added in order.
constexpr int64_t kRowChunk = 64;
constexpr int64_t kColumnChunk = 64;

void CheckSameShape(ConstMatrix a, ConstMatrix b) { CHECK(a.rows == b.rows && a.cols == b.cols); }

int64_t RowGrain(int64_t cols) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols)); }

// body(row) for each row, on all threads.
template <typename Body>
void ForRows(int64_t rows, int64_t cols, const Body& body) {
  ParallelForRange(rows, RowGrain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

float LogProbability(float logit, const SoftmaxStats& stats) {
  return static_cast<float>(static_cast<double>(logit) - static_cast<double>(stats.max) -
                            std::log(static_cast<double>(stats.sum)));
}

float Entropy(const SoftmaxStats& stats) {
  return static_cast<float>(std::log(static_cast<double>(stats.sum)) -
                            static_cast<double>(stats.weighted) / static_cast<double>(stats.sum));
}

}  // namespace

void RmsNormForward(ConstMatrix x, const float* weight, float eps, Matrix y, float* inv_rms) {
  CheckSameShape(x, y);
  const auto loop = Kernels().ops.rms_norm_forward;
  ForRows(x.rows, x.cols, [&](int64_t row) {
    const float inv = loop(x.Row(row), weight, eps, y.Row(row), x.cols);
    if (inv_rms) inv_rms[row] = inv;
  });
}

void RmsNormBackward(ConstMatrix dy, ConstMatrix x, const float* weight, const float* inv_rms,
                     Matrix dx, bool add_to_dx, float* dweight) {
  CheckSameShape(dy, x);
  CheckSameShape(dy, dx);
  const OpsLoops& ops = Kernels().ops;
  const int64_t chunks = (x.rows + kRowChunk - 1) / kRowChunk;
  std::vector<float> partial(static_cast<size_t>(chunks * x.cols));
  ParallelForRange(x.rows, kRowChunk, [&](int64_t begin, int64_t end) {
    float* sums = partial.data() + begin / kRowChunk * x.cols;
    for (int64_t row = begin; row < end; ++row) {
      ops.rms_norm_backward(dy.Row(row), x.Row(row), weight, inv_rms[row], dx.Row(row), add_to_dx,
                            sums, x.cols);
    }
  });
  for (int64_t chunk = 0; dweight && chunk < chunks; ++chunk)
    ops.add(partial.data() + chunk * x.cols, dweight, x.cols);
}

void RopeCosSin(std::span<const double> inv_freq, double mscale, RopeOrder order, int64_t begin,
                int64_t end, float* cos_sin) {
  const int64_t half = static_cast<int64_t>(inv_freq.size());
  ForRows(end - begin, half * 16, [&](int64_t i) {
    const int64_t position = begin + i;
    float* row = cos_sin + position * half * 2;
    for (int64_t j = 0; j < half; ++j) {
      const double angle = static_cast<double>(position) * inv_freq[static_cast<size_t>(j)];
      const bool halves = order == RopeOrder::kHalves;
      row[halves ? j : 2 * j] = static_cast<float>(std::cos(angle) * mscale);
      row[halves ? half + j : 2 * j + 1] = static_cast<float>(std::sin(angle) * mscale);
    }
  });
}

void RopeInPlace(Matrix x, int64_t first, int64_t heads, int64_t head_stride,
                 const RopeTable& table, const int32_t* position, bool inverse) {
  CHECK(table.dim % 2 == 0);
  CHECK(heads == 0 || first + (heads - 1) * head_stride + table.dim <= x.cols);
  const bool halves = table.order == RopeOrder::kHalves;
  const auto loop = halves ? Kernels().ops.rope_halves : Kernels().ops.rope_neighbours;
  const float sine_sign = inverse ? -1.0f : 1.0f;
  ForRows(x.rows, heads * table.dim, [&](int64_t row) {
    CHECK(position[row] >= 0 && position[row] < table.max_position);
    const float* cos_sin = table.cos_sin + position[row] * table.dim;
    for (int64_t head = 0; head < heads; ++head) {
      loop(x.Row(row) + first + head * head_stride, cos_sin, sine_sign, table.dim / 2);
    }
  });
}

void SwiGluForward(ConstMatrix gate, ConstMatrix up, Matrix y) {
  CheckSameShape(gate, up);
  CheckSameShape(gate, y);
  const auto loop = Kernels().ops.swiglu_forward;
  ForRows(y.rows, y.cols,
          [&](int64_t row) { loop(gate.Row(row), up.Row(row), y.Row(row), y.cols); });
}

void SwiGluBackward(ConstMatrix dy, ConstMatrix gate, ConstMatrix up, Matrix dgate, Matrix dup) {
  CheckSameShape(gate, up);
  CheckSameShape(gate, dy);
  CheckSameShape(gate, dgate);
  CheckSameShape(gate, dup);
  const auto loop = Kernels().ops.swiglu_backward;
  ForRows(dy.rows, dy.cols, [&](int64_t row) {
    loop(dy.Row(row), gate.Row(row), up.Row(row), dgate.Row(row), dup.Row(row), dy.cols);
  });
}

void Sigmoid(ConstMatrix x, Matrix y) {
  CheckSameShape(x, y);
  const auto loop = Kernels().ops.sigmoid;
  ForRows(x.rows, x.cols, [&](int64_t row) { loop(x.Row(row), y.Row(row), x.cols); });
}

void SoftmaxRows(ConstMatrix x, Matrix y) {
  CheckSameShape(x, y);
  const auto loop = Kernels().ops.softmax;
  ForRows(x.rows, x.cols, [&](int64_t row) { loop(x.Row(row), y.Row(row), x.cols); });
}

void LogSoftmaxRows(ConstMatrix logits, const int32_t* target, float* logp, float* entropy) {
  const auto loop = Kernels().ops.softmax_stats;
  ForRows(logits.rows, logits.cols, [&](int64_t row) {
    const float* x = logits.Row(row);
    const SoftmaxStats stats = loop(x, entropy != nullptr, logits.cols);
    CHECK(target[row] >= 0 && target[row] < logits.cols);
    logp[row] = LogProbability(x[target[row]], stats);
    if (entropy) entropy[row] = Entropy(stats);
  });
}

void LogSoftmaxBackwardRows(Matrix logits, const int32_t* target, const float* dlogp,
                            const float* dentropy, float* logp) {
  const OpsLoops& ops = Kernels().ops;
  ForRows(logits.rows, logits.cols, [&](int64_t row) {
    float* x = logits.Row(row);
    CHECK(target[row] >= 0 && target[row] < logits.cols);
    const SoftmaxStats stats = ops.softmax_stats(x, dentropy != nullptr, logits.cols);
    if (logp) logp[row] = LogProbability(x[target[row]], stats);
    const LogSoftmaxGradient gradient = {
        stats.max,
        1.0f / stats.sum,
        static_cast<float>(std::log(static_cast<double>(stats.sum))),
        dlogp[row],
        dentropy ? dentropy[row] : 0.0f,
        dentropy ? Entropy(stats) : 0.0f};
    ops.log_softmax_backward(x, gradient, logits.cols);
    x[target[row]] += dlogp[row];
  });
}

void AddColumnSums(ConstMatrix x, float* y) {
  if (!y) return;
  const auto loop = Kernels().ops.add;
  ParallelForRange(x.cols, kColumnChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < x.rows; ++row) loop(x.Row(row) + begin, y + begin, end - begin);
  });
}

void AddInPlace(ConstMatrix x, Matrix y) {
  CheckSameShape(x, y);
  const auto loop = Kernels().ops.add;
  ForRows(x.rows, x.cols, [&](int64_t row) { loop(x.Row(row), y.Row(row), x.cols); });
}

void GatherRows(ConstMatrix x, std::span<const int32_t> index, Matrix y) {
  CHECK(y.cols == x.cols && y.rows == static_cast<int64_t>(index.size()));
  const size_t bytes = static_cast<size_t>(x.cols) * sizeof(float);
  ForRows(y.rows, y.cols, [&](int64_t row) {
    const int32_t source = index[static_cast<size_t>(row)];
    CHECK(source >= -1 && source < x.rows);
    if (source < 0) {
      std::memset(y.Row(row), 0, bytes);
    } else {
      std::memcpy(y.Row(row), x.Row(source), bytes);
    }
  });
}

void CombineRows(ConstMatrix x, const int32_t* slot, const float* weight, int64_t k, Matrix y,
                 bool add_to_y) {
  CHECK(x.cols == y.cols && x.rows == y.rows * k);
  const OpsLoops& ops = Kernels().ops;
  ForRows(y.rows, k * y.cols, [&](int64_t row) {
    if (!add_to_y) std::fill(y.Row(row), y.Row(row) + y.cols, 0.0f);
    for (int64_t j = row * k; j < (row + 1) * k; ++j) {
      if (weight) {
        ops.add_scaled(weight[j], x.Row(slot[j]), y.Row(row), y.cols);
      } else {
        ops.add(x.Row(slot[j]), y.Row(row), y.cols);
      }
    }
  });
}

void CombineRowsBackward(ConstMatrix dy, ConstMatrix x, const int32_t* slot, const float* weight,
                         int64_t k, Matrix dx, float* dweight) {
  CheckSameShape(x, dx);
  CHECK(x.cols == dy.cols && x.rows == dy.rows * k);
  const auto loop = Kernels().ops.scale_and_dot;
  ParallelForRange(x.rows, 4 * RowGrain(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += 4) {
      ScaleAndDotArgs args;
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t j = std::min(first + i, end - 1);  // beyond the last: the last again
        args.weight[i] = weight[j];
        args.dy[i] = dy.Row(j / k);
        args.x[i] = x.Row(slot[j]);
        args.dx[i] = dx.Row(slot[j]);
      }
      double dot[4];
      loop(args, x.cols, dot);
      for (int64_t j = first; j < std::min(first + 4, end); ++j)
        dweight[j] = static_cast<float>(dot[j - first]);
    }
  });
}

void ScatterAddRows(ConstMatrix dy, std::span<const int32_t> token, Matrix dtable) {
  if (!dtable.data) return;
  CHECK(dy.cols == dtable.cols && dy.rows == static_cast<int64_t>(token.size()));
  for (const int32_t t : token) CHECK(t >= -1 && t < dtable.rows);
  const auto loop = Kernels().ops.add;
  // Each task owns some columns and walks all rows in order, so no two tasks meet in an element.
  ParallelForRange(dy.cols, kColumnChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < dy.rows; ++row) {
      if (token[static_cast<size_t>(row)] < 0) continue;
      loop(dy.Row(row) + begin, dtable.Row(token[static_cast<size_t>(row)]) + begin, end - begin);
    }
  });
}

double SumSquares(const float* x, int64_t n) {
  const auto loop = Kernels().ops.sum_squares;
  std::vector<double> partial(static_cast<size_t>((n + kGrain - 1) / kGrain));
  ParallelForRange(n, kGrain, [&](int64_t begin, int64_t end) {
    partial[static_cast<size_t>(begin / kGrain)] = loop(x + begin, end - begin);
  });
  double sum = 0;
  for (const double p : partial) sum += p;
  return sum;
}

void AdamWUpdate(const AdamWParams& p, const float* grad, float* w, float* m, float* v, int64_t n) {
  const auto loop = Kernels().ops.adamw;
  const AdamWStep step = {p.lr,           p.beta1,        p.beta2,        p.eps,
                          p.weight_decay, 1.0f / p.bias1, 1.0f / p.bias2, p.grad_scale};
  ParallelForRange(n, kGrain, [&](int64_t begin, int64_t end) {
    loop(step, grad + begin, w + begin, m + begin, v + begin, end - begin);
  });
}

}  // namespace darkhorse
