#include "task/task.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "task/countdown.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

TEST(TaskTest, AnAnswerMayBeAsLongAsTheLimitSays) {
  const Task& task = FindTask("countdown");
  const Problem problem = task.Make(1, 0, 1);
  std::string answer = problem.answer;
  const size_t middle = answer.find_first_of("+-*/");
  ASSERT_NE(middle, answer.npos);
  answer.insert(middle, kMaxAnswerLength - answer.size(), ' ');
  EXPECT_EQ(task.ScoreCompletion(Completion("", answer), problem).value, 1);
  answer.insert(middle, 1, ' ');
  EXPECT_EQ(task.ScoreCompletion(Completion("", answer), problem).value, 0);
}

TEST(TaskTest, ANumberInABaseMayHave32Digits) {
  const Task& task = FindTask("base");
  const Problem problem = task.Make(1, 0, 1);
  for (const auto& [digits, value] : {std::pair{32, kFormatCredit}, {33, 0.0}}) {
    const std::string answer(static_cast<size_t>(digits), '1');
    EXPECT_EQ(task.ScoreCompletion(Completion("", answer), problem).value, value) << digits;
  }
}

TEST(TaskTest, OracleIsRightAtEveryLevel) {
  for (const std::string& name : TaskNames()) {
    const Task& task = FindTask(name);
    for (int level = 1; level <= task.Levels(); ++level) {
      for (uint64_t index = 0; index < 500; ++index) {
        const Problem problem = task.Make(7, index, level);
        const Score score = task.ScoreCompletion(task.Oracle(problem), problem);
        ASSERT_EQ(score.value, 1) << problem.prompt << task.Oracle(problem) << score.why;
        ASSERT_TRUE(score.correct);
      }
    }
  }
}

TEST(TaskTest, GuessesAreLegal) {
  for (const std::string& name : TaskNames()) {
    const Task& task = FindTask(name);
    for (int level = 1; level <= task.Levels(); ++level) {
      for (uint64_t index = 0; index < 200; ++index) {
        const Problem problem = task.Make(8, index, level);
        RandomSequence random(8, RandomStream::kTest, index);
        const std::string text =
            "<think></think><answer>" + task.Guess(problem, random) + "</answer>";
        ASSERT_GE(task.ScoreCompletion(text, problem).value, kFormatCredit)
            << problem.prompt << text;
      }
    }
  }
}

