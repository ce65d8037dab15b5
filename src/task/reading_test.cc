#include "task/reading.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "task/markup.h"
#include "task/rules.h"

namespace darkhorse {
namespace {

Score Read(const Reading& reading, std::string_view text, Rule rule = Rule::kNumeric) {
  return ReadScore(reading, JudgeOf(rule, "72"), text);
}
double Part(const Score& score, std::string_view name) {
  for (const auto& [part, value] : score.parts) {
    if (part == name) return value;
  }
  return -1;
}

TEST(Reading, ByDefaultIsThatOfThisProgramsTasks) {
  for (const char* text : {"<think>a</think><answer>72</answer>", "<answer>72</answer>", "72",
                           "<think></think><answer>5</answer>", "<think></think><answer>"}) {
    const Score score = Read({}, text), same = ScoreByRule(Rule::kNumeric, text, "72");
    EXPECT_EQ(score.value, same.value) << text;
    EXPECT_EQ(score.parts, same.parts);
    EXPECT_EQ(score.why, same.why);
    EXPECT_EQ(score.parsed, same.parsed);
    EXPECT_FALSE(score.lenient);
  }
}

TEST(Reading, AccuracyIsOfThePlace) {
  const Reading boxed{.place = AnswerPlace::kBoxed, .lenient = true};
  const Score right = Read(boxed, "so \\boxed{72.0}.");
  EXPECT_TRUE(right.correct);
  EXPECT_EQ(right.canonical, "72");
  EXPECT_EQ(right.value, 1);
  EXPECT_EQ(right.why, "boxed: right");
  EXPECT_TRUE(right.lenient->correct);
  EXPECT_EQ(right.lenient->place, "boxed");
  const Score elsewhere = Read(boxed, "so #### 72");
  EXPECT_FALSE(elsewhere.correct);
  EXPECT_EQ(elsewhere.parsed, "");
  EXPECT_EQ(elsewhere.value, 0);
  EXPECT_EQ(elsewhere.why, "boxed: no \\boxed{}");
  EXPECT_TRUE(elsewhere.lenient->correct);
  EXPECT_EQ(elsewhere.lenient->place, "hashes");
  EXPECT_EQ(elsewhere.lenient->parsed, "72");
  EXPECT_EQ(Part(elsewhere, "answer"), 0);
  EXPECT_EQ(Part(elsewhere, "lenient"), 1);
  const Score wrong = Read(boxed, "\\boxed{71} or 72");  // what stands at the place counts
  EXPECT_FALSE(wrong.lenient->correct);
  EXPECT_EQ(wrong.why, "boxed: not 72");
}

TEST(Reading, AFormIsPaidAsAsked) {
  const auto worth = [](FormPay form, std::string_view text) {
    return Read({.place = AnswerPlace::kBoxed, .form = form}, text).value;
  };
  for (const FormPay form : {FormPay::kAlways, FormPay::kWithAnswer, FormPay::kNever}) {
    EXPECT_EQ(worth(form, "\\boxed{72}"), 1);
    EXPECT_EQ(worth(form, "71"), 0);
    EXPECT_EQ(worth(form, "none"), 0);
  }
  EXPECT_EQ(worth(FormPay::kAlways, "\\boxed{71}"), kFormatCredit);
  EXPECT_EQ(worth(FormPay::kWithAnswer, "\\boxed{71}"), 0);
  EXPECT_EQ(worth(FormPay::kNever, "\\boxed{71}"), 0);
  EXPECT_EQ(worth(FormPay::kAlways, "72"), 0);
  EXPECT_EQ(worth(FormPay::kWithAnswer, "72"), 1 - kFormatCredit);
  EXPECT_EQ(worth(FormPay::kNever, "72"), 1);
  const Score score = Read({.place = AnswerPlace::kBoxed, .form = FormPay::kWithAnswer}, "72");
  EXPECT_FALSE(score.correct);
  EXPECT_EQ(score.why, "boxed: no \\boxed{}; right as last_number");
}

TEST(Reading, PaysHaveNames) {
  for (const std::string& name : FormPayNames())
    EXPECT_EQ(FormPayNames()[static_cast<size_t>(ParseFormPay(name))], name);
  EXPECT_TRUE(Says(MessageOf([] { ParseFormPay("alway"); }), "did you mean 'always'"));
}

// As published models write answers: what this program's own models never do.
TEST(Reading, TasksReadAnswersAsTheyAreWritten) {
  const auto right = [](const char* task, AnswerPlace place, const auto& wording) {
    for (uint64_t i = 0; i < 20; ++i) {
      const Problem problem = MakeProblem(FindTask(task), 3, i, 1, Split::kTrain);
      const Score score = ReadScore({.place = place, .lenient = true},
                                    FindTask(task).JudgeOf(problem), wording(problem.answer));
      EXPECT_TRUE(score.correct) << task << ": " << wording(problem.answer) << ": " << score.why;
      const Score wrong = ReadScore({.place = place}, FindTask(task).JudgeOf(problem),
                                    wording(problem.answer + "1"));
      EXPECT_FALSE(wrong.correct) << task << ": " << wording(problem.answer + "1");
    }
  };
  right("sum", AnswerPlace::kLastNumber,
        [](const std::string& a) { return "That makes " + a + "."; });
  right("multiply", AnswerPlace::kBoxed, [](const std::string& a) {
    return "So $\\boxed{" + a.substr(0, a.size() - 3) + (a.size() > 3 ? "," : "") +
           a.substr(a.size() - 3) + "}$";
  });
  right("gcd", AnswerPlace::kHashes, [](const std::string& a) { return "#### " + a + ".0"; });
  right("solve", AnswerPlace::kBoxed,
        [](const std::string& a) { return "\\boxed{x = " + a + "}"; });
  right("parity", AnswerPlace::kTags,
        [](const std::string& a) { return Completion("hm", "\\text{" + a + "}"); });
  right("parity", AnswerPlace::kTags, [](const std::string& a) {
    return Completion("hm", a == "odd" ? "Odd" : a == "even" ? "EVEN" : a);
  });
  const auto list = [&](const char* open, const char* between, const char* close) {
    right("sort", AnswerPlace::kBoxed, [&](const std::string& a) {
      std::string text;
      for (const char c : a) text += c == ' ' ? between : std::string(1, c);
      return fmt::format("\\boxed{{{}{}{}}}", open, text, close);
    });
  };
  list("", " ", "");
  list("", ", ", "");
  list("[", ",", "]");
  list("", " < ", "");
  list("", "、", "");
  list("", "，", "");
}

}  // namespace
}  // namespace darkhorse
