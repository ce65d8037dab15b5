#include "kernel/peak.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {

constexpr int kTrials = 5;
constexpr int kItems = 8;  // a thread, so that one that wakes late costs little

// The shortest of kTrials loops of body(item), item < threads * kItems, in seconds.
template <typename Body>
double BestSeconds(int threads, const Body& body) {
  CHECK(threads >= 1);
  const int before = NumThreads();
  SetNumThreads(threads);
  double best = 1e30;
  for (int trial = 0; trial <= kTrials; ++trial) {  // the first wakes the threads
    const double start = SteadySeconds();
    ParallelFor(threads * kItems, body);
    const double seconds = SteadySeconds() - start;
    if (trial > 0) best = std::min(best, seconds);
  }
  SetNumThreads(before);
  return best;
}

}  // namespace

double MeasurePeakGflops(int threads, Format format) {
  const KernelRow& row = Kernels();
  auto probe = row.gemm.fma_probe;
  int64_t width = row.gemm.probe_width;
  if (format == Format::kBf16) {
    probe = row.bf16.probe;
    width = row.bf16.probe_width;
  } else if (IsInteger(format)) {
    probe = row.quant.probe;
    width = row.quant.probe_width;
  }
  std::vector<float> sink(static_cast<size_t>(threads) * kItems);
  int64_t rounds = 1024;
  const auto seconds = [&](int on) {
    return BestSeconds(on, [&](int64_t item) { sink[item] = probe(rounds); });
  };
  while (seconds(1) < 5e-3) rounds *= 2;
  const double operations = 2.0 * static_cast<double>(rounds * width);
  return operations * kItems * threads / seconds(threads) * 1e-9;
}

double MeasureBandwidthGBs(int threads, int64_t bytes) {
  constexpr int64_t kMostWords = int64_t{16} << 17;  // 16 MiB of 8 bytes an item
  const int64_t items = int64_t{kItems} * threads;
  const int64_t words = std::clamp<int64_t>(bytes / items / 64, 1, kMostWords / 8) * 8;
  const int64_t repeats = kMostWords / words;
  // In huge pages, as weights and caches are: with small ones the translations are what is
  // measured.
  FloatBuffer buffer(2 * items * words);
  std::fill(buffer.begin(), buffer.end(), 1.0f);
  const auto* memory = reinterpret_cast<const uint64_t*>(buffer.data());
  std::vector<uint64_t> sink(static_cast<size_t>(items));
  const double seconds = BestSeconds(threads, [&](int64_t item) {
    const uint64_t* mine = memory + item * words;
    uint64_t sums[8] = {};
    for (int64_t repeat = 0; repeat < repeats; ++repeat) {
      for (int64_t i = 0; i < words; i += 8) {
        for (int j = 0; j < 8; ++j) sums[j] += mine[i + j];
      }
      asm volatile("" ::: "memory");  // what was read may have changed: each time it is read
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    sink[item] = total;
  });
  return static_cast<double>(repeats * words * 8 * items) / seconds * 1e-9;
}

}  // namespace darkhorse
