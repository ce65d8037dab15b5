#include "task/rules.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

// "right", "wrong" or "illegal"
std::string Judge(Rule rule, std::string_view answer, std::string_view reference) {
  const RuleVerdict verdict = Compare(rule, answer, reference);
  return verdict.correct ? "right" : verdict.legal ? "wrong" : "illegal";
}

TEST(RulesTest, Exact) {
  EXPECT_EQ(Judge(Rule::kExact, "  the  cat ", "the cat"), "right");
  EXPECT_EQ(Judge(Rule::kExact, "The cat", "the cat"), "wrong");
  EXPECT_EQ(Judge(Rule::kExact, "", "the cat"), "illegal");
}

TEST(RulesTest, NumericReadsNumbersAsPeopleWriteThem) {
  for (const char* text : {"1234", "1,234", "$1,234", "1234.0", "1,234.00", "2468/2", "123400%"}) {
    EXPECT_EQ(Judge(Rule::kNumeric, text, "1234"), "right") << text;
  }
  EXPECT_EQ(Judge(Rule::kNumeric, "-$5", "-5"), "right");
  EXPECT_EQ(Judge(Rule::kNumeric, "0.5", "1/2"), "right");
  EXPECT_EQ(Judge(Rule::kNumeric, "0.1", "0.10000000000000001"), "wrong");
  EXPECT_EQ(Judge(Rule::kNumeric, "1235", "1,234"), "wrong");
  for (const char* text : {"12,34", ",123", "1,23", "1.2.3", "1/2/3", "1/0", "five", "--5",
                           "5 or 6", "nan", "$", "%", "-"}) {
    EXPECT_EQ(Judge(Rule::kNumeric, text, "5"), "illegal") << text;
  }
}

TEST(RulesTest, Choice) {
  for (const char* text :
       {"B", "b", "(B)", "B.", "B) because", "B: so", "\\boxed{B}", "$B$", "\\boxed{B}.",
        "\\boxed{\\text{(B)}}", "$\\boxed{b}$", "B) a cat", "B. A cat", "B) I think so", "B) x = 5",
        "B) it's so", "B. So the answer is B."}) {
    EXPECT_EQ(Judge(Rule::kChoice, text, "B"), "right") << text;
  }
  EXPECT_EQ(Judge(Rule::kChoice, "A", "(B)"), "wrong");
  for (const char* text : {"Because",
                           "1",
                           "(",
                           "B or C",
                           "B C",
                           "\xd0\x92",
                           "B) or C)",
                           "B. C.",
                           "(B) (C)",
                           "(B) or (c)",
                           "B) or c",
                           "B)C)",
                           "B.C",
                           "B: C",
                           "B) or A",
                           "B) or a maybe",
                           "B) A or so",
                           "B) and a",
                           "B. not C",
                           "\\boxed{B) or C)}",
                           "\\boxed{B} or \\boxed{C}",
                           "$B$ $C$",
                           "x = B",
                           "\\boxed{Both}"}) {
    EXPECT_EQ(Judge(Rule::kChoice, text, "B"), "illegal") << text;
  }
}

TEST(RulesTest, RegexMatchesAllOfTheAnswer) {
  EXPECT_EQ(Judge(Rule::kRegex, "cat", "cat|dog"), "right");
  EXPECT_EQ(Judge(Rule::kRegex, "dog", "cat|dog"), "right");
  EXPECT_EQ(Judge(Rule::kRegex, "hotdog", "cat|dog"), "wrong");
  EXPECT_EQ(Judge(Rule::kRegex, "dogs", "cat|dog"), "wrong");
  EXPECT_EQ(Judge(Rule::kRegex, "Dog", "dog"), "wrong");
  EXPECT_EQ(Judge(Rule::kRegex, "Dog", "(?i)dog"), "right");
  EXPECT_EQ(Judge(Rule::kRegex, "dog\ncat", "dog"), "wrong");
  EXPECT_EQ(Judge(Rule::kRegex, "\xc3\xa9", "."), "right");
  EXPECT_EQ(Judge(Rule::kRegex, "\xc3", "."), "illegal");
  EXPECT_EQ(Judge(Rule::kRegex, "12.50", R"(\d+\.\d{2})"), "right");
}

TEST(RulesTest, APatternThatBacktracksForeverIsBounded) {
  const std::string many(kMaxAnswerLength, 'a');
  EXPECT_EQ(Judge(Rule::kRegex, many, "(a+)+"), "right");
  EXPECT_EQ(Judge(Rule::kRegex, many, "(a|a)*[bc]"), "illegal");
}

TEST(RulesTest, ReferencesThatNoAnswerCanBeComparedWith) {
  EXPECT_EQ(ReferenceFault(Rule::kNumeric, "$1,234.50"), "");
  EXPECT_NE(ReferenceFault(Rule::kNumeric, "twelve").find("numeric"), std::string::npos);
  EXPECT_NE(ReferenceFault(Rule::kChoice, "Both").find("choice"), std::string::npos);
  EXPECT_NE(ReferenceFault(Rule::kMath, "1/0").find("math"), std::string::npos);
  EXPECT_EQ(ReferenceFault(Rule::kExact, std::string(kMaxAnswerLength, 'x')), "");
  EXPECT_NE(ReferenceFault(Rule::kExact, std::string(kMaxAnswerLength + 1, 'x')), "");
  EXPECT_EQ(ReferenceFault(Rule::kRegex, "a|b"), "");
  for (const char* pattern : {"(", "a)|(b", "[", "a{2,1}", "\xff"}) {
    EXPECT_NE(ReferenceFault(Rule::kRegex, pattern).find("pattern"), std::string::npos) << pattern;
  }
}

