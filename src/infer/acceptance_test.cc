#include "infer/acceptance.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(Acceptance, ARowPaysWhereItIsLikelierRightThanItsCost) {
  Acceptance half;  // a half, before anything is known
  EXPECT_EQ(half.mean(), 0.5);
  // One sequence: a row costs a quarter. One half is more, the half of it is not.
  EXPECT_EQ(half.Worth(1, 8), 1);
  // Two: a token costs 1.25 / 2, a row 0.25, that is 0.4 of it. Three: 0.5 of it.
  EXPECT_EQ(half.Worth(2, 8), 1);
  EXPECT_EQ(half.Worth(3, 8), 0);
  EXPECT_EQ(half.Worth(100, 8), 0);
  // What a guess costs comes on top.
  EXPECT_EQ(half.Worth(1, 8, 0.2), 1);
  EXPECT_EQ(half.Worth(1, 8, 0.3), 0);
  EXPECT_EQ(half.Worth(2, 8, 0.2), 0);
}

TEST(Acceptance, ARowCostsLessWhereWeightsComeFromMemory) {
  EXPECT_EQ(Acceptance::RowCost(0.99e9), 0.25);
  EXPECT_EQ(Acceptance::RowCost(1.01e9), 0.125);
  Acceptance half;
  EXPECT_EQ(half.Worth(1, 8, 0, 0.125), 2);    // a quarter is more than an eighth, an eighth is not
  EXPECT_EQ(half.Worth(1, 8, 0.3, 0.125), 1);  // and 0.3 on top
  EXPECT_EQ(half.Worth(3, 8, 0, 0.125), 1);    // 0.375 / 1.25
}

TEST(Acceptance, TheMeanFollowsTheGuesses) {
  Acceptance good;
  good.Judge(8, false);
  EXPECT_GT(good.mean(), 0.8);
  EXPECT_LT(good.mean(), 0.9);
  EXPECT_GT(good.Worth(1, 8), 5);
  EXPECT_EQ(good.Worth(1, 3), 3);
  EXPECT_EQ(good.Worth(1, 0), 0);
  good.Judge(100, false);
  EXPECT_EQ(good.Worth(1, 8), 8);
  EXPECT_EQ(good.Worth(32, 8), 8);
  for (int i = 0; i < 4; ++i) good.Judge(0, true);
  EXPECT_LT(good.mean(), 0.6);
  for (int i = 0; i < 20; ++i) good.Judge(0, true);
  EXPECT_EQ(good.Worth(1, 8), 0);
  // What was right counts before what was wrong.
  Acceptance mixed, right;
  mixed.Judge(1, true);
  right.Judge(1, false);
  right.Judge(0, true);
  EXPECT_EQ(mixed.mean(), right.mean());
}

}  // namespace
}  // namespace darkhorse
