#include "task/answer_place.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "task/markup.h"
#include "task/rules.h"

namespace darkhorse {
namespace {

// What was found, or why nothing was.
std::string Told(const Extracted& e) { return e.found ? "[" + std::string(e.answer) + "]" : e.why; }
std::string Strict(AnswerPlace place, std::string_view text) {
  return Told(StrictAnswer(place, text));
}
std::string Lenient(AnswerPlace place, Rule rule, std::string_view text) {
  return Told(LenientAnswer(place, JudgeOf(rule, "0"), text));
}

TEST(AnswerPlace, HasNames) {
  for (const std::string& name : AnswerPlaceNames()) {
    const AnswerPlace place = ParseAnswerPlace(name);
    EXPECT_TRUE(AnswerInstruction(place).ends_with('.')) << name;
    EXPECT_TRUE(AnswerInstruction(place, Words::kChinese).ends_with("。")) << name;
  }
  EXPECT_EQ(ParseAnswerPlace("last_number"), AnswerPlace::kLastNumber);
  for (const Words words : {Words::kEnglish, Words::kChinese}) {
    const auto asks = [&](AnswerPlace place, const char* mark) {
      EXPECT_NE(AnswerInstruction(place, words).find(mark), std::string::npos) << mark;
    };
    asks(AnswerPlace::kBoxed, "\\boxed{}");
    asks(AnswerPlace::kHashes, "####");
    asks(AnswerPlace::kTags, "<answer>");
  }
  EXPECT_TRUE(Says(MessageOf([] { ParseAnswerPlace("hash"); }), "did you mean 'hashes'"));
}

TEST(StrictAnswer, StandsAtItsPlaceAlone) {
  const AnswerPlace boxed = AnswerPlace::kBoxed, hashes = AnswerPlace::kHashes;
  EXPECT_EQ(Strict(boxed, "so \\boxed{1}, no: $\\boxed{ \\frac{1}{2} }$. 7"), "[\\frac{1}{2}]");
  EXPECT_EQ(Strict(boxed, "\\boxed{\\{1\\}}"), "[\\{1\\}]");
  EXPECT_EQ(Strict(boxed, "\\boxed{\\{1}"), "[\\{1]");
  EXPECT_EQ(Strict(boxed, "#### 72"), "no \\boxed{}");
  EXPECT_EQ(Strict(boxed, "\\boxed{1} \\boxed{{2}"), "\\boxed{} is not closed");
  EXPECT_EQ(Strict(boxed, "\\boxed{2\\"), "\\boxed{} is not closed");
  EXPECT_EQ(Strict(hashes, "#### 1\nno\n####  72 \nthat is it"), "[72]");
  EXPECT_EQ(Strict(hashes, "\\boxed{72}"), "no ####");
  EXPECT_EQ(Strict(AnswerPlace::kTags, "<think>a</think> <answer> 5 </answer>"), "[5]");
  EXPECT_EQ(Strict(AnswerPlace::kTags, "<answer>5</answer>"), "<answer> where <think> belongs");
}

TEST(StrictAnswer, TheLastNumberIsReadAsItIsWritten) {
  const auto number = [](std::string_view text) { return Strict(AnswerPlace::kLastNumber, text); };
  EXPECT_EQ(number("first 3, then it is $1,234.50."), "[1,234.50]");
  EXPECT_EQ(number("3, 4"), "[4]");
  EXPECT_EQ(number("that makes -7 degrees"), "[-7]");
  EXPECT_EQ(number("12-5"), "[5]");
  EXPECT_EQ(number("(12)-5"), "[5]");
  EXPECT_EQ(number(".5"), "[.5]");
  EXPECT_EQ(number("-.5 !"), "[-.5]");
  EXPECT_EQ(number("...5"), "[5]");
  EXPECT_EQ(number("3/4 of it"), "[3/4]");
  EXPECT_EQ(number("7"), "[7]");
  EXPECT_EQ(number("-7"), "[-7]");
  EXPECT_EQ(number("none"), "no number");
  EXPECT_EQ(number(""), "no number");
}

TEST(StrictAnswer, ThoughtsHoldNone) {
  for (const std::string& name : AnswerPlaceNames()) {
    const AnswerPlace place = ParseAnswerPlace(name);
    EXPECT_EQ(Strict(place, "<think>\\boxed{5} #### 5 <answer>5</answer>").front(), '<') << name;
    EXPECT_EQ(Lenient(place, Rule::kNumeric, " <think>\\boxed{5} #### 5 "),
              "<think> is not closed");
  }
  EXPECT_EQ(Strict(AnswerPlace::kBoxed, "\n<think>\\boxed{5}</think>\n\\boxed{6}"), "[6]");
  EXPECT_EQ(Strict(AnswerPlace::kBoxed, "<think>\\boxed{5}</think>\n6"), "no \\boxed{}");
}

TEST(LenientAnswer, IsTheFirstThatTheRuleReads) {
  const auto lenient = [](std::string_view text) {
    return Lenient(AnswerPlace::kHashes, Rule::kNumeric, text);
  };
  EXPECT_EQ(lenient("\\boxed{2} #### 3"), "[3]");
  EXPECT_EQ(lenient("#### none of them\n\\boxed{2} 7"), "[2]");
  EXPECT_EQ(lenient("</think><answer>1</answer> \\boxed{2} 7"), "[1]");
  EXPECT_EQ(lenient("</answer> \\boxed{2} 7"), "[2]");
  EXPECT_EQ(lenient("<answer>that</answer> #### many\nIn all 1,200 clips."), "[1,200]");
  EXPECT_EQ(lenient("none"), "no number");
}

TEST(LenientAnswer, LooksForWhatTheRuleReads) {
  const auto choice = [](std::string_view text) {
    return Lenient(AnswerPlace::kBoxed, Rule::kChoice, text);
  };
  EXPECT_EQ(choice("The answer is (C)."), "[C]");
  EXPECT_EQ(choice("It is B, because A cat and I say so, DNA"), "[B]");
  EXPECT_EQ(choice("it's A"), "[A]");
  EXPECT_EQ(choice("I'd say so"), "no letter");
  EXPECT_EQ(choice("\\boxed{(d)} not A"), "[(d)]");
  EXPECT_EQ(Lenient(AnswerPlace::kBoxed, Rule::kExact, "so:\n  Paris \n"), "[Paris]");
  EXPECT_EQ(Lenient(AnswerPlace::kBoxed, Rule::kExact, "Paris"), "[Paris]");
  EXPECT_EQ(Lenient(AnswerPlace::kBoxed, Rule::kExact, " \n"), "no text");
}

TEST(AnswerPlace, WhatStandsThereIsRead) {
  for (const std::string& name : AnswerPlaceNames()) {
    const AnswerPlace place = ParseAnswerPlace(name);
    const char* answer = place == AnswerPlace::kChoice ? "C" : "72";
    const std::string text = AnswerAt(place, answer);
    const Extracted strict = StrictAnswer(place, text);
    EXPECT_EQ(strict.answer, answer) << text;
    EXPECT_EQ(strict.place, name);
    EXPECT_EQ(Strict(place, "then\n" + text).front(), place == AnswerPlace::kTags ? 't' : '[');
  }
}

TEST(LenientAnswer, TellsWhereItStood) {
  const auto place = [](Rule rule, std::string_view text) {
    return std::string(LenientAnswer(AnswerPlace::kBoxed, JudgeOf(rule, "0"), text).place);
  };
  EXPECT_EQ(place(Rule::kNumeric, "\\boxed{5}"), "boxed");
  EXPECT_EQ(place(Rule::kNumeric, "<answer>5</answer>"), "tags");
  EXPECT_EQ(place(Rule::kNumeric, "#### 5"), "hashes");
  EXPECT_EQ(place(Rule::kNumeric, "5"), "last_number");
  EXPECT_EQ(place(Rule::kChoice, "so (B)"), "choice");
  EXPECT_EQ(place(Rule::kExact, "so"), "last_line");
  EXPECT_EQ(place(Rule::kNumeric, "so"), "");
}

TEST(LenientAnswer, BoundedTime) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "\\boxed{<answer>####";
  EXPECT_FALSE(StrictAnswer(AnswerPlace::kBoxed, text).found);
  EXPECT_EQ(Lenient(AnswerPlace::kBoxed, Rule::kNumeric, text), "no number");
}

}  // namespace
}  // namespace darkhorse
