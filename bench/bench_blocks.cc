// Products with weights in GGUF's block formats, on the shapes of published models, beside what the
// machine can do at most. bench_blocks [name filter] [rounds]
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "kernel/block_formats.h"
#include "kernel/kernels.h"
#include "kernel/peak.h"

namespace darkhorse {
namespace {

constexpr Format kFormats[] = {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0,
                               Format::kQ5_1, Format::kQ8_0, Format::kIq4Nl,
                               Format::kQ4K,  Format::kQ5K,  Format::kQ6K};

double MedianSeconds(int rounds, const std::function<void()>& body) {
  const auto time = [&](int repeat) {
    const double start = SteadySeconds();
    for (int i = 0; i < repeat; ++i) body();
    return (SteadySeconds() - start) / repeat;
  };
  time(1);
  const int repeat = std::max(1, static_cast<int>(0.01 / std::max(time(1), 1e-7)));
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) seconds.push_back(time(repeat));
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return seconds[static_cast<size_t>(rounds / 2)];
}

// Bytes that make numbers of a moderate size in every format.
std::vector<std::byte> RandomBlocks(int64_t bytes) {
  std::vector<std::byte> blocks(static_cast<size_t>(bytes));
  uint32_t state = 1;
  for (std::byte& b : blocks) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24 & 0x3f);
  }
  return blocks;
}

struct Bench {
  std::string filter;
  int rounds;
  double peak = 1e9 * MeasurePeakGflops(NumThreads(), Format::kQ8);
  double bandwidth = 1e9 * MeasureBandwidthGBs(NumThreads());

  void One(const std::string& set, Format format, int64_t m, int64_t n, int64_t k) {
    const GgmlTypeInfo& type = InfoOf(GgmlTypeOf(format));
    const std::string name = fmt::format("{} {} {}x{}x{}", set, type.name, m, n, k);
    if (name.find(filter) == std::string::npos || k % type.numbers != 0) return;
    const int64_t bytes = QuantBytes(format, n, k);
    // Copies in turn, so that a layer comes from where a model's would.
    const int64_t copies = std::clamp<int64_t>(int64_t{400'000'000} / bytes, 1, m <= 32 ? 64 : 1);
    FloatBuffer packed(copies * bytes / 4);
    const std::vector<std::byte> blocks = RandomBlocks(n * type.BytesOf(k));
    for (int64_t i = 0; i < copies; ++i) {
      PackBlocks(
          format, n, k, [&](int64_t row) { return blocks.data() + row * type.BytesOf(k); },
          packed.data() + i * bytes / 4);
    }
    FloatBuffer a(m * k), c(m * n);
    for (int64_t i = 0; i < m * k; ++i) a.data()[i] = static_cast<float>(i * 7919 % 255 - 127);
    int64_t turn = 0;
    const double seconds = MedianSeconds(rounds, [&] {
      const float* w = packed.data() + turn++ % copies * bytes / 4;
      QuantGemm(ConstMatrix(a.data(), m, k), {format, n, k, w}, Matrix(c.data(), m, n));
    });
    const double operations = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
    const double compute = operations / peak, memory = static_cast<double>(bytes) / bandwidth;
    fmt::print("{:<32} {:9.1f} us {:7.1f} GOP/s {:5.2f} of peak {:6.2f} GB/s {:5.2f} of memory\n",
               name, seconds * 1e6, operations / seconds * 1e-9, compute / seconds,
               static_cast<double>(bytes) / seconds * 1e-9, memory / seconds);
    std::fflush(stdout);
  }
};

int Main(int argc, char** argv) {
  Bench bench{argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : 7};
  fmt::print(
      "{} kernels, {} threads, medians of {}; peak of bytes {:.0f} GOP/s, memory {:.1f} GB/s\n",
      Kernels().quant.name, NumThreads(), bench.rounds, bench.peak * 1e-9, bench.bandwidth * 1e-9);
  struct Shape {
    const char* set;
    int64_t n, k;
  };
  const Shape shapes[] = {
      {"smollm2-135m", 576, 576},   {"smollm2-135m", 1536, 576},   {"smollm2-135m", 576, 1536},
      {"smollm2-135m", 49152, 576}, {"qwen2.5-0.5b", 896, 896},    {"qwen2.5-0.5b", 4864, 896},
      {"qwen2.5-0.5b", 896, 4864},  {"qwen2.5-0.5b", 151936, 896}, {"qwen2.5-1.5b", 1536, 1536},
      {"qwen2.5-1.5b", 8960, 1536}, {"qwen2.5-1.5b", 1536, 8960},  {"qwen2.5-1.5b", 151936, 1536}};
  for (const int64_t m : {1, 8, 32, 512}) {
    for (const Shape& shape : shapes) {
      if (shape.n > 40000 && m > 8) continue;  // a head sees a prompt's last token
      for (const Format format : kFormats) bench.One(shape.set, format, m, shape.n, shape.k);
    }
  }
  return 0;
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) { return darkhorse::Main(argc, argv); }
