#include "kernel/peak.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "base/buffer.h"
#include "base/clock.h"
#include "kernel/kernels.h"

namespace darkhorse {
namespace {

// What `work` units take at best, in units a nanosecond.
template <typename Body>
double BestRate(double work, const Body& body) {
  double best = 0;
  for (int trial = 0; trial < 5; ++trial) {
    const double start = SteadySeconds();
    body();
    best = std::max(best, work / (SteadySeconds() - start) * 1e-9);
  }
  return best;
}

// A measurement of one thread next to one of our own (what two would do, a busy machine hides). The
// machine may be busy with other things during either, so that one of many attempts must agree; a
// factor of 2 forgotten, or of the items, never does.
template <typename Measure, typename Own>
void ExpectOnceWithinAThird(const Measure& measure, const Own& own) {
  double ratio = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    ratio = measure() / own();
    if (ratio > 0.75 && ratio < 4.0 / 3) return;
  }
  ADD_FAILURE() << "measured " << ratio << " times what it is";
}

TEST(Peak, CountsTheOperationsOfTheProbe) {
  const GemmLoops& loops = Kernels().gemm;
  constexpr int64_t kRounds = 1 << 17;
  volatile float sink = 0;
  const auto own = [&] {
    return BestRate(2.0 * static_cast<double>(kRounds * loops.probe_width),
                    [&] { sink = loops.fma_probe(kRounds); });
  };
  ExpectOnceWithinAThird([] { return MeasurePeakGflops(1); }, own);
}

TEST(Peak, CountsTheOperationsOfTheProbeInBf16) {
  const Bf16Loops& loops = Kernels().bf16;
  constexpr int64_t kRounds = 1 << 17;
  volatile float sink = 0;
  const auto own = [&] {
    return BestRate(2.0 * static_cast<double>(kRounds * loops.probe_width),
                    [&] { sink = loops.probe(kRounds); });
  };
  ExpectOnceWithinAThird([] { return MeasurePeakGflops(1, Format::kBf16); }, own);
}

TEST(Peak, CountsTheOperationsOfTheProbesOfIntegers) {
  const QuantLoops& loops = Kernels().quant;
  constexpr int64_t kRounds = 1 << 14;
  volatile float sink = 0;
  for (const auto& [format, bits] : {std::pair{Format::kQ8, 8}, {Format::kQ4, 4}}) {
    const auto own = [&, bits = bits] {
      return BestRate(2.0 * static_cast<double>(kRounds * loops.probe_width),
                      [&] { sink = loops.probe(kRounds, bits); });
    };
    ExpectOnceWithinAThird([format = format] { return MeasurePeakGflops(1, format); }, own);
    EXPECT_EQ(sink, 0);
  }
}

TEST(Peak, ProductsSeeAFormatsBits) {
  for (const Format format : {Format::kQ4, Format::kQ4_0, Format::kQ4_1, Format::kQ4K})
    EXPECT_EQ(MultipliedBits(format), 4);
  for (const Format format : {Format::kQ5_0, Format::kQ5_1, Format::kQ5K})
    EXPECT_EQ(MultipliedBits(format), 5);
  EXPECT_EQ(MultipliedBits(Format::kQ6K), 6);
  for (const Format format : {Format::kQ8, Format::kQ8_0, Format::kIq4Nl})
    EXPECT_EQ(MultipliedBits(format), 8);
}

TEST(Peak, BandwidthIsOfBytesRead) {
  FloatBuffer buffer(int64_t{32} << 20);  // 128 MiB: beyond every cache
  std::fill(buffer.begin(), buffer.end(), 1.0f);
  volatile float sink = 0;
  const auto own = [&] {
    return BestRate(static_cast<double>(buffer.size()) * sizeof(float),
                    [&] { sink = Kernels().gemm.read_probe(buffer.data(), buffer.size()); });
  };
  ExpectOnceWithinAThird([] { return MeasureBandwidthGBs(1); }, own);
}

// acc = acc/2 + 1/2 tends to 1 from any start, so the probe's value tells that every accumulator
// took part.
TEST(Peak, ProbeComputesWhatItCounts) {
  for (const KernelRow* row : SupportedKernels()) {
    EXPECT_EQ(row->gemm.fma_probe(64), static_cast<float>(row->gemm.probe_width)) << row->name;
  }
}

// In bf16 with AVX512_BF16 each multiply-add adds a quarter.
TEST(Peak, ProbeOfPairsComputesWhatItCounts) {
  for (const KernelRow* row : SupportedKernels()) {
    if (std::string_view(row->name) != "avx512bf16") continue;
    EXPECT_EQ(row->bf16.probe(64), static_cast<float>(64 * row->bf16.probe_width) / 4);
  }
}

TEST(Peak, ReadProbeReadsAllThatItCounts) {
  FloatBuffer numbers(1024);
  std::iota(numbers.begin(), numbers.end(), 0.0f);  // sums below 2^24 are exact
  for (const KernelRow* row : SupportedKernels()) {
    EXPECT_EQ(row->gemm.read_probe(numbers.data(), 1024), 1023 * 512) << row->name;
    EXPECT_EQ(row->gemm.read_probe(numbers.data(), 256), 255 * 128) << row->name;
  }
}

}  // namespace
}  // namespace darkhorse