TEST(RulesTest, MathComparesValues) {
  EXPECT_EQ(Judge(Rule::kMath, "2^10", "1024"), "right");
  EXPECT_EQ(Judge(Rule::kMath, "-2^2", "-4"), "right");
  EXPECT_EQ(Judge(Rule::kMath, "2^-2", "0.25"), "right");
  EXPECT_EQ(Judge(Rule::kMath, "2^3^2", "512"), "right");
  EXPECT_EQ(Judge(Rule::kMath, "-(1/2 + 1/3)", "-5/6"), "right");
  EXPECT_EQ(Judge(Rule::kMath, "1/3", "0.3333"), "wrong");
  for (const char* text : {"x", "2x", "2^(1/2)"})
    EXPECT_EQ(Judge(Rule::kMath, text, "1"), "wrong") << text;
  for (const char* text : {"9^9^9", "2^65", "1/0", "0^-1", "(1", "1)", "1 2"}) {
    EXPECT_EQ(Judge(Rule::kMath, text, "1"), "illegal") << text;
  }
  EXPECT_EQ(Judge(Rule::kMath, std::string(200, '('), "1"), "illegal");
  EXPECT_EQ(Judge(Rule::kMath, std::string(200, '-') + "1", "1"), "illegal");
  EXPECT_EQ(Judge(Rule::kMath, std::string(1 << 20, '1'), "1"), "illegal");
  EXPECT_EQ(Judge(Rule::kMath, std::string_view("1\0", 2), "1"), "illegal");
}

TEST(RulesTest, OneAnswerHasOneSpelling) {
  const auto same = [](Rule rule, std::vector<std::string> answers) {
    for (const std::string& answer : answers) {
      EXPECT_EQ(CanonicalAnswer(rule, answer), CanonicalAnswer(rule, answers[0])) << answer;
      EXPECT_TRUE(Compare(rule, answer, answers[0]).correct) << answer;
    }
    return CanonicalAnswer(rule, answers[0]);
  };
  EXPECT_EQ(same(Rule::kNumeric, {"5", "5.0", "+5", "10/2", "\\boxed{5}", " 500 %"}), "5");
  EXPECT_EQ(same(Rule::kNumeric, {"-0.5", "-1/2", "-.50"}), "-1/2");
  EXPECT_EQ(same(Rule::kNumeric, {"5 km", "5.0 km"}), "5 km");
  EXPECT_EQ(same(Rule::kNumeric, {"$5", "5.00 $"}), "5$");
  EXPECT_EQ(same(Rule::kNumeric, {"123456789012345678901e3", "123456789012345678901000"}),
            "123456789012345678901e3");
  EXPECT_EQ(same(Rule::kMath, {"2^10", "1024", "1,024.0", "2048/2"}), "1024");
  EXPECT_EQ(same(Rule::kMath, {"1-3", "-2"}), "-2");
  EXPECT_EQ(same(Rule::kChoice, {"(b)", "B.", "B) because", "\\boxed{B}", "$b$"}), "B");
  EXPECT_EQ(CanonicalAnswer(Rule::kChoice, "B) or C)"), "");
  EXPECT_EQ(same(Rule::kExact, {"a  b", " a b "}), "a b");
  EXPECT_EQ(CanonicalAnswer(Rule::kRegex, " a  b"), "a  b");
  EXPECT_NE(CanonicalAnswer(Rule::kNumeric, "5 km"), CanonicalAnswer(Rule::kNumeric, "5 miles"));
  EXPECT_NE(CanonicalAnswer(Rule::kNumeric, "5"), CanonicalAnswer(Rule::kNumeric, "-5"));
  for (const std::string& none :
       {std::string(), std::string("five"), std::string(kMaxAnswerLength + 1, '1')})
    EXPECT_EQ(CanonicalAnswer(Rule::kNumeric, none), "");
  const std::string longest(kMaxAnswerLength, '1');
  EXPECT_EQ(CanonicalAnswer(Rule::kNumeric, longest), longest + "e0");
  EXPECT_EQ(CanonicalAnswer(Rule::kExact, longest), longest);
  const Score score = ScoreByRule(Rule::kNumeric, "<think></think><answer>5.0</answer>", "6");
  EXPECT_EQ(score.parsed, "5.0");
  EXPECT_EQ(score.canonical, "5");
}

TEST(RulesTest, CompletionsScoreAsForBuiltInTasks) {
  const Score right = ScoreByRule(Rule::kNumeric, Completion("a", "72.0"), "72");
  EXPECT_EQ(right.value, 1);
  EXPECT_EQ(right.parsed, "72.0");
  const Score wrong = ScoreByRule(Rule::kNumeric, Completion("a", "71"), "72");
  EXPECT_EQ(wrong.value, kFormatCredit);
  EXPECT_EQ(wrong.parts, (decltype(wrong.parts){{"answer", 0.0}, {"format", 1.0}}));
  EXPECT_EQ(ScoreByRule(Rule::kNumeric, Completion("a", "many"), "72").value, 0);
  EXPECT_EQ(ScoreByRule(Rule::kNumeric, "72", "72").value, 0);
}

TEST(RulesTest, NamesAreRead) {
  for (Rule rule : {Rule::kExact, Rule::kNumeric, Rule::kChoice, Rule::kRegex, Rule::kMath}) {
    EXPECT_EQ(ParseRule(RuleName(rule)), rule);
  }
  EXPECT_THROW(ParseRule("numbers"), UsageError);
}

}  // namespace
}  // namespace darkhorse
