#include "task/number.h"

#include <gtest/gtest.h>

#include "task/rules.h"

namespace darkhorse {
namespace {

// "right", "wrong" or "illegal"
std::string Judge(Rule rule, std::string_view answer, std::string_view reference) {
  const RuleVerdict verdict = Compare(rule, answer, reference);
  return verdict.correct ? "right" : verdict.legal ? "wrong" : "illegal";
}

// Spellings of one number a line. Each is right for each other, whichever stands in the file.
const std::vector<std::vector<std::string>> kSpellings = {
    {"5",
     "+5",
     "5.",
     "5.0",
     "05",
     "5e0",
     "5e0000",
     "50e-1",
     "0.5E+1",
     "$5",
     "$5.00",
     "5 $",
     "$ 5",
     "10/2",
     "10 / 2",
     "\\frac{10}{2}",
     "\\dfrac{5}{1}",
     "\\boxed{5}",
     "\\boxed{\\frac{10}{2}}",
     "$5$",
     "\\(5\\)",
     "$\\boxed{5}$",
     "x = 5",
     "x=5",
     "\\boxed{x = 5}",
     "\\boxed{$\\(x = 5\\)$}",
     "500%",
     "500 %",
     "500 percent",
     "500\\%",
     "500 per cent",
     "500 Percent",
     "500pct",
     "\\boxed{5}.",
     "\\boxed{5.}.",
     "$5$.",
     "$x = 5$.",
     "x = $5$.",
     "$\\$5$",
     "5 dollars",
     "$5 dollars",
     "5 US dollars",
     "5 USD",
     "5usd",
     "  5  "},
    {"-5", "−5", "- 5", "-$5", "$-5", "−$5", "-5.0", "-10/2", "\\frac{-10}{2}", "-\\frac{10}{2}",
     "-500 %", "\\boxed{-5}"},
    {"-5", "-5 km", "−5 km."},
    {"12", "12 apples", "12 apple", "12 Apples", "12."},
    {"12", "$12", "12."},
    {"12", "12 big red ripe apples"},
    {"5 inch", "5 inches", "5inches", "5"},
    {"5 boxes", "5 box", "5"},
    {"5 hrs", "5 hr", "5hrs", "5"},
    {"5 houses", "5 house"},
    {"5 buses", "5 bus"},
    {"5 classes", "5 class"},
    {"5 dishes", "5 dish"},
    {"5 lbs", "5 lb"},
    {"5 seconds", "5 second", "5"},
    {"5 m", "5m"},
    {"5 km", "5km", "5 KM", "5\\,\\text{km}", "5~\\mathrm{km}", "5.0 km.", "5 km"},
    {"5 km/h", "5 km/h", "\\text{5 km/h}"},
    {"20 m²", "20m²"},
    {"5€", "5 €", "€5", "5 euros", "5 EUR", "5"},
    {"£5", "5 pounds", "5 pound", "5"},
    {"¥5", "5 ¥", "5 yen", "5"},
    {"$5/hour", "5/hour", "5 /hour", "5 per hour", "5 dollars per hour", "5 $/hour"},
    {"$5", "$5/hour"},
    {"0.5", ".5", "+.5", "50%", "50 %", "50 per cent", "50 pct", "1/2", "2/4", "\\frac{1}{2}",
     "\\tfrac{2}{4}", "5e-1", "0.50"},
    {"0.00001", "1e-5", "1E-05", ".00001", "1/100000", "1e-05"},
    {"1,234", "1234", "$1,234.00", "1{,}234", "1.234e3"},
    {"1,234,567.5", "1234567.5"},
    {"0", "-0", "0.0", "0e5", "0 %", "0/7", "−0"},
    {"100000000000000000000", "1e20", "100,000,000,000,000,000,000", "1.0E20", "1e22 %"},
    {"123456789012345678901234567890", "123456789012345678901234567890.0"},
    {"123456789012345678", "123456789012345678/1"},
    {"1e18", "1e18/1"},
    {"1e-18", "1e-18/1"},
    {"1e-30", "0.000000000000000000000000000001"},
};

TEST(Number, EachSpellingIsRightForEachOther) {
  for (const auto& spellings : kSpellings) {
    for (const std::string& answer : spellings) {
      for (const std::string& reference : spellings) {
        EXPECT_EQ(Judge(Rule::kNumeric, answer, reference), "right")
            << answer << " for " << reference;
        EXPECT_EQ(Judge(Rule::kMath, answer, reference), "right") << answer << " for " << reference;
      }
    }
  }
}

TEST(Number, NumbersThatDifferAreWrongHoweverTheyAreSpelt) {
  const std::vector<std::vector<std::string>> others = {
      {"5", "-5", "50%", "5e1", "5 %", "51", "5.01", "4.9999999999999999999"},
      {"0.1", "0.10000000000000001", "0.09999999999999999999", "1/9"},
      {"100000000000000000000", "100000000000000000001", "-1e20", "1e21"},
      {"5 km", "5 miles", "5 m", "5 km/h"},
      {"5 m", "5 ms", "5 s"},
      {"$5", "€5", "£5", "¥5", "5 cents", "5 km", "5 cents/hour"},
      {"5 dollars", "5 euros", "5 pounds", "5 yen", "5 cents"},
      {"$5", "5 euros", "5 yen", "5 apples", "5/hour"},
      {"5/hour", "5 hours", "5/day"},
      {"$5/hour", "5 hours", "$5/day"},
      {"5 inches", "5 boxes", "5 hrs", "5 houses"},
      {"50", "50 per cent", "5 pct"},
      {"1,234", "1.234"},
  };
  for (const auto& numbers : others) {
    for (const std::string& answer : numbers) {
      for (const std::string& reference : numbers) {
        if (answer == reference) continue;
        EXPECT_EQ(Judge(Rule::kNumeric, answer, reference), "wrong")
            << answer << " for " << reference;
      }
    }
  }
}

// Two numbers, two readings, or a word that makes another number of it.
TEST(Number, WhatIsNotOneNumberIsNone) {
  for (const std::string text : {"5 or 6",
                                 "5, 6",
                                 "5,6",
                                 "5;6",
                                 "5 6",
                                 "5\n6",
                                 "5/6/7",
                                 "5-6",
                                 "5 - 6",
                                 "5 (6)",
                                 "5=5",
                                 "5 = 6",
                                 "(5)",
                                 "\\boxed{5}\\boxed{6}",
                                 "\\boxed{5} or \\boxed{6}",
                                 "\\boxed{5, 6}",
                                 "$5$ $6$",
                                 "$5$6$",
                                 "x = 5 or 6",
                                 "x = 5, y = 6",
                                 "5 or not",
                                 "5 and more",
                                 "not 5",
                                 "5 km 6",
                                 "5 km2",
                                 "5 km or 6 km",
                                 "5 apples, 6 pears",
                                 "1.234,5",
                                 "1.234.567",
                                 "1,23",
                                 "12,34",
                                 "1234,567",
                                 "0,123",
                                 "1,234,5",
                                 "1'234",
                                 "1 234",
                                 "1_000",
                                 "1\\,234",
                                 "5 million",
                                 "5 thousand",
                                 "5 Hundred",
                                 "5 dozen",
                                 "5 half",
                                 "5 thirds",
                                 "5k",
                                 "5M",
                                 "5 bn",
                                 "5x",
                                 "5 x",
                                 "5i",
                                 "5 pi",
                                 "5π",
                                 "5²",
                                 "5 squared",
                                 "5!",
                                 "5^2",
                                 "5th",
                                 "5 plus",
                                 "5 ½",
                                 "½",
                                 "1 1/2",
                                 "5 ٣",
                                 "5万",
                                 "5 minus",
                                 "five",
                                 "5..",
                                 "..5",

                                 ".",
                                 "",
                                 "+",
                                 "-",
                                 "--5",
                                 "+-5",
                                 "-$-5",
                                 "$$5",
                                 "$€5",
                                 "$",
                                 "%",
                                 "5 %%",
                                 "5 % %",
                                 "5 % km",
                                 "%5",
                                 "e5",
                                 "1e",
                                 "1e5.5",
                                 "1e99999",
                                 "0x10",
                                 "1/0",
                                 "1/-2",
                                 "\\frac{1}{0}",
                                 "\\frac{1}{2",
                                 "\\frac12",
                                 "-\\frac{-1}{2}",
                                 "\\frac{1}{2}3",
                                 "nan",
                                 "inf",
                                 "∞",
                                 "5 big red ripe sour apples",
                                 "\\boxed{\\boxed{$\\(x = 5\\)$}}",
                                 "5 one two",
                                 "7 twelfths",
                                 "7 Twelfth",
                                 "5 elevenths",
                                 "5 thirteenths",
                                 "5 fortieths",
                                 "5 millionths",
                                 "5 hundredths",
                                 "5 quadrillion",
                                 "5 quintillions",
                                 "5 quintillionths",
                                 "5 milliards",
                                 "5 double",
                                 "10 doubled",
                                 "5 tripled",
                                 "5 quadrupled",
                                 "5 twice",
                                 "5 thrice",
                                 "5 halves",
                                 "10 halved",
                                 "1 gross",
                                 "1 couple",
                                 "5 couples of days",
                                 "5 grand",
                                 "5-fold",
                                 "5 fold",
                                 "5 tenfold",
                                 "5 sixes",
                                 "5 ppm",
                                 "5 basis points",
                                 "5 percentage points",
                                 "5 per cent more",
                                 "5 percent km",
                                 "$5 euros",
                                 "$5 cents",
                                 "5 £ pence",
                                 "5 $ euros",
                                 "5€ dollars",
                                 "5xy",
                                 "2ab",
                                 "12/ab",
                                 "12/x",
                                 "5xy squared",
                                 "12apples",
                                 "\\frac{1}{2}xy",
                                 "5//hour",
                                 "5/",
                                 "\\boxed{5}..",
                                 "\\boxed{5..}",
                                 "$5\\$",
                                 "$\\$5$6$",
                                 "5 km,",
                                 "5?",
                                 "5*",
                                 "about 5",
                                 "~5 6",
                                 "5 <b>",
                                 "5 \"km\""}) {
    for (const std::string reference : {"5", "6", "1234", "0.5", "1"}) {
      EXPECT_EQ(Judge(Rule::kNumeric, text, reference), "illegal") << text;
    }
    EXPECT_NE(ReferenceFault(Rule::kNumeric, text), "") << text;
  }
  EXPECT_EQ(Judge(Rule::kNumeric, std::string("5\0", 2), "5"), "illegal");
  EXPECT_EQ(Judge(Rule::kNumeric, "5\xff", "5"), "illegal");
  EXPECT_EQ(Judge(Rule::kNumeric, "5\xc3", "5"), "illegal");
}

// A unit's word looks like one of those above.
TEST(Number, WordsNearOnesThatMakeAnotherNumberAreUnits) {
  for (const std::string text : {"5 seconds",
                                 "5 months",
                                 "5 teeth",
                                 "5 baths",
                                 "5 cities",
                                 "5 pairs",
                                 "5 grandchildren",
                                 "5 millionaires",
                                 "5 canteens",
                                 "5 rounds",
                                 "5 square meters",
                                 "5 people per room",
                                 "5km",
                                 "5 km",
                                 "5kg",
                                 "5 cm²",
                                 "5cm²",
                                 "5ml",
                                 "5h",
                                 "5min",
                                 "5°C",
                                 "5 xylophones",
                                 "5 noses",
                                 "5 tenses"}) {
    for (const Rule rule : {Rule::kNumeric, Rule::kMath}) {
      EXPECT_EQ(Judge(rule, text, "5"), "right") << text;
      EXPECT_EQ(Judge(rule, text, "6"), "wrong") << text;
      EXPECT_EQ(Judge(rule, text, "5 eggs"), "wrong") << text;
    }
  }
}

// Votes are for one answer exactly if each is right for the other and both are dressed alike.
TEST(Number, VotesAgreeWithWhatIsRight) {
  const std::vector<std::vector<std::string>> votes = {
      {"5", "\\boxed{5}.", "500 per cent"},
      {"$5", "5 dollars", "$5 dollars", "5 USD", "$\\$5$."},
      {"5 euros", "€5"},
      {"5 cents", "5 cent"},
      {"5/hour", "5 per hours"},
      {"5 hours", "5 hour", "5hours"},
      {"$5/hour", "5 dollars per hour"},
      {"5 boxes", "5 box"},
      {"5 inches", "5 inch"},
  };
  for (const auto& vote : votes) {
    for (const auto& other : votes) {
      for (const std::string& a : vote) {
        for (const std::string& b : other) {
          for (const Rule rule : {Rule::kNumeric, Rule::kMath}) {
            const bool same = CanonicalAnswer(rule, a) == CanonicalAnswer(rule, b);
            EXPECT_EQ(same, &vote == &other) << a << " and " << b;
            EXPECT_TRUE(!same || Compare(rule, a, b).correct) << a << " for " << b;
          }
        }
      }
    }
  }
}

TEST(Number, ExpressionsTakeTheSameSpellings) {
  for (const std::string text : {"2+3",
                                 "\\boxed{2+3}",
                                 "x = 2 \\times 3 − 1",
                                 "\\frac{2+8}{2}",
                                 "\\frac{\\frac{10}{1}}{2}",
                                 "10 ÷ 2",
                                 "5 \\cdot 1",
                                 "\\left(2+3\\right)",
                                 "+2+3",
                                 ".5*10",
                                 "5.*1",
                                 "5e-1*10",
                                 "500%",
                                 "2^{2}+1",
                                 "2^{1+1}+1",
                                 "2^{-1}*10",
                                 "(2+3).",
                                 "$(2+3)$.",
                                 "1,000/200",
                                 "-(−5)",
                                 "5 km",
                                 "$5",
                                 "2^2+1"}) {
    EXPECT_EQ(Judge(Rule::kMath, text, "5"), "right") << text;
  }
  for (const std::string text : {"5, 6",
                                 "5 or 6",
                                 "2+",
                                 "\\frac{10}{}",
                                 "\\frac{10}",
                                 "5 %%",
                                 "5 5",
                                 "(5",
                                 "5=5",
                                 "2+3 km",
                                 "1,23",
                                 "1.234,5",
                                 "\\boxed{5}\\boxed{6}",
                                 "5 million",
                                 "12/ab",
                                 "5apples",
                                 "7 twelfths",
                                 "2^{",
                                 "2^{2",
                                 "2^{}",
                                 "2^{2}^2",
                                 "{5}"}) {
    EXPECT_EQ(Judge(Rule::kMath, text, "5"), "illegal") << text;
  }
}

TEST(Number, ExpressionsMayNestAndRaiseAsFarAsTheLimits) {
  const auto nested = [](size_t deep) {
    return std::string(deep, '(') + "5" + std::string(deep, ')');
  };
  std::string sum = "5";  // long is not deep
  for (int i = 0; i < 70; ++i) sum += "+0";
  for (const std::string& text : {nested(63), sum, std::string("1^64+4"), std::string("1^-64+4")})
    EXPECT_EQ(Judge(Rule::kMath, text, "5"), "right") << text;
  for (const std::string& text : {nested(64), std::string("1^65+4"), std::string("1^-65+4")})
    EXPECT_EQ(Judge(Rule::kMath, text, "5"), "illegal") << text;
}

}  // namespace
}  // namespace darkhorse
