// Our matrix products beside oneDNN's, alternating, medians. bench_gemm [name filter] [rounds]
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "kernel/gemm.h"
#include "kernel/gemm_bf16.h"
#include "kernel/gemm_quant.h"
#include "kernel/kernels.h"
#include "kernel/peak.h"

namespace darkhorse {
namespace {

double Seconds(const std::function<void()>& body) {
  const double start = SteadySeconds();
  body();
  return SteadySeconds() - start;
}

double Median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + x.size() / 2, x.end());
  return x[x.size() / 2];
}

struct Result {
  double ours, theirs;  // seconds a call
};

// libgomp's threads spin for milliseconds after a loop: let the cores fall idle, then wake one's
// own threads.
void Settle(const std::function<void()>& body) {
  std::this_thread::sleep_for(std::chrono::milliseconds(8));
  body();
}

// Alternates the two, each round long enough to time; the first round warms up and is dropped.
Result Race(int rounds, const std::function<void()>& ours, const std::function<void()>& theirs) {
  ours();
  theirs();
  const double once = std::max(Seconds(ours), 1e-7);
  const int repeat = std::max(1, static_cast<int>(0.01 / once));
  std::vector<double> a, b;
  for (int round = 0; round <= rounds; ++round) {
    Settle(ours);
    const double x = Seconds([&] {
      for (int i = 0; i < repeat; ++i) ours();
    });
    Settle(theirs);
    const double y = Seconds([&] {
      for (int i = 0; i < repeat; ++i) theirs();
    });
    if (round == 0) continue;
    a.push_back(x / repeat);
    b.push_back(y / repeat);
  }
  return {Median(a), Median(b)};
}

// In huge pages, as the program's weights and activations are.
FloatBuffer Random(int64_t n) {
  FloatBuffer x(n);
  uint32_t state = 1;
  for (float& v : x) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return x;
}

// The same numbers in bf16, in their order.
FloatBuffer Rounded(const FloatBuffer& x) {
  FloatBuffer memory((x.size() + 1) / 2);
  auto* rounded = reinterpret_cast<Bf16*>(memory.data());
  for (int64_t i = 0; i < x.size(); ++i) rounded[i] = RoundToBf16(x.data()[i]);
  return memory;
}