TEST(TaskTest, PromptsAndTracesArePlainAsciiAndEndInANewline) {
  for (const std::string& name : TaskNames()) {
    const Task& task = FindTask(name);
    for (int level = 1; level <= task.Levels(); ++level) {
      const Problem problem = task.Make(9, 1, level);
      RandomSequence random(9, RandomStream::kTest, 1);
      const std::string text = problem.prompt + task.WorkedTrace(problem, {}, random);
      EXPECT_EQ(problem.prompt.back(), '\n');
      for (char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << text;
    }
  }
}

TEST(TaskTest, MakeIsAPureFunctionOfItsCoordinates) {
  const Task& task = FindTask("countdown");
  EXPECT_EQ(task.Make(1, 2, 1).prompt, task.Make(1, 2, 1).prompt);
  std::set<std::string> prompts;
  for (uint64_t i = 0; i < 50; ++i) {
    prompts.insert(task.Make(1, i, 4).prompt);
    prompts.insert(task.Make(2, i, 4).prompt);
  }
  EXPECT_GT(prompts.size(), 95u);
}

// Problems are part of a run's identity: a changed draw makes another benchmark.
TEST(TaskTest, ProblemsStayTheSameAcrossVersions) {
  const auto prompt = [](const char* name) { return FindTask(name).Make(1, 0, 1).prompt; };
  std::string all;
  for (const std::string& name : TaskNames()) all += prompt(name.c_str());
  EXPECT_EQ(all,
            "make 1 from 1 8 6\n"
            "sum 7-3+8+3\n"
            "multiply 42*44\n"
            "solve 9x+13=193\n"
            "gcd 48 56\n"
            "base 10 to 3 138\n"
            "sort 20 8 14 4\n"
            "parity 010000000011\n");
}

TEST(TaskTest, UnknownNamesAndLevelsAreRefusedWithACure) {
  try {
    FindTask("countdwn");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'countdown'"), std::string::npos);
  }
  EXPECT_THROW(FindTask(std::string(1 << 20, 'x')), UsageError);
  EXPECT_THROW(FindTask(""), UsageError);
  for (int level : {-1, 0, 5}) EXPECT_THROW(FindTask("gcd").Make(1, 0, level), UsageError);
}

TEST(TaskTest, TrainAndHeldOutAreDisjointByContentWhateverTheSeed) {
  for (const std::string& name : TaskNames()) {
    const Task& task = FindTask(name);
    std::set<std::string> held_out;
    for (int level = 1; level <= task.Levels(); ++level) {
      for (const Problem& problem : HeldOutProblems(task, level, 100)) {
        EXPECT_EQ(SplitOf(task, problem), Split::kHeldOut);
        held_out.insert(task.Key(problem));
      }
    }
    for (int level = 1; level <= task.Levels(); ++level) {
      for (uint64_t index = 0; index < 300; ++index) {
        const Problem problem = MakeProblem(task, index % 3, index, level, Split::kTrain);
        EXPECT_FALSE(held_out.contains(task.Key(problem))) << problem.prompt;
      }
    }
  }
}

TEST(TaskTest, HeldOutProblemsAreDistinctAndTheSameEveryTime) {
  const Task& task = FindTask("countdown");
  const auto first = HeldOutProblems(task, 1, 50), again = HeldOutProblems(task, 1, 20);
  ASSERT_EQ(first.size(), 50u);
  for (size_t i = 0; i < again.size(); ++i) EXPECT_EQ(first[i].prompt, again[i].prompt);
  // Level 1 has some 1,900 problems, a sixteenth of them held out: asking for more ends.
  EXPECT_GE(HeldOutProblems(task, 1, 100000).size(), 100u);
}

TEST(TaskTest, SplitsHoldOutOneInSixteen) {
  const Task& task = FindTask("countdown");
  int held_out = 0;
  constexpr int kProblems = 8000;
  for (int i = 0; i < kProblems; ++i) {
    held_out += SplitOf(task, task.Make(1, static_cast<uint64_t>(i), 4)) == Split::kHeldOut;
  }
  // Binomial, sigma = sqrt(8000/16 * 15/16) = 21.7; five of them.
  EXPECT_NEAR(held_out, kProblems / 16, 109);
}

TEST(CountdownTest, FractionsOnTheWayCount) {
  Problem problem = FindTask("countdown").Make(1, 0, 3);
  problem.numbers = {3, 3, 8, 8};
  problem.target = 24;
  const auto value = [&](const std::string& answer) {
    return FindTask("countdown")
        .ScoreCompletion("<think></think><answer>" + answer + "</answer>", problem)
        .value;
  };
  EXPECT_EQ(value("8/(3-8/3)"), 1);
  EXPECT_EQ(value("8 / ( 3 - 8 / 3 )"), 1);
  EXPECT_EQ(value("3*8+8-3"), kFormatCredit);
  EXPECT_EQ(value("3*8"), kFormatCredit);
  EXPECT_EQ(value("8/(3-3)+8"), kFormatCredit);
  EXPECT_EQ(value("24"), kFormatCredit);
  EXPECT_EQ(value("8/(3-8/3"), 0);
}

TEST(CountdownTest, StepsAreChainedWhereTheResultGoesOn) {
  EXPECT_EQ(StepsText({{3, '+', 5, 8}, {8, '*', 7, 56}}), "3+5=8*7=56");
  EXPECT_EQ(StepsText({{3, '+', 5, 8}, {9, '-', 8, 1}}), "3+5=8 9-8=1");
}

TEST(CountdownTest, AttemptsAreWorkedRightAndUseEveryNumber) {
  const Task& task = FindTask("countdown");
  for (int level = 1; level <= 4; ++level) {
    Problem problem = task.Make(3, 4, level);
    const auto attempts = AllAttempts(problem);
    EXPECT_GT(attempts.size(), 10u);
    for (const Attempt& attempt : attempts) {
      problem.target = attempt.value;
      const std::string text = "<think></think><answer>" + attempt.expression + "</answer>";
      ASSERT_EQ(task.ScoreCompletion(text, problem).value, 1) << attempt.expression;
      ASSERT_EQ(attempt.steps.back().result, attempt.value);
    }
  }
}

TEST(TaskTest, SolutionsMayBeSpacedAndNothingElse) {
  const Task& solve = FindTask("solve");
  uint64_t index = 0;
  Problem problem = solve.Make(1, index, 4);
  while (problem.answer.find('/') == std::string::npos) problem = solve.Make(1, ++index, 4);
  const std::string& right = problem.answer;
  std::string spaced = right;
  spaced.replace(right.find('/'), 1, " / ");
  const auto value = [&](const std::string& answer) {
    return solve.ScoreCompletion(Completion("", answer), problem).value;
  };
  for (const std::string& answer :
       {right, "x=" + right, "x = " + right, "x =" + right, spaced, "x  = " + spaced}) {
    EXPECT_EQ(value(answer), 1) << answer;
  }
  for (const std::string& answer :
       {"x " + right, "y = " + right, "x == " + right, "= " + right, "x = x = " + right,
        "x = +" + right, "x = " + right + " or 1"}) {
    EXPECT_EQ(value(answer), 0) << answer;
  }
}

// A guess is a number up to the first one, or down from there the next that divides it: of 2 as
// often 1 as 2.
TEST(GcdTest, GuessesOfASmallNumberAreDivisorsOfIt) {
  Problem problem = MakeProblem(FindTask("gcd"), 1, 0, 1, Split::kTrain);
  problem.numbers = {2, 3};
  RandomSequence random(1, RandomStream::kTest, 0);
  int ones = 0;
  constexpr int kDraws = 1000;
  for (int i = 0; i < kDraws; ++i) ones += FindTask("gcd").Guess(problem, random) == "1";
  EXPECT_NEAR(ones, kDraws / 2, 4 * std::sqrt(kDraws / 4.0));  // four standard deviations
}

}  // namespace
}  // namespace darkhorse
