#include "task/math_answer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <vector>

#include "task/markup.h"
#include "task/rules.h"

namespace darkhorse {
namespace {

// A line of math_pairs.txt.
struct Pair {
  std::string kind, answer, verdict, other, where;
};

std::vector<Pair> Pairs() {
  std::ifstream file(DARKHORSE_SOURCE_DIR "/src/task/math_pairs.txt");
  std::vector<Pair> pairs;
  std::string kind, line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.starts_with("## ")) kind = line.substr(3);
    if (line.empty() || line[0] == '#') continue;
    for (const std::string verdict : {" == ", " != ", " ??"}) {
      const size_t at = line.find(verdict);
      if (at == line.npos) continue;
      pairs.push_back({kind, line.substr(0, at), verdict, line.substr(at + verdict.size()),
                       "line " + std::to_string(number) + ": " + line});
      break;
    }
  }
  return pairs;
}

TEST(MathAnswer, PairsHaveTheirVerdict) {
  std::map<std::string, int> count;
  for (const Pair& pair : Pairs()) {
    SCOPED_TRACE(pair.where);
    ++count[pair.verdict];
    const RuleVerdict verdict = Compare(Rule::kMath, pair.answer, pair.other);
    const std::string vote = CanonicalAnswer(Rule::kMath, pair.answer);
    const std::string other = CanonicalAnswer(Rule::kMath, pair.other);
    if (pair.verdict == " ??") {
      EXPECT_FALSE(verdict.legal);
      EXPECT_EQ(vote, "");
      continue;
    }
    const bool same = pair.verdict == " == ";
    EXPECT_TRUE(verdict.legal);
    EXPECT_EQ(verdict.correct, same);
    EXPECT_EQ(Compare(Rule::kMath, pair.other, pair.answer).correct, same);
    EXPECT_TRUE(Compare(Rule::kMath, pair.answer, pair.answer).correct);
    EXPECT_NE(vote, "");
    EXPECT_NE(other, "");
    // A unit that one alone names is right, and another vote.
    const auto unit = [](const std::string& text) {
      const auto answer = ReadMathAnswer(text);
      return answer && answer->number ? answer->number->unit + answer->number->currency
             : answer                 ? answer->unit
                                      : "";
    };
    if (unit(pair.answer) == unit(pair.other)) {
      EXPECT_EQ(vote == other, same);
    }
  }
  EXPECT_GE(count[" == "], 150);
  EXPECT_GE(count[" != "], 120);
  EXPECT_GE(count[" ??"], 80);
}

TEST(MathAnswer, OneValueHasOneSpelling) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> votes = {
      {"2*2^(1/2)", {"\\sqrt{8}", "2\\sqrt2", "\\frac{4}{\\sqrt{2}}", "2^{3/2}", "2√2"}},
      {"1/2*pi", {"\\frac{\\pi}{2}", "0.5π", "\\pi \\div 2"}},
      {"1 + 2*x + x^2", {"(x+1)^2", "x(x+2)+1", "\\frac{(x+1)^3}{x+1}"}},
      {"(1)/(-1 + x)", {"\\frac{1}{x-1}", "\\frac{x+1}{x^2-1}", "-\\frac{2}{2-2x}"}},
      {"{-2, 2}", {"\\pm 2", "{2,-2}", "\\{-2, \\frac42\\}"}},
      {"(1/2, 2^(1/2)]", {"(0.5, \\sqrt{2}]", "\\left(\\frac12, √2\\right]"}},
      {"(-infinity, 0) ∪ [1, 2]", {"[1,2] \\cup (-\\infty,0)", "(−∞, 0) ∪ [1, 2]"}},
      {"3*2^(1/2) cm", {"3\\sqrt{2}\\text{ cm}", "\\sqrt{18} cm"}},
      {"90 °", {"90^\\circ", "90 degrees", "90\\text{ degrees}"}},
      {"x^(-1)", {"1/x", "x^{-1}", "\\frac{x}{x^2}"}},
      {"3/2", {"\\frac32", "1.5", "\\sqrt{\\frac94}", "\\boxed{3/2}"}},
      {"infinity", {"\\infty", "+∞", "infinity"}},
      {"{}", {"\\emptyset", "\\{ \\}"}},
  };
  for (const auto& [spelling, answers] : votes) {
    for (const std::string& answer : answers)
      EXPECT_EQ(CanonicalAnswer(Rule::kMath, answer), spelling) << answer;
  }
}

std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// As long as an answer may be, and much longer.
TEST(MathAnswer, HostileAnswersAreNotRead) {
  for (const int times : {20, 40, 60, 80, 120, 250, 1000000}) {
    for (const std::string_view text :
         {"(", "[",  "\\{",     "\\sqrt{", "\\frac{", "2^",       "2^{",
          "-", "√",  "\\left(", "((1,2),", "\\pm",    "\\boxed{", "\\text{",
          "$", "f(", "{{",      "\\frac",  "^",       "\\"}) {
      const std::string all = Repeated(text, times);
      EXPECT_FALSE(ReadMathAnswer(all)) << text << " " << times;
      EXPECT_EQ(Compare(Rule::kMath, all, "1").legal, false);
      EXPECT_FALSE(Compare(Rule::kMath, "1", all).correct);
    }
  }
  for (const std::string_view text :
       {"(a+b+c+d+e+i+j+k)^64", "(x+y)^64(x-y)^64", "((x+1)^64)^64", "9^{9^{9^{9}}}",
        "x^{-9999999}", "\\frac{x^{1000000}-1}{x-1}", "2^{1/1000000}", "\\sqrt{999999999999999989}",
        "\\frac{(x+y+z)^{12}}{(x+2y+3z)^{11}+1}", "1e999999999", "10^{19}",
        "\\frac{1}{\\sqrt2+\\sqrt3+\\sqrt5+\\sqrt7+\\sqrt{11}+\\sqrt{13}+\\sqrt{17}+\\sqrt{19}}"}) {
    EXPECT_FALSE(ReadMathAnswer(text)) << text;
  }
}

// Whatever the bytes: nothing breaks, and what can be read is the same as itself.
TEST(MathAnswer, AnyTextIsReadOrNot) {
  const std::vector<std::string> parts = {
      "1",     "2",   "x",   "y",    "+",       "-",           "*", "/",      "^",
      "(",     ")",   "{",   "}",    "[",       "]",           ",", "\\frac", "\\sqrt",
      "\\pi",  "\\{", "\\}", "\\pm", "\\infty", "\\text{ cm}", "°", "√",      " ",
      "\\cup", ".",   "²",   "%",    "\\",      "=",           "$", "\\in"};
  uint64_t state = 1;
  int read = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (int length = 1 + i % 12; length > 0; --length) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += parts[(state >> 33) % parts.size()];
    }
    const bool legal = Compare(Rule::kMath, text, text).legal;
    EXPECT_EQ(Compare(Rule::kMath, text, text).correct, legal) << text;
    EXPECT_EQ(CanonicalAnswer(Rule::kMath, text).empty(), !legal) << text;
    read += legal;
  }
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace darkhorse
