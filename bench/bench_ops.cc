// Speed of attention and of the row operations: the best and the median of repeated calls, one line
// each. usage: bench_ops [threads]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/clock.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/attention.h"
#include "kernel/kernels.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

struct Seconds {
  double best, median;
};

template <typename Body>
Seconds Time(const Body& body) {
  std::vector<double> seconds;
  body();
  const double deadline = SteadySeconds() + 0.5;
  while (seconds.size() < 5 || SteadySeconds() < deadline) {
    const double start = SteadySeconds();
    body();
    seconds.push_back(SteadySeconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[0], seconds[seconds.size() / 2]};
}

void Report(const char* what, Seconds seconds, double amount, const char* unit) {
  fmt::print("{:44s} median {:9.1f} us {:7.1f} {}, best {:7.1f}\n", what, seconds.median * 1e6,
             amount / seconds.median * 1e-9, unit, amount / seconds.best * 1e-9);
}

std::vector<float> Normal(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    x[static_cast<size_t>(i)] = static_cast<float>(RandomNormal(1, RandomStream::kTest, i));
  }
  return x;
}

// Heads lie side by side in a row, as the projections write them.
struct AttentionData {
  AttentionData(int64_t documents_in, int64_t positions_in, int64_t heads_in, int64_t dk_in,
                int64_t dv_in)
      : documents(documents_in), positions(positions_in), heads(heads_in), dk(dk_in), dv(dv_in) {
    const int64_t tokens = documents * positions;
    q = k = dout_k = dq = dkey = Normal(tokens * heads * dk);
    v = out = dout = dvalue = Normal(tokens * heads * dv);
    lse.resize(static_cast<size_t>(tokens * heads));
    panels.resize(static_cast<size_t>(documents * heads * KeyPanelSize(positions, dk)));
  }
  Matrix Head(std::vector<float>* x, int64_t document, int64_t head, int64_t dim) const {
    return {x->data() + (document * positions * heads + head) * dim, positions, dim, heads * dim};
  }
  template <typename Body>
  void ForHeads(const Body& body) {
    for (int64_t d = 0; d < documents; ++d) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t index = d * heads + h;
        body(d, h, panels.data() + index * KeyPanelSize(positions, dk),
             lse.data() + index * positions);
      }
    }
  }
  std::vector<AttentionJob> ForwardJobs(int64_t first, int64_t count) {
    std::vector<AttentionJob> jobs;
    ForHeads([&](int64_t d, int64_t h, float* head_panels, float* head_lse) {
      WriteKeyPanels(Head(&k, d, h, dk), 0, head_panels);
      jobs.push_back({Head(&q, d, h, dk).Rows(first, count), head_panels, Head(&v, d, h, dv),
                      Head(&out, d, h, dv).Rows(first, count), head_lse + first, first});
    });
    return jobs;
  }
  std::vector<AttentionBackwardJob> BackwardJobs() {
    std::vector<AttentionBackwardJob> jobs;
    ForHeads([&](int64_t d, int64_t h, float*, float* head_lse) {
      jobs.push_back({Head(&q, d, h, dk), Head(&k, d, h, dk), Head(&v, d, h, dv),
                      Head(&out, d, h, dv), Head(&dout, d, h, dv), head_lse, Head(&dq, d, h, dk),
                      Head(&dkey, d, h, dk), Head(&dvalue, d, h, dv)});
    });
    return jobs;
  }
  int64_t documents, positions, heads, dk, dv;
  std::vector<float> q, k, v, out, dout, dout_k, lse, dq, dkey, dvalue, panels;
};

void BenchAttention() {
  AttentionData data(8, 512, 4, 96, 64);
  const double pairs = 8.0 * 4 * 512 * 513 / 2;  // visible (query, key) pairs
  const auto forward = data.ForwardJobs(0, 512);
  Report("attention forward 8x512, 4 heads, 96/64", Time([&] { AttentionForward(forward, 0.1f); }),
         pairs * 2 * (96 + 64), "GFLOP/s");
  const auto backward = data.BackwardJobs();
  Report("attention backward", Time([&] { AttentionBackward(backward, 0.1f); }),
         pairs * 2 * (3 * 96 + 2 * 64), "GFLOP/s");
  Report("key panels", Time([&] { data.ForwardJobs(0, 512); }), 2.0 * 8 * 512 * 4 * 96 * 4, "GB/s");
  for (const int64_t documents : {1, 16}) {
    AttentionData cache(documents, 4096, 4, 96, 64);
    const auto jobs = cache.ForwardJobs(4095, 1);
    Report(fmt::format("attention decode, {} x 4096 positions", documents).c_str(),
           Time([&] { AttentionForward(jobs, 0.1f); }),
           static_cast<double>(documents) * 4 * 4096 * (96 + 64) * 4, "GB/s");
  }
}

void BenchRows(int64_t rows, int64_t cols) {
  fmt::print("rows {} x {}\n", rows, cols);
  const double bytes = static_cast<double>(rows * cols) * 4;
  std::vector<float> a = Normal(rows * cols), b = a, c = a, d = a, e = a;
  const std::vector<float> weight = Normal(cols);
  std::vector<float> inv(static_cast<size_t>(rows)), entropy = inv, dweight = weight;
  const std::vector<int32_t> target(static_cast<size_t>(rows), 3);
  const auto matrix = [&](std::vector<float>& x) { return Matrix(x.data(), rows, cols); };
  Report("rms norm forward",
         Time([&] { RmsNormForward(matrix(a), weight.data(), 1e-6f, matrix(b), inv.data()); }),
         2 * bytes, "GB/s");
  Report("rms norm backward", Time([&] {
           RmsNormBackward(matrix(a), matrix(b), weight.data(), inv.data(), matrix(c), false,
                           dweight.data());
         }),
         3 * bytes, "GB/s");
  Report("swiglu forward", Time([&] { SwiGluForward(matrix(a), matrix(b), matrix(c)); }), 3 * bytes,
         "GB/s");
  Report("swiglu backward",
         Time([&] { SwiGluBackward(matrix(a), matrix(b), matrix(c), matrix(d), matrix(e)); }),
         5 * bytes, "GB/s");
  Report("log-softmax",
         Time([&] { LogSoftmaxRows(matrix(a), target.data(), inv.data(), nullptr); }), bytes,
         "GB/s");
  Report("log-softmax with entropy",
         Time([&] { LogSoftmaxRows(matrix(a), target.data(), inv.data(), entropy.data()); }), bytes,
         "GB/s");
  c = a;
  Report("log-softmax backward", Time([&] {
           LogSoftmaxBackwardRows(matrix(c), target.data(), inv.data(), entropy.data());
         }),
         2 * bytes, "GB/s");
  const AdamWParams p = {1e-6f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f, 1.0f};
  for (float& x : d) x *= x;
  Report("adamw",
         Time([&] { AdamWUpdate(p, a.data(), b.data(), c.data(), d.data(), rows * cols); }),
         7 * bytes, "GB/s");
  Report("sum of squares", Time([&] { SumSquares(a.data(), rows * cols); }), bytes, "GB/s");
  Report("add in place", Time([&] { AddInPlace(matrix(a), matrix(b)); }), 3 * bytes, "GB/s");
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) {
  if (argc > 1) darkhorse::SetNumThreads(std::max(1, std::atoi(argv[1])));
  fmt::print("{}, {} thread(s)\n", darkhorse::Kernels().name, darkhorse::NumThreads());
  darkhorse::BenchAttention();
  darkhorse::BenchRows(4096, 512);
  darkhorse::BenchRows(256, 8192);
}
