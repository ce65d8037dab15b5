#include "base/fields_testing.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

TEST(TextFields, ListsAreWhole) { EXPECT_TRUE(ListsEveryMember<TokenizerTrainOptions>()); }

}  // namespace
}  // namespace darkhorse
