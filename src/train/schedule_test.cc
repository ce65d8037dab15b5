#include "train/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

namespace darkhorse {
namespace {

std::vector<double> Factors(const ScheduleOptions& options, int64_t steps) {
  std::vector<double> factors;
  for (int64_t step = 0; step < steps; ++step)
    factors.push_back(LearningRateFactor(options, step, steps));
  return factors;
}

void ExpectFactors(const ScheduleOptions& options, const std::vector<double>& expected) {
  const std::vector<double> factors = Factors(options, static_cast<int64_t>(expected.size()));
  // A few operations of numbers of at most 1.
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(factors[i], expected[i], 8 * 0x1p-53) << options.schedule << " " << i;
}

TEST(ScheduleTest, EveryStepByHand) {
  ScheduleOptions o{.schedule = "constant", .warmup_steps = 4};
  ExpectFactors(o, {0.25, 0.5, 0.75, 1, 1, 1, 1});
  o.warmup_steps = 1;
  ExpectFactors(o, {1, 1, 1});
  o.warmup_steps = 0;
  ExpectFactors(o, {1, 1, 1});
  // The last four of ten steps fall, from 1 to a fifth.
  o = {.schedule = "wsd", .warmup_steps = 2, .decay_fraction = 0.4, .final_lr_fraction = 0.1};
  ExpectFactors(o, {0.5, 1, 1, 1, 1, 1, 1, 0.7, 0.4, 0.1});
  o.decay_fraction = 0;
  ExpectFactors(o, {0.5, 1, 1, 1});
  o = {.schedule = "cosine", .warmup_steps = 2, .final_lr_fraction = 0.2};
  const double half = std::sqrt(0.5);
  ExpectFactors(o, {0.5, 1, 1, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2});
}

// A tenth of all steps, rounded up, and ten of many.
TEST(ScheduleTest, AWarmUpThatIsNotGivenIsATenth) {
  const ScheduleOptions tenth{.schedule = "cosine", .warmup_steps = -1, .final_lr_fraction = 0.2};
  for (const auto& [steps, warmup] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {3, 1}, {10, 1}, {11, 2}, {13, 2}, {25, 3}, {91, 10}, {100, 10}, {4000, 10}}) {
    EXPECT_EQ(WarmupSteps(tenth, steps), warmup) << steps;
    ScheduleOptions given = tenth;
    given.warmup_steps = warmup;
    EXPECT_EQ(WarmupSteps(given, 3 * steps), warmup);
    EXPECT_EQ(Factors(tenth, steps), Factors(given, steps));
    EXPECT_EQ(std::ranges::max(Factors(tenth, steps)), 1) << steps;
    EXPECT_EQ(WarmupNote(tenth, steps), "");
  }
}

TEST(ScheduleTest, ARateThatOnlyRisesIsTold) {
  EXPECT_EQ(WarmupNote({.warmup_steps = 10}, 3),
            "schedule.warmup_steps is 10 and the run has 3 steps: the learning rate only rises, to "
            "30 % of optimizer.learning_rate at the end; lower schedule.warmup_steps, or make more "
            "steps");
  EXPECT_NE(WarmupNote({.warmup_steps = 3}, 3).find("to 100 % of"), std::string::npos);
  EXPECT_EQ(WarmupNote({.warmup_steps = 3}, 4), "");
  EXPECT_EQ(WarmupNote({.warmup_steps = 1}, 1), "");
  EXPECT_EQ(WarmupNote({.warmup_steps = 0}, 1), "");
}

// A rate of 0 would be a step for nothing, and the peak is never exceeded.
TEST(ScheduleTest, FactorsArePositiveAndAtMostOne) {
  for (const std::string schedule : {"constant", "cosine", "wsd"}) {
    for (const int64_t warmup : {-1, 0, 1, 3, 40}) {
      for (const int64_t steps : {1, 2, 3, 30}) {
        for (const double factor : Factors({.schedule = schedule, .warmup_steps = warmup}, steps)) {
          EXPECT_GT(factor, 0) << schedule << warmup << steps;
          EXPECT_LE(factor, 1) << schedule << warmup << steps;
        }
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
