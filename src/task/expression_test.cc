#include "task/expression.h"

#include <gtest/gtest.h>

#include <limits>

namespace darkhorse {
namespace {

std::string Value(std::string_view text) {
  const ParsedExpression parsed = ParseExpression(text);
  return !parsed.legal ? "illegal" : !parsed.defined ? "undefined" : ToString(parsed.value);
}

TEST(ExpressionTest, PrecedenceAndAssociativity) {
  EXPECT_EQ(Value("2+3*4"), "14");
  EXPECT_EQ(Value("(2+3)*4"), "20");
  EXPECT_EQ(Value("9-3-2"), "4");
  EXPECT_EQ(Value("8/4/2"), "1");
  EXPECT_EQ(Value("1/3+1/6"), "1/2");
  EXPECT_EQ(Value("2-5"), "-3");
  EXPECT_EQ(Value("1/(2-5)"), "-1/3");
  EXPECT_EQ(Value(" 1 + ( 2 ) "), "3");
  EXPECT_EQ(ParseExpression("7*(3-12)").numbers, (std::vector<int64_t>{7, 3, 12}));
}

TEST(ExpressionTest, WhatTheGrammarLacksIsIllegal) {
  for (const char* text :
       {"",   " ",    "-1",   "+1",  "1-",  "()",  "(1", "1)",  "1 2",   "(1)(2)", "2(3)",
        "01", "1**2", "1//2", "1^2", "1%2", "1.5", "x",  "1,2", "1\t+2", "1e3",    "0x1"}) {
    EXPECT_EQ(Value(text), "illegal") << text;
    EXPECT_FALSE(ParseExpression(text).why.empty()) << text;
  }
  EXPECT_EQ(Value(std::string_view("1+2\0", 4)), "illegal");
  EXPECT_EQ(Value("0"), "0");
}

TEST(ExpressionTest, Limits) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '(') + "1" +
           std::string(static_cast<size_t>(depth), ')');
  };
  EXPECT_EQ(Value(nested(kMaxExpressionDepth)), "1");
  EXPECT_EQ(Value(nested(kMaxExpressionDepth + 1)), "illegal");
  EXPECT_EQ(Value(std::string(kMaxExpressionLength, ' ')), "illegal");
  EXPECT_EQ(Value("1" + std::string(kMaxExpressionLength - 1, ' ')), "1");
  EXPECT_EQ(Value("1" + std::string(kMaxExpressionLength, ' ')), "illegal");
  EXPECT_EQ(Value("999999999"), "999999999");
  EXPECT_EQ(Value("1000000000"), "illegal");
}

TEST(ExpressionTest, NoValueIsNotASyntaxError) {
  EXPECT_EQ(Value("1/0"), "undefined");
  EXPECT_EQ(Value("1/(3-3)+2"), "undefined");
  EXPECT_EQ(Value("999999999*999999999*999999999"), "undefined");
  EXPECT_EQ(Value("1/0+("), "illegal");
}

TEST(RationalTest, OverflowIsRefusedAtTheEdge) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Apply({kMax - 1, 1}, '+', {1, 1}), (Rational{kMax, 1}));
  EXPECT_EQ(Apply({kMax, 1}, '+', {1, 1}), std::nullopt);
  EXPECT_EQ(Apply({-kMax, 1}, '-', {1, 1}), std::nullopt);
  EXPECT_EQ(Apply({kMax, 1}, '/', {kMax, 1}), (Rational{1, 1}));
  EXPECT_EQ(Apply({1, kMax}, '-', {-1, kMax - 1}), std::nullopt);
  EXPECT_EQ(Apply({6, 4}, '*', {-2, 3}), (Rational{-1, 1}));
  EXPECT_EQ(Apply({1, 2}, '/', {0, 1}), std::nullopt);
}

}  // namespace
}  // namespace darkhorse
