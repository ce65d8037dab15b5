#include "infer/cache_budget.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(CacheBudget, CountsPagesOfWhatSlotsHold) {
  CacheBudget budget(3, 300, 1000);  // pages of 128: a slot has 3, and there are 7
  EXPECT_TRUE(budget.limited());
  EXPECT_EQ(budget.left(), 7);
  EXPECT_EQ(budget.Needs(0, 0), 0);
  EXPECT_EQ(budget.Needs(0, 128), 1);
  EXPECT_EQ(budget.Needs(0, 129), 2);
  budget.Hold(0, 129);
  EXPECT_EQ(budget.left(), 5);
  EXPECT_EQ(budget.Needs(0, 256), 0);
  EXPECT_EQ(budget.Needs(0, 257), 1);
  EXPECT_EQ(budget.Needs(1, 257), 3);
  budget.Hold(0, 1);  // it holds more already
  EXPECT_EQ(budget.left(), 5);
  budget.Hold(1, 300);
  EXPECT_EQ(budget.left(), 2);
  budget.Release(0);
  EXPECT_EQ(budget.left(), 4);
  EXPECT_EQ(budget.Needs(0, 129), 2);
  budget.Release(0);
  EXPECT_EQ(budget.left(), 4);
}

TEST(CacheBudget, HasRoomForOneSequenceAtLeast) {
  EXPECT_EQ(CacheBudget(5, 300, 300).left(), 3);
  EXPECT_EQ(CacheBudget(5, 300, 0).left(), 15);
  EXPECT_FALSE(CacheBudget(5, 300, 0).limited());
}

}  // namespace
}  // namespace darkhorse
