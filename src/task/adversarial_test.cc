// Completions that try to be paid for nothing. Each may earn the format credit at most.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "task/markup.h"
#include "task/task.h"

namespace darkhorse {
namespace {

std::string Repeat(std::string_view piece, size_t count) {
  std::string text;
  text.reserve(piece.size() * count);
  for (size_t i = 0; i < count; ++i) text += piece;
  return text;
}

// Right answers in markup that breaks the rules.
std::vector<std::string> BrokenMarkup(const std::string& right) {
  const std::string a = "<answer>" + right + "</answer>";
  return {
      right,
      a,
      "<think>" + a,
      "<think>" + a + "</think>",
      "<think></think>" + right,
      "<think></think><answer>" + right,
      "<think></think>" + right + "</answer>",
      "<think></think><answer><answer>" + right + "</answer></answer>",
      "<think><think></think></think>" + a,
      "<think><think></think>" + a,
      "<think></think></think>" + a,
      "</think>" + a,
      "</think><think>" + a,
      a + "<think></think>",
      "<THINK></THINK><ANSWER>" + right + "</ANSWER>",
      "<think ></think ><answer >" + right + "</answer >",
      "< think></ think>< answer>" + right + "</ answer>",
      "x<think></think>" + a,
      "<think></think><think></think>" + a,
      "<think></think>" + a + "<think>",
      "<think></think>" + a + "<answer>",
      "<think></think>" + a + "</answer>",
      "<think></think>" + a + "<think></think>" + a,
      "<think><answer></think>" + a,
      "&lt;think&gt;&lt;/think&gt;" + a,
      "<think></think>\\boxed{" + right + "}",
      "<think></think>The answer is " + right,
      std::string("\0<think></think>", 16) + a,
  };
}

// Well-formed completions whose answers cheat.
std::vector<std::string> BadAnswers(const std::string& right, const Problem& problem) {
  return {
      "",
      " ",
      problem.prompt,
      right + " or not",
      right + "," + right,
      right + "=" + right,
      right + "\n" + right,
      right + std::string(1, '\0'),
      std::string(1, '\0') + right,
      right + std::string("\0junk", 5),
      right + "\xc2\xa0",
      right + "\xe2\x80\x8b",
      "\xef\xbb\xbf" + right,
      "+" + right,
      "--" + right,
      "0" + right,
      "(" + right,
      right + ")",
      "[" + right + "]",
      "\"" + right + "\"",
      right + ".",
      right + "%",
      right + "e0",
      right + ";",
      "\xd9\xa1\xd9\xa2",          // Arabic-Indic 12
      "\xef\xbc\x91\xef\xbc\x92",  // full-width 12
      "\xe2\x91\xab",              // circled 12
      "\xe2\x88\x92" + right,      // U+2212
      "2**3",
      "7//2",
      "9**9**9**9**9",
      "9^9^9",
      "2^10",
      "__import__('os').system('true')",
      "eval(1)",
      "1e9999",
      "nan",
      "inf",
      "0x10",
      "0b1",
      "1_0",
      "1/0",
      "(1-1)/(1-1)",
      "99999999999999999999999999999999",
      "-99999999999999999999999999999999",
      "9223372036854775808",
      "999999999*999999999*999999999*999999999",
      Repeat("9", 200),
      Repeat("(", 100) + "1" + Repeat(")", 100),
      Repeat("9*", 120) + "9",
      Repeat("9", 1 << 20),
      Repeat("(", 1 << 20),
      Repeat("1+", 1 << 19) + "1",
      Repeat(right + " ", 300),
      Repeat(" ", 1 << 20) + "1 " + right + Repeat(" ", 10),
      "None",
      "<b>" + right + "</b>",
      "?",
      "*",
      ".*",
  };
}

// A megabyte of markup.
std::vector<std::string> Floods(const std::string& right) {
  return {
      Repeat("<think>", 150000),
      Repeat("<", 1 << 20),
      Repeat("<answer>", 130000),
      Repeat("<think></think>", 70000),
      "<think></think>" + Repeat("<answer>", 130000) + right + Repeat("</answer>", 130000),
      "<think></think>" + Repeat("<answer>" + right + "</answer>", 40000) + "<answer></answer>",
      "<think>" + Repeat("a", 1 << 20),
      "<think>" + Repeat("</think", 150000) + "<answer>" + right + "</answer>",
  };
}

std::vector<std::string> CountdownCheats(const Problem& problem) {
  const std::string t = std::to_string(problem.target);
  const std::string a = problem.answer, n = std::to_string(problem.numbers[0]);
  return {t,
          t + "*1",
          a + "+0",
          a + "+" + n + "-" + n,
          "(" + a + ")*1",
          "(" + a + ")" + "/1",
          a + "=" + t,
          "-(" + a + ")*(0-1)",
          a + "//1",
          a + "**1",
          a + "^1",
          "(" + a + ")(1)",
          n + " " + a,
          a + "!"};
}

class AdversarialTest : public testing::TestWithParam<std::string> {};

TEST_P(AdversarialTest, EarnsTheFormatCreditAtMost) {
  const Task& task = FindTask(GetParam());
  for (int level = 1; level <= task.Levels(); ++level) {
    // A problem whose answer is neither 0 nor 1, which some of the strings below would answer
    // rightly by chance.
    uint64_t index = 0;
    Problem problem = task.Make(1, index, level);
    while (problem.answer == "0" || problem.answer == "1") problem = task.Make(1, ++index, level);
    const std::string& right = problem.answer;
    ASSERT_EQ(task.ScoreCompletion(Completion("", right), problem).value, 1);
    std::vector<std::string> completions = BrokenMarkup(right);
    std::vector<std::string> answers = BadAnswers(right, problem);
    if (problem.task == "countdown") {
      for (const auto& cheat : CountdownCheats(problem)) answers.push_back(cheat);
    }
    for (const std::string& answer : answers) {
      completions.push_back(Completion("", answer));
      completions.push_back(Completion("", right) + "<answer>" + answer + "</answer>");
    }
    if (level == 1) {
      for (const std::string& flood : Floods(right)) completions.push_back(flood);
    }
    completions.push_back("");
    completions.push_back(problem.prompt);
    ASSERT_GE(completions.size(), 50u);
    for (const std::string& completion : completions) {
      const Score score = task.ScoreCompletion(completion, problem);
      EXPECT_LE(score.value, kFormatCredit) << problem.prompt << completion.substr(0, 200);
      EXPECT_FALSE(score.why.empty());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tasks, AdversarialTest, testing::ValuesIn(TaskNames()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace darkhorse
