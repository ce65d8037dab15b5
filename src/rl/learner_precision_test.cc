// Sampling equals training in every number format.
#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

// The sampler's packed weights, its cache, and the update's own forward pass, before and after
// weights have moved.
TEST_F(LearnerTest, SamplingIsTrainingBitForBitInBf16) {
  ReinforceRecipe recipe = Still();
  recipe.rl.precision = "bf16";
  recipe.optimizer.learning_rate = 1e-2;
  recipe.optimizer.epsilon = 1e-8;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  for (int step = 0; step < 3; ++step) {
    const ReinforceMetrics metrics = learner->Step({});
    ASSERT_TRUE(metrics.trained);
    EXPECT_EQ(metrics.sampling_gap, 0) << "step " << step;
  }
  recipe.rl.precision = "f32";
  Scripted same({{"all", 1}}, ByPlace);
  EXPECT_NE(WeightsOf(*learner), WeightsOf(*Make(recipe, same)));
}

TEST_F(LearnerTest, APrecisionThatIsNoneIsRefused) {
  ReinforceRecipe recipe = Still();
  recipe.rl.precision = "f16";
  Scripted environment({{"all", 1}}, ByPlace);
  try {
    Make(recipe, environment);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "precision is 'f16'; it must be f32 or bf16");
  }
}

}  // namespace
}  // namespace darkhorse
