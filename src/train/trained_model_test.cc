#include "train/trained_model.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/format.h"
#include "base/scratch_testing.h"
#include "model/config_testing.h"
#include "model/cost.h"

namespace darkhorse {
namespace {

// What does not fit is refused by the first thing that does not: weights with gradients and
// moments, then the activations of a micro-batch. The table of rotations counts both times.
TEST(RequireTrainingMemory, IsMetExactly) {
  const ModelConfig config = TinyConfig();
  const ModelCost cost(config);
  const int64_t rotations = 64 * 4 * 4;  // context, rotary dimensions, bytes
  const int64_t state = 4 * cost.WeightBytes() + rotations;
  const int64_t all = cost.Training(100).total() + rotations;
  ASSERT_GT(all, state);
  const auto message = [&](int64_t memory) {
    setenv("DARKHORSE_MEMORY", std::to_string(memory).c_str(), 1);
    const std::string text = MessageOf([&] { RequireTrainingMemory(config, 100); });
    unsetenv("DARKHORSE_MEMORY");
    return text;
  };
  EXPECT_EQ(message(all), "");
  EXPECT_TRUE(Says(message(all - 1), "computing 100 tokens at once needs"));
  EXPECT_TRUE(Says(message(all - 1), "lower micro_batch_tokens"));
  EXPECT_TRUE(Says(message(state), "computing 100 tokens at once needs"));
  ASSERT_NE(cost.parameters(), cost.active_parameters());
  EXPECT_TRUE(Says(message(state - 1),
                   fmt::format("training a model of {} parameters and a context of 64 needs",
                               FormatCount(static_cast<double>(cost.parameters())))));
  EXPECT_TRUE(Says(message(state - 1), "lower the dimensions of the model"));
}

}  // namespace
}  // namespace darkhorse
