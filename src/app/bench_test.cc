#include <gtest/gtest.h>

#include "app/bench_sampling.h"
#include "app/bench_training.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({9, 1, 4}), 4);
  EXPECT_EQ(Median({5, 1, 2, 8, 7}), 5);
}

TEST(RooflineSeconds, IsTheSlowerOfOperationsAndBytes) {
  const ModelCost cost(TinyConfig());
  const EngineStep step{.rows = 3, .sampled = 2, .attended = 12, .cached = 40};
  const double flops = Flops(cost, step);
  const double bytes = cost.WeightBytesRead(3) +
                       40.0 * static_cast<double>(cost.CacheBytesPerToken(CacheForm::kExpanded));
  EXPECT_DOUBLE_EQ(RooflineSeconds(cost, Format::kF32, step, 1e-9, 1e9), flops);
  EXPECT_DOUBLE_EQ(RooflineSeconds(cost, Format::kF32, step, 1e9, 1e-9), bytes);
}

// The clock's seconds, scaled, are milliseconds and shares of the step; what no part covers is the
// rest of the step.
TEST(WhereTimeGoes, AddsUpToTheStep) {
  PartClock clock;
  {
    const PartTimer timer(&clock, Part::kAttention);
    while (clock.seconds(Part::kRouter) < 0.002) {
      const PartTimer inner(&clock, Part::kRouter);
    }
  }
  const double attention = clock.seconds(Part::kAttention), router = clock.seconds(Part::kRouter);
  const Json parts = WhereTimeGoes(clock, /*scale=*/4, /*update=*/0.25, /*step=*/2);
  EXPECT_DOUBLE_EQ(parts["attention"]["milliseconds"].get<double>(), 4000 * attention);
  EXPECT_DOUBLE_EQ(parts["router"]["milliseconds"].get<double>(), 4000 * router);
  EXPECT_DOUBLE_EQ(parts["router"]["share"].get<double>(), 2 * router);
  EXPECT_DOUBLE_EQ(parts["optimizer"]["milliseconds"].get<double>(), 250);
  EXPECT_DOUBLE_EQ(parts["optimizer"]["share"].get<double>(), 0.125);
  EXPECT_DOUBLE_EQ(parts["not_covered"]["milliseconds"].get<double>(),
                   1000 * (2 - (4 * attention + 4 * router + 0.25)));
  EXPECT_EQ(parts.size(), 4u);  // the other parts took no time
}

}  // namespace
}  // namespace darkhorse
