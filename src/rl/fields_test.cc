#include "base/fields_testing.h"
#include "rl/recipe.h"

namespace darkhorse {
namespace {

TEST(RlFields, ListsAreWhole) {
  EXPECT_TRUE(ListsEveryMember<ReinforceOptions>());
  EXPECT_TRUE(ListsEveryMember<ProblemsOptions>());
  EXPECT_TRUE(ListsEveryMember<PromptOptions>());
  EXPECT_TRUE(ListsEveryMember<TeacherOptions>());
  EXPECT_TRUE(ListsEveryMember<ProbeOptions>());
  EXPECT_TRUE(ListsEveryMember<CurriculumOptions>());
  EXPECT_TRUE(ListsEveryMember<StopOptions>());
  EXPECT_TRUE(ListsEveryMember<EvaluationOptions>());
  EXPECT_TRUE(ListsEveryMember<GrpoOptions>());
  EXPECT_TRUE(ListsEveryMember<ReinforceRecipe>());
}

}  // namespace
}  // namespace darkhorse
