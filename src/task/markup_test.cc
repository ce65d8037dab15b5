#include "task/markup.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(MarkupTest, TheLastAnswerCounts) {
  const Extracted one = ExtractAnswer("<think>a</think>\n<answer> 5 </answer>\n");
  EXPECT_TRUE(one.found && one.well_formed);
  EXPECT_EQ(one.answer, "5");
  const Extracted two = ExtractAnswer("<think></think><answer>5</answer><answer>6</answer>");
  EXPECT_TRUE(two.found);
  EXPECT_FALSE(two.well_formed);
  EXPECT_EQ(two.answer, "6");
  EXPECT_FALSE(ExtractAnswer("<think></think>so <answer>5</answer>").well_formed);
  EXPECT_FALSE(ExtractAnswer("<think></think><answer>5</answer>.").well_formed);
  EXPECT_TRUE(ExtractAnswer(Completion("x < y > z", "1")).well_formed);
}

TEST(MarkupTest, SaysWhatIsMissing) {
  EXPECT_EQ(ExtractAnswer("").why, "no <think>");
  EXPECT_EQ(ExtractAnswer("<think>").why, "<think> is not closed");
  EXPECT_EQ(ExtractAnswer("<think></think>").why, "no <answer> after </think>");
  EXPECT_EQ(ExtractAnswer("<think></think><answer>1").why, "<answer> is not closed");
  EXPECT_EQ(ExtractAnswer("<think><answer>").why, "<answer> where </think> belongs");
  EXPECT_EQ(ExtractAnswer("5<think></think><answer>1</answer>").why, "text before <think>");
}

TEST(MarkupTest, IntegersAreStrict) {
  EXPECT_EQ(ParseInteger("-12"), -12);
  EXPECT_EQ(ParseInteger("0"), 0);
  EXPECT_EQ(ParseInteger("999999999999999999"), 999999999999999999);
  for (const char* text : {"", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "--1", "1-",
                           "1000000000000000000", "\xd9\xa1"}) {
    EXPECT_EQ(ParseInteger(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace darkhorse
