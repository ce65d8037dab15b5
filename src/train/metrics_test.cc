#include "train/metrics.h"

#include <gtest/gtest.h>

#include "base/parallel.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(MetricsFile, EachNumberStandsUnderItsName) {
  const ScratchDirectory scratch;
  StepMetrics metrics;
  metrics.step = 1;
  metrics.tokens = 2;
  metrics.loss = 3.5;
  metrics.mtp_loss = 4.5;
  metrics.balance_loss = 5.5;
  metrics.max_violation = 6.5;
  metrics.learning_rate = 7.5;
  metrics.grad_norm = 8.5;
  metrics.load = {{1, 2}, {3, 4}};
  metrics.seconds = metrics.flops = 99;  // no metric
  {
    MetricsFile file(scratch / "m");
    file.Append(metrics, /*with_load=*/false);
    metrics.validation_loss = 9.5;
    file.Append(metrics, /*with_load=*/true);
  }
  const std::string line =
      R"({"step": 1, "tokens": 2, "loss": 3.5, "mtp_loss": 4.5, "balance_loss": 5.5, )"
      R"("max_violation": 6.5, "learning_rate": 7.5, "grad_norm": 8.5)";
  EXPECT_EQ(
      ReadFile(scratch / "m"),
      line + "}\n" + line + R"(, "validation_loss": 9.5, "expert_load": [[1, 2], [3, 4]]})" + "\n");
}

TEST(TimingsFile, SaysWhatAStepCost) {
  const ScratchDirectory scratch;
  TimingsFile(scratch / "t").Append(3, 0.25, 1.5e9);
  EXPECT_EQ(ReadFile(scratch / "t"),
            fmt::format("{{\"step\": 3, \"seconds\": 0.250000, \"flops\": 1.500000e+09, "
                        "\"threads\": {}}}\n",
                        NumThreads()));
}

}  // namespace
}  // namespace darkhorse
