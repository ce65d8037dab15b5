#include "infer/look_up.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace darkhorse {
namespace {

using Tokens = std::vector<int32_t>;

TEST(LookUp, WhatFollowedTheLongestEnd) {
  EXPECT_EQ(LookUp(Tokens{1, 2, 3, 4, 5, 9, 2, 3}, 8), (Tokens{4, 5}));  // as many as match
  EXPECT_EQ(LookUp(Tokens{1, 2, 3, 4, 5, 9, 1, 2, 3}, 8), (Tokens{4, 5, 9}));
  EXPECT_EQ(LookUp(Tokens{1, 2, 3, 4, 5, 9, 1, 2, 3}, 2), (Tokens{4, 5}));
  EXPECT_EQ(LookUp(Tokens{7, 2, 3, 4, 6, 2, 3, 5, 7, 2, 3}, 8), (Tokens{4, 6, 2}));  // not the last
  EXPECT_EQ(LookUp(Tokens{7, 2, 3, 4, 7, 2, 3, 5, 7, 2, 3}, 1), (Tokens{5}));        // of equals it
}

TEST(LookUp, NothingWhereNothingComesTwice) {
  EXPECT_EQ(LookUp(Tokens{}, 8), Tokens{});
  EXPECT_EQ(LookUp(Tokens{1}, 8), Tokens{});
  EXPECT_EQ(LookUp(Tokens{1, 1}, 8), Tokens{});
  EXPECT_EQ(LookUp(Tokens{1, 2, 3, 4, 3}, 8), Tokens{});  // one token tells too little
}

TEST(LookUp, WhatEndsWithinItselfGoesOn) {
  EXPECT_EQ(LookUp(Tokens{1, 1, 1}, 8), (Tokens{1, 1}));
  EXPECT_EQ(LookUp(Tokens{5, 1, 2, 1, 2, 1, 2, 1}, 5), (Tokens{2, 1, 2, 1, 2}));
  EXPECT_EQ(LookUp(Tokens(100, 1), 8), Tokens(8, 1));
}

// By the definition: every end of the text, the longest first, at every place, the last first.
Tokens Slow(const Tokens& text, int64_t most) {
  const auto size = static_cast<int64_t>(text.size());
  for (int64_t length = std::min(size - 1, kLongestMatch); length >= kShortestMatch; --length) {
    for (int64_t begin = size - length - 1; begin >= 0; --begin) {
      if (!std::equal(text.end() - length, text.end(), text.begin() + begin)) continue;
      Tokens all = text;
      for (int64_t i = 0; i < std::min(most, length); ++i)
        all.push_back(all[static_cast<size_t>(begin + length + i)]);
      return {all.begin() + size, all.end()};
    }
  }
  return {};
}

TEST(LookUp, IsItsDefinition) {
  RandomSequence random(1, RandomStream::kTest, 0);
  int found = 0, long_ones = 0;
  for (int round = 0; round < 2000; ++round) {
    Tokens text;
    const uint64_t size = random.Below(80), letters = 1 + random.Below(6);
    while (text.size() < size) {
      if (text.size() > 4 && random.Below(8) == 0) {  // a piece again
        const auto begin = random.Below(text.size() - 2);
        const auto count = std::min<uint64_t>(random.Below(25), text.size() - begin);
        for (uint64_t i = 0; i < count; ++i) text.push_back(text[begin + i]);
      }
      text.push_back(static_cast<int32_t>(random.Below(letters)));
    }
    const auto most = static_cast<int64_t>(1 + random.Below(20));
    const Tokens guess = LookUp(text, most);
    EXPECT_EQ(guess, Slow(text, most));
    found += !guess.empty();
    long_ones += guess.size() == 16;
  }
  EXPECT_GT(found, 1000);
  EXPECT_GT(long_ones, 10);
}

}  // namespace
}  // namespace darkhorse
