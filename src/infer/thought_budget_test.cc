#include "infer/thought_budget.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

const std::vector<std::string> kTexts = {"<think>", "</think>", "\n", "a",      "b",
                                         "</",      "think>",   "<",  "think>a"};
enum Token : int32_t { kOpen, kClose, kLine, kA, kB, kHalfClose, kTagEnd, kLess, kOpensWithA };

ThoughtBudget Budget(int64_t tokens, bool begun) {
  return {.tokens = tokens,
          .begun = begun,
          .open = "<think>",
          .close = "</think>",
          .ending = {kLine, kClose, kLine},
          .bytes = [](int32_t token) -> std::string_view {
            return kTexts[static_cast<size_t>(token)];
          }};
}

// What becomes of a completion whose model would say `free`: forced tokens take the place of its
// own, which go on where they are free again.
std::string Said(const ThoughtBudget& budget, const std::vector<int32_t>& free) {
  std::vector<int32_t> completion;
  std::string text;
  for (size_t next = 0; next < free.size();) {
    const std::optional<int32_t> forced = ForcedToken(budget, completion);
    completion.push_back(forced ? *forced : free[next++]);
    text += kTexts[static_cast<size_t>(completion.back())];
  }
  return text;
}

TEST(ThoughtBudget, EndsAThoughtThatGoesOn) {
  EXPECT_EQ(Said(Budget(2, true), {kA, kB, kA, kB, kA}), "ab\n</think>\naba");
  EXPECT_EQ(Said(Budget(0, true), {kA, kB}), "\n</think>\nab");
  EXPECT_EQ(Said(Budget(2, false), {kOpen, kA, kB, kA}), "<think>ab\n</think>\na");
}

TEST(ThoughtBudget, LeavesWhatEndsInTime) {
  EXPECT_EQ(Said(Budget(2, true), {kA, kClose, kA, kB, kA}), "a</think>aba");
  EXPECT_EQ(Said(Budget(3, true), {kA, kHalfClose, kTagEnd, kA, kB, kA}), "a</think>aba");
  // A second thought is no thought: it is a part of the answer.
  EXPECT_EQ(Said(Budget(2, true), {kA, kClose, kOpen, kA, kA, kA, kA}), "a</think><think>aaaa");
  // Its last token may be cut in two by the end.
  EXPECT_EQ(Said(Budget(2, true), {kA, kHalfClose, kTagEnd}), "a</\n</think>\nthink>");
}

TEST(ThoughtBudget, KnowsWhereAThoughtBegins) {
  EXPECT_EQ(Said(Budget(1, false), {kLine, kLine, kOpen, kA, kB}), "\n\n<think>a\n</think>\nb");
  EXPECT_EQ(Said(Budget(1, false), {kA, kOpen, kA, kB, kA}), "a<think>aba");  // an answer
  EXPECT_EQ(Said(Budget(1, false), {kLess, kA, kA, kA}), "<aaa");
  // A tag of several tokens, the last of which says more.
  EXPECT_EQ(Said(Budget(1, false), {kLess, kOpensWithA, kB, kA}), "<think>ab\n</think>\na");
}

}  // namespace
}  // namespace darkhorse
