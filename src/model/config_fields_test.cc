#include "model/config_fields.h"

#include "base/fields_testing.h"

namespace darkhorse {
namespace {

TEST(ConfigFields, ListsAreWhole) {
  EXPECT_TRUE(ListsEveryMember<RopeScaling>());
  EXPECT_TRUE(ListsEveryMember<ModelConfig>());
}

}  // namespace
}  // namespace darkhorse
