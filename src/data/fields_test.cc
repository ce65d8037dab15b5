#include "base/fields_testing.h"
#include "data/corpus.h"
#include "data/prepare.h"

namespace darkhorse {
namespace {

TEST(DataFields, ListsAreWhole) {
  EXPECT_TRUE(ListsEveryMember<CorpusOptions>());
  EXPECT_TRUE(ListsEveryMember<PrepareOptions>());
}

}  // namespace
}  // namespace darkhorse
