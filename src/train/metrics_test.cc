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

TEST(ReadLastMetrics, IsTheLastLineAppended) {
  const ScratchDirectory scratch;
  EXPECT_EQ(ReadLastMetrics(scratch / "m").step, 0);
  StepMetrics metrics;
  metrics.step = 1;
  {
    MetricsFile file(scratch / "m");
    file.Append(metrics, false);
    EXPECT_EQ(ReadLastMetrics(scratch / "m").step, 1);
    metrics = {2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 7, 0.8};
    file.Append(metrics, false);
  }
  const StepMetrics read = ReadLastMetrics(scratch / "m");
  EXPECT_EQ(read.step, 2);
  EXPECT_EQ(read.loss, 0.1);
  EXPECT_EQ(read.mtp_loss, 0.2);
  EXPECT_EQ(read.balance_loss, 0.3);
  EXPECT_EQ(read.max_violation, 0.4);
  EXPECT_EQ(read.learning_rate, 0.5);
  EXPECT_EQ(read.grad_norm, 0.6);
  EXPECT_EQ(read.tokens, 7);
  EXPECT_EQ(read.validation_loss, 0.8);
  for (const char* text :
       {"", "\n", "{", "{}\n", "[1]\n", "{\"step\": 1}\n", "{\"step\": \"1\"}\n"}) {
    scratch.Write("other", text);
    EXPECT_EQ(ReadLastMetrics(scratch / "other").step, 0) << text;
  }
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
