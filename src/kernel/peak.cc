#include "kernel/peak.h"

#include <algorithm>
#include <cstdint>
#include <functional>
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

int MultipliedBits(Format format) {
  switch (format) {
    case Format::kQ4:
    case Format::kQ4_0:
    case Format::kQ4_1:
    case Format::kQ4K:
      return 4;
    case Format::kQ5_0:
    case Format::kQ5_1:
    case Format::kQ5K:
      return 5;
    case Format::kQ6K:
      return 6;
    default:
      return 8;
  }
}

double MeasurePeakGflops(int threads, Format format) {
  const KernelRow& row = Kernels();
  std::function<float(int64_t)> probe = row.gemm.fma_probe;
  int64_t width = row.gemm.probe_width;
  if (format == Format::kBf16) {
    probe = row.bf16.probe;
    width = row.bf16.probe_width;
  } else if (IsInteger(format)) {
    probe = [&](int64_t rounds) { return row.quant.probe(rounds, MultipliedBits(format)); };
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
  constexpr int64_t kMostFloats = int64_t{16} << 18;  // 16 MiB an item
  constexpr int64_t kGrain = 256;
  const int64_t items = int64_t{kItems} * threads;
  const int64_t floats =
      std::clamp<int64_t>(bytes / items / 4 / kGrain, 1, kMostFloats / kGrain) * kGrain;
  const int64_t repeats = kMostFloats / floats;
  // In huge pages, as weights and caches are: with small ones the translations are what is
  // measured.
  FloatBuffer buffer(items * floats);
  std::fill(buffer.begin(), buffer.end(), 1.0f);
  // Loads as wide as those of products: with narrow ones a core waits for fewer lines at once.
  const auto read = Kernels().gemm.read_probe;
  std::vector<float> sink(static_cast<size_t>(items));
  const double seconds = BestSeconds(threads, [&](int64_t item) {
    float sum = 0;
    for (int64_t repeat = 0; repeat < repeats; ++repeat)
      sum += read(buffer.data() + item * floats, floats);
    sink[static_cast<size_t>(item)] = sum;
  });
  return static_cast<double>(repeats * floats * 4 * items) / seconds * 1e-9;
}

}  // namespace darkhorse
