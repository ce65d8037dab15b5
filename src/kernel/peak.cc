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

double MeasurePeakGflops(int threads) {
  const GemmLoops& loops = Kernels().gemm;
  std::vector<float> sink(static_cast<size_t>(threads) * kItems);
  int64_t rounds = 1024;
  const auto seconds = [&](int on) {
    return BestSeconds(on, [&](int64_t item) { sink[item] = loops.fma_probe(rounds); });
  };
  while (seconds(1) < 5e-3) rounds *= 2;
  const double operations = 2.0 * static_cast<double>(rounds * loops.probe_width);
  return operations * kItems * threads / seconds(threads) * 1e-9;
}

double MeasureBandwidthGBs(int threads) {
  constexpr int64_t kWords = int64_t{16} << 17;  // 16 MiB of 8 bytes an item
  // In huge pages, as weights and caches are: with small ones the translations are what is
  // measured.
  FloatBuffer buffer(2 * threads * kItems * kWords);
  std::fill(buffer.begin(), buffer.end(), 1.0f);
  const auto* memory = reinterpret_cast<const uint64_t*>(buffer.data());
  std::vector<uint64_t> sink(static_cast<size_t>(threads) * kItems);
  const double seconds = BestSeconds(threads, [&](int64_t item) {
    const uint64_t* words = memory + item * kWords;
    uint64_t sums[8] = {};
    for (int64_t i = 0; i < kWords; i += 8) {
      for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    sink[item] = total;
  });
  return static_cast<double>(kWords) * 8 * kItems * threads / seconds * 1e-9;
}

}  // namespace darkhorse
