#include "kernel/peak.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernel/kernels.h"

namespace darkhorse {
namespace {

TEST(Peak, IsAPositiveNumber) {
  EXPECT_GT(MeasurePeakGflops(1), 0);
  EXPECT_TRUE(std::isfinite(MeasurePeakGflops(2)));
  EXPECT_GT(MeasureBandwidthGBs(1), 0);
}

// acc = acc/2 + 1/2 tends to 1 from any start, so the probe's value tells that every accumulator
// took part.
TEST(Peak, ProbeComputesWhatItCounts) {
  for (const KernelRow* row : SupportedKernels()) {
    EXPECT_EQ(row->gemm.fma_probe(64), static_cast<float>(row->gemm.probe_width)) << row->name;
  }
}

}  // namespace
}  // namespace darkhorse
