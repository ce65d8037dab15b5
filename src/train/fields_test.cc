#include "base/fields_testing.h"
#include "train/recipe.h"

namespace darkhorse {
namespace {

TEST(TrainFields, ListsAreWhole) {
  EXPECT_TRUE(ListsEveryMember<PretrainOptions>());
  EXPECT_TRUE(ListsEveryMember<OptimizerOptions>());
  EXPECT_TRUE(ListsEveryMember<ScheduleOptions>());
  EXPECT_TRUE(ListsEveryMember<PretrainRecipe>());
  EXPECT_TRUE(ListsEveryMember<FinetuneOptions>());
  EXPECT_TRUE(ListsEveryMember<FinetuneRecipe>());
}

}  // namespace
}  // namespace darkhorse