// A oneDNN matmul primitive for row-major C[m,n] = A . B with transposed operands as strides.
class OneDnn {
 public:
  OneDnn(int64_t m, int64_t n, int64_t k, bool a_t, bool b_t, void* a, void* b, float* c,
         bool accumulate, dnnl::memory::data_type type = dnnl::memory::data_type::f32)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using Memory = dnnl::memory;
    const auto kF32 = Memory::data_type::f32;
    const Memory::desc da({m, k}, type, a_t ? Memory::dims{1, m} : Memory::dims{k, 1});
    const Memory::desc db({k, n}, type, b_t ? Memory::dims{1, k} : Memory::dims{n, 1});
    const Memory::desc dc({m, n}, kF32, Memory::dims{n, 1});
    dnnl::primitive_attr attributes;
    if (accumulate) {
      dnnl::post_ops post;
      post.append_sum(1.0f);
      attributes.set_post_ops(post);
    }
    const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(da, db, dc), attributes, engine_);
    matmul_ = dnnl::matmul(desc);
    arguments_ = {{DNNL_ARG_SRC, Memory(da, engine_, a)},
                  {DNNL_ARG_WEIGHTS, Memory(db, engine_, b)},
                  {DNNL_ARG_DST, Memory(dc, engine_, c)}};
  }
  void operator()() {
    matmul_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul matmul_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// Multiply-adds from registers on all threads, operations a second.
double MeasurePeakBf16() {
  const Bf16Loops& loops = Kernels().bf16;
  constexpr int64_t kRounds = 20000;
  std::vector<float> sink(static_cast<size_t>(NumThreads()));
  double best = 1e30;
  for (int trial = 0; trial < 9; ++trial) {
    best = std::min(best, Seconds([&] {
                      ParallelFor(NumThreads(), [&](int64_t i) { sink[i] = loops.probe(kRounds); });
                    }));
  }
  return 2.0 * static_cast<double>(kRounds * loops.probe_width * NumThreads()) / best;
}

// The least time to read `in` and to write, or to read and write, `out` on all threads, from
// wherever they lie after the time before.
double MemorySeconds(std::span<const std::span<const float>> in, std::span<float> out,
                     bool accumulate) {
  const int64_t threads = NumThreads();
  std::vector<double> sink(static_cast<size_t>(threads));
  const auto pass = [&](int64_t thread) {
    double total = 0;
    const auto share = [&](auto x) {
      const size_t begin = x.size() * static_cast<size_t>(thread) / static_cast<size_t>(threads);
      const size_t end = x.size() * static_cast<size_t>(thread + 1) / static_cast<size_t>(threads);
      return x.subspan(begin, end - begin);
    };
    for (const std::span<const float> x : in) {
      uint64_t sums[8] = {};
      const std::span<const float> part = share(x);
      for (size_t i = 0; i + 16 <= part.size(); i += 16) {
        uint64_t words[8];
        std::memcpy(words, part.data() + i, sizeof(words));
        for (int j = 0; j < 8; ++j) sums[j] += words[j];
      }
      for (const uint64_t sum : sums) total += static_cast<double>(sum);
    }
    const std::span<float> part = share(out);
    if (accumulate) {
      for (float& x : part) x += 1.0f;
    } else {
      std::fill(part.begin(), part.end(), static_cast<float>(total));
    }
    sink[static_cast<size_t>(thread)] = total;
  };
  double best = 1e30;
  for (int trial = 0; trial < 9; ++trial)
    best = std::min(best, Seconds([&] { ParallelFor(threads, pass); }));
  return best;
}

void Print(const std::string& name, double flops, const Result& r, double least) {
  fmt::print("{:<38} {:8.1f} {:8.1f} {:7.3f} {:8.1f} {:5.2f}", name, flops / r.ours * 1e-9,
             flops / r.theirs * 1e-9, r.theirs / r.ours, flops / least * 1e-9, least / r.ours);
}

void PrintMean(const char* what, const std::vector<double>& ratios) {
  double logs = 0;
  for (const double r : ratios) logs += std::log(r);
  fmt::print("{}: geometric mean {:.3f}\n", what,
             std::exp(logs / static_cast<double>(ratios.size())));
}

double Flops(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

struct Bench {
  std::string filter;
  int rounds;
  double peak = 1e9 * MeasurePeakGflops(NumThreads());  // operations a second
  double peak_bf16 = MeasurePeakBf16();
  std::vector<double> ratios;
  std::vector<double> shares;  // of the roofline
  std::vector<double> f32;     // our f32 product's time, in those of bf16

  // `least`: what the roofline says that it takes, in seconds. `in_f32`: ours in f32, where that is
  // another.
  void Record(const std::string& name, double flops, double least,
              const std::function<void()>& ours, const std::function<void()>& theirs,
              const std::function<void()>& in_f32 = {}) {
    const Result r = Race(rounds, ours, theirs);
    ratios.push_back(r.theirs / r.ours);
    shares.push_back(least / r.ours);
    Print(name, flops, r, least);
    if (in_f32) {
      f32.push_back(Race(rounds, ours, in_f32).theirs / r.ours);
      fmt::print(" {:7.3f}", f32.back());
    }
    fmt::print("\n");
    std::fflush(stdout);
  }

  bool Wanted(const std::string& name) const { return name.find(filter) != std::string::npos; }

  void One(const std::string& set, const std::string& form, int64_t m, int64_t n, int64_t k) {
    const std::string name = fmt::format("{} {} {}x{}x{}", set, form, m, n, k);
    if (!Wanted(name)) return;
    FloatBuffer a = Random(m * k), b = Random(n * k), c = Random(m * n), d = Random(m * n);
    const bool a_t = form == "TN";
    const bool b_t = form == "NT" || form == "packed";
    OneDnn theirs(m, n, k, a_t, b_t, a.data(), b.data(), d.data(), a_t);
    const ConstMatrix va(a.data(), a_t ? k : m, a_t ? m : k);
    const ConstMatrix vb(b.data(), b_t ? n : k, b_t ? k : n);
    const Matrix vc(c.data(), m, n);
    std::vector<float> packed(form == "packed" ? static_cast<size_t>(PackedSize(n, k)) : 0);
    if (form == "packed") PackNT(vb, packed.data());
    const double flops = Flops(m, n, k);
    const std::span<const float> in[] = {a, b};
    Record(
        name, flops, std::max(flops / peak, MemorySeconds(in, c, a_t)),
        [&] {
          if (form == "NT") GemmNT(va, vb, vc);
          if (form == "NN") GemmNN(va, vb, vc);
          if (form == "TN") GemmTN(va, vb, vc, true);
          if (form == "packed") GemmPacked(va, packed.data(), vc);
        },
        [&] { theirs(); });
  }

  // bf16 as linear layers use it: weights lie in tiles, activations and gradients are rounded from
  // f32 by the product, and nothing beforehand. oneDNN gets plain bf16 on both sides, rounded
  // beforehand.
  void OneBf16(const std::string& set, const std::string& form, int64_t m, int64_t n, int64_t k) {
    const std::string name = fmt::format("{} bf16 {} {}x{}x{}", set, form, m, n, k);
    if (!Wanted(name)) return;
    FloatBuffer a = Random(m * k), b = Random(n * k), c = Random(m * n), d = Random(m * n);
    const bool a_t = form == "TN";
    const bool b_t = form == "NT";
    FloatBuffer a16 = Rounded(a), b16 = Rounded(b);
    OneDnn theirs(m, n, k, a_t, b_t, a16.data(), b16.data(), d.data(), a_t,
                  dnnl::memory::data_type::bf16);
    const ConstMatrix va(a.data(), a_t ? k : m, a_t ? m : k);
    const ConstMatrix vb(b.data(), b_t ? n : k, b_t ? k : n);
    const Matrix vc(c.data(), m, n);
    FloatBuffer memory(TilesSize(vb.rows, vb.cols) / 2);
    auto* tiles = reinterpret_cast<Bf16*>(memory.data());
    if (!a_t) (b_t ? RoundForNT : RoundForNN)(vb, tiles);
    const Bf16Operand weights(vb.rows, vb.cols, tiles);
    FloatBuffer panels(b_t ? PackedSize(n, k) : 0);
    if (b_t) PackNT(vb, panels.data());
    const double flops = Flops(m, n, k);
    const std::span<const float> in[] = {a, a_t ? b : memory};
    Record(
        name, flops, std::max(flops / peak_bf16, MemorySeconds(in, c, a_t)),
        [&] {
          if (form == "NT") Bf16GemmNT(va, weights, vc);
          if (form == "NN") Bf16GemmNN(va, weights, vc);
          if (form == "TN") Bf16GemmTN(va, vb, vc, true);
        },
        [&] { theirs(); },
        [&] {
          if (form == "NT") GemmPacked(va, panels.data(), vc);
          if (form == "NN") GemmNN(va, vb, vc);
          if (form == "TN") GemmTN(va, vb, vc, true);
        });
  }

  // Integer weights as decoding and prompts use them: activations are quantised from f32. oneDNN
  // gets bytes on both sides, quantised beforehand, and no scales.
  void OneQuant(const std::string& set, Format format, int64_t m, int64_t n, int64_t k) {
    const std::string name =
        fmt::format("{} {} {}x{}x{}", set, format == Format::kQ8 ? "q8" : "q4", m, n, k);
    if (!Wanted(name)) return;
    FloatBuffer a = Random(m * k), c = Random(m * n), d = Random(m * n);
    std::vector<int8_t> a8(static_cast<size_t>(m * k), 1), b8(static_cast<size_t>(n * k), 1);
    OneDnn theirs(m, n, k, false, true, a8.data(), b8.data(), d.data(), false,
                  dnnl::memory::data_type::s8);
    const int64_t bytes = QuantBytes(format, n, k);
    FloatBuffer packed(bytes / 4);
    {
      const FloatBuffer b = Random(n * k);
      QuantizeWeights(format, ConstMatrix(b.data(), n, k), packed.data());
    }
    const double flops = Flops(m, n, k);
    const std::span<const float> in[] = {a, packed};
    const double least = MemorySeconds(in, c, false);  // of reading alone
    const Result r = Race(
        rounds,
        [&] {
          QuantGemm(ConstMatrix(a.data(), m, k), {format, n, k, packed.data()},
                    Matrix(c.data(), m, n));
        },
        [&] { theirs(); });
    ratios.push_back(r.theirs / r.ours);
    shares.push_back(least / r.ours);
    Print(fmt::format("{} {:.1f} GB/s", name, static_cast<double>(bytes) / r.ours * 1e-9), flops, r,
          least);
    fmt::print("\n");
  }

  // Experts of unequal size; oneDNN runs them one after the other.
  void Grouped(const std::string& set, const std::string& form, int64_t rows, int64_t groups,
               int64_t n, int64_t k) {
    const std::string name =
        fmt::format("{} grouped {} {}/{} {}x{}", set, form, rows, groups, n, k);
    if (!Wanted(name)) return;
    std::vector<int64_t> begin = {0};
    for (int64_t g = 1; g <= groups; ++g) {
      // Sizes from half to one and a half times the mean.
      const double x = static_cast<double>(g) / static_cast<double>(groups);
      begin.push_back(static_cast<int64_t>(static_cast<double>(rows) * (0.5 * x + 0.5 * x * x)));
    }
    // NT: C[rows,n] = A[rows,k] W[n,k]^T. NN: C[rows,k] = A[rows,n] W. TN: W += A[rows,n]^T
    // B[rows,k].
    FloatBuffer x = Random(rows * k), y = Random(rows * n), w = Random(groups * n * k);
    FloatBuffer v = Random(groups * n * k);
    std::vector<float> packed(static_cast<size_t>(groups * PackedSize(n, k)));
    std::vector<Weight> weights;
    std::vector<Matrix> gradients;
    std::vector<OneDnn> theirs;
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = begin[static_cast<size_t>(g)];
      const int64_t m = begin[static_cast<size_t>(g) + 1] - first;
      float* wg = w.data() + g * n * k;
      weights.push_back({Matrix(wg, n, k)});
      gradients.push_back(weights.back().w);
      if (form == "packed") {
        float* pg = packed.data() + g * PackedSize(n, k);
        PackNT(weights.back().w, pg);
        weights.back().forward = pg;
      }
      if (m == 0) continue;
      float* xg = x.data() + first * k;
      float* yg = y.data() + first * n;
      float* vg = v.data() + g * n * k;
      if (form == "NT" || form == "packed")
        theirs.emplace_back(m, n, k, false, true, xg, wg, yg, false);
      if (form == "NN") theirs.emplace_back(m, k, n, false, false, yg, wg, xg, false);
      if (form == "TN") theirs.emplace_back(n, k, m, true, false, yg, xg, vg, true);
    }
    const Matrix vx(x.data(), rows, k);
    const Matrix vy(y.data(), rows, n);
    const double flops = Flops(rows, n, k);
    const std::span<const float> in[] = {form == "NT" || form == "packed" ? x : y,
                                         form == "TN" ? x : w};
    const std::span<float> out = form == "TN" ? w : form == "NN" ? x : y;
    Record(
        name, flops, std::max(flops / peak, MemorySeconds(in, out, form == "TN")),
        [&] {
          if (form == "NT" || form == "packed") GroupedGemmNT(vx, begin, weights, vy);
          if (form == "NN") GroupedGemmNN(vy, begin, weights, vx);
          if (form == "TN") GroupedGemmTN(vy, vx, begin, gradients);
        },
        [&] {
          for (OneDnn& one : theirs) one();
        });
  }
};

int Main(int argc, char** argv) {
  omp_set_num_threads(NumThreads());  // oneDNN's
  Bench bench{argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : 7};
  fmt::print(
      "{} kernels, {} threads, medians of {}; GFLOP/s, peak {:.0f} in f32, {:.0f} in bf16\n"
      "{:<38} {:>8} {:>8} {:>7} {:>8} {:>5} {:>7}\n",
      Kernels().name, NumThreads(), bench.rounds, bench.peak * 1e-9, bench.peak_bf16 * 1e-9,
      "M x N x K", "ours", "oneDNN", "ratio", "roofline", "share", "to f32");
  for (const char* form : {"NT", "NN", "TN"}) {
    for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{2048, 512, 512},
                                                                     {1024, 512, 512},
                                                                     {512, 512, 512},
                                                                     {512, 2048, 512},
                                                                     {512, 512, 2048},
                                                                     {256, 512, 512},
                                                                     {256, 256, 256},
                                                                     {128, 512, 512},
                                                                     {128, 256, 256},
                                                                     {64, 512, 512},
                                                                     {64, 256, 256}}) {
      bench.One("table", form, m, n, k);
      bench.OneBf16("table", form, m, n, k);
    }
  }
  // Linear layers of tokens [T, in] to [T, out]: forward, input gradient, weight gradient.
  const auto layer = [&](const char* set, int64_t tokens, int64_t out, int64_t in) {
    bench.One(set, "NT", tokens, out, in);
    bench.One(set, "NN", tokens, in, out);
    bench.One(set, "TN", out, in, tokens);
    bench.OneBf16(set, "NT", tokens, out, in);
    bench.OneBf16(set, "NN", tokens, in, out);
    bench.OneBf16(set, "TN", out, in, tokens);
  };
  for (const int64_t tokens : {16384, 4096, 512}) {
    for (const auto& [out, in] : std::vector<std::array<int64_t, 2>>{
             {256, 256}, {384, 256}, {640, 256}, {512, 256}, {128, 256}, {256, 512}, {256, 128}}) {
      layer("S", tokens, out, in);
    }
    if (tokens <= 4096) layer("S", tokens, 4096, 256);
  }
  for (const int64_t tokens : {4096, 2048, 512}) {
    for (const auto& [out, in] : std::vector<std::array<int64_t, 2>>{
             {512, 512}, {384, 512}, {512, 384}, {1024, 512}, {512, 1024}, {768, 512}}) {
      layer("M", tokens, out, in);
    }
  }
  layer("M", 1024, 16384, 512);
  for (const int64_t m : {1, 2, 4, 8, 32, 128, 256}) {
    bench.One("decode", "packed", m, 256, 256);
    bench.One("decode", "packed", m, 640, 256);
    bench.One("decode", "packed", m, 4096, 256);
    bench.One("decode", "packed", m, 16384, 512);
  }
  for (const Format format : {Format::kQ8, Format::kQ4}) {
    bench.OneQuant("decode", format, 1, 24576, 8192);  // beyond the caches
    for (const int64_t m : {1, 2, 4, 8, 16, 32, 512}) {
      bench.OneQuant("integers", format, m, 512, 512);
      bench.OneQuant("integers", format, m, 2048, 2048);
    }
  }
  for (const char* form : {"NT", "NN", "TN", "packed"}) {
    bench.Grouped("S", form, 32768, 16, 256, 256);
    bench.Grouped("S", form, 1024, 16, 256, 256);
    bench.Grouped("S", form, 256, 16, 256, 256);
    bench.Grouped("M", form, 16384, 32, 384, 512);
    bench.Grouped("M", form, 2048, 32, 384, 512);
  }
  std::sort(bench.ratios.begin(), bench.ratios.end());
  if (bench.ratios.empty()) return 1;
  PrintMean("ratio", bench.ratios);
  fmt::print(
      "ratio: median {:.3f}, least {:.3f}; below 0.95: {} of {}\n",
      bench.ratios[bench.ratios.size() / 2], bench.ratios.front(),
      std::count_if(bench.ratios.begin(), bench.ratios.end(), [](double r) { return r < 0.95; }),
      bench.ratios.size());
  if (!bench.f32.empty()) PrintMean("speed to that of f32", bench.f32);
  std::sort(bench.shares.begin(), bench.shares.end());
  fmt::print(
      "share of the roofline: median {:.2f}, least {:.2f}; below 0.6: {} of {}\n",
      bench.shares[bench.shares.size() / 2], bench.shares.front(),
      std::count_if(bench.shares.begin(), bench.shares.end(), [](double r) { return r < 0.6; }),
      bench.shares.size());
  return 0;
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) { return darkhorse::Main(argc, argv); }
