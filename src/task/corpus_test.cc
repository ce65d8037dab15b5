#include "task/corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/checksum.h"
#include "base/error.h"
#include "task/countdown.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

CorpusMix AllTasks() {
  CorpusMix mix;
  mix.tasks.clear();
  for (const std::string& name : TaskNames()) {
    for (int level = 1; level <= FindTask(name).Levels(); ++level)
      mix.tasks.push_back({name, level});
  }
  return mix;
}

std::string PromptOf(const std::string& document) {
  return document.find("<think>") == document.npos ? ""
                                                   : document.substr(0, document.find("<think>"));
}

// The problems are drawn again by coordinates that the document gives away only by its prompt, so
// the split is checked on the text: numbers of a countdown in any order.
std::string CountdownKey(const std::string& prompt) {
  std::vector<int64_t> numbers;
  int64_t target = 0;
  size_t at = prompt.find(" from ") + 5;
  target = std::stoll(prompt.substr(5));
  while (at < prompt.size() && prompt[at] == ' ') {
    size_t read = 0;
    numbers.push_back(std::stoll(prompt.substr(at + 1), &read));
    at += 1 + read;
  }
  Problem problem;
  problem.numbers = numbers;
  problem.target = target;
  return FindTask("countdown").Key(problem);
}

TEST(CorpusTest, HeldOutProblemsNeverOccur) {
  std::set<std::string> held_out_prompts, held_out_keys;
  for (const std::string& name : TaskNames()) {
    for (int level = 1; level <= FindTask(name).Levels(); ++level) {
      for (const Problem& problem : HeldOutProblems(FindTask(name), level, 200)) {
        held_out_prompts.insert(problem.prompt);
        if (name == "countdown") held_out_keys.insert(FindTask(name).Key(problem));
      }
    }
  }
  const CorpusMix all = AllTasks();
  for (uint64_t index = 0; index < 8000; ++index) {
    const std::string prompt = PromptOf(CorpusDocument(all, 1, index));
    ASSERT_FALSE(held_out_prompts.contains(prompt)) << prompt;
  }
  // Level 1 is small enough for every held-out problem of it to turn up if nothing kept it out.
  for (uint64_t index = 0; index < 8000; ++index) {
    const std::string prompt = PromptOf(CorpusDocument(CorpusMix{}, 1, index));
    if (prompt.empty()) continue;
    ASSERT_FALSE(held_out_keys.contains(CountdownKey(prompt))) << prompt;
  }
}

// Another process, machine or order of calls makes the same documents: a run is known by its seed.
// These are the bytes that this program has always made.
TEST(CorpusTest, DocumentsArePureFunctions) {
  EXPECT_EQ(CorpusDocument({}, 1, 2),
            "make 55 from 9 6 1\n<think>9-1=8+6=14?55\n9*6=54-1=53?55\n9+1=10*6=60?55\n"
            "</think><answer>(9+1)*6</answer>");
  CorpusMix mix = AllTasks();
  constexpr std::string_view kLater[] = {"times", "largest", "count", "plusminus"};
  std::erase_if(mix.tasks, [&](const TaskShare& share) {
    return std::ranges::find(kLater, share.task) != std::end(kLater);
  });
  std::string all;
  for (uint64_t index = 50; index-- > 0;) all = CorpusDocument(mix, 1, index) + all;
  EXPECT_EQ(HexU64(Checksum64(all)), "5f86e5b97197eebc");
  EXPECT_NE(CorpusDocument(mix, 1, 0), CorpusDocument(mix, 2, 0));
}

struct Kinds {
  int worked = 0, bare = 0, facts = 0;
};

Kinds Count(const CorpusMix& mix, int documents) {
  Kinds kinds;
  for (int i = 0; i < documents; ++i) {
    const std::string text = CorpusDocument(mix, 3, static_cast<uint64_t>(i));
    ++(text.find("<think></think>") != text.npos ? kinds.bare
       : text.find("<think>") != text.npos       ? kinds.worked
                                                 : kinds.facts);
  }
  return kinds;
}

TEST(CorpusTest, SharesAreThoseAskedFor) {
  const Kinds kinds = Count({}, 4000);
  // Binomial; five times the largest sigma, sqrt(4000 * 0.75 * 0.25) = 27.4.
  EXPECT_NEAR(kinds.worked, 3000, 137);
  EXPECT_NEAR(kinds.facts, 600, 137);
  EXPECT_NEAR(kinds.bare, 400, 137);
}

TEST(CorpusTest, WithoutWorkedTracesNothingThinks) {
  CorpusMix mix = AllTasks();
  mix.worked_share = 0;
  const Kinds kinds = Count(mix, 1000);
  EXPECT_EQ(kinds.worked, 0);
  EXPECT_GT(kinds.bare, 700);
}

TEST(CorpusTest, FactsAreTrue) {
  CorpusMix mix;
  mix.worked_share = 0;
  mix.facts_share = 1;
  int facts = 0;
  for (uint64_t index = 0; index < 100; ++index) {
    const std::string sheet = CorpusDocument(mix, 1, index);
    for (size_t at = 0; at < sheet.size(); at = sheet.find('\n', at) + 1, ++facts) {
      int64_t a, b, c;
      char op;
      ASSERT_EQ(std::sscanf(sheet.c_str() + at, "%ld%c%ld=%ld\n", &a, &op, &b, &c), 4) << sheet;
      ASSERT_EQ(op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b, c) << sheet;
      ASSERT_TRUE(op != '/' || b * c == a) << sheet;
    }
  }
  EXPECT_EQ(facts, 1600);
}

// RL needs a base that is right sometimes and gives up too early mostly: right traces between a
// fifth and two fifths, and long ones among them.
TEST(CorpusTest, CountdownTracesSearchAndOftenGiveUp) {
  CorpusMix mix;
  mix.worked_share = 1;
  mix.facts_share = 0;
  const Task& task = FindTask("countdown");
  int right = 0, longer = 0;
  constexpr int kDocuments = 3000;
  for (uint64_t index = 0; index < kDocuments; ++index) {
    const std::string document = CorpusDocument(mix, 1, index);
    const Problem problem = MakeProblem(task, 1, index, 1, Split::kTrain);
    ASSERT_EQ(PromptOf(document), problem.prompt);
    const Score score = task.ScoreCompletion(document.substr(problem.prompt.size()), problem);
    ASSERT_GE(score.value, kFormatCredit) << document << score.why;
    // "yes" is said of right answers and of no other.
    ASSERT_EQ(score.correct, document.find(" yes</think>") != document.npos) << document;
    right += score.correct;
    const auto lines = std::count(document.begin(), document.end(), '\n');
    longer += lines > 10;
    ASSERT_LE(lines, 1 + mix.style.max_attempts);
    // No attempt is made twice: lines differ, but for slips.
    if (document.find("wait") != document.npos || document.find("check") != document.npos) continue;
    std::set<std::string> seen;
    for (size_t at = problem.prompt.size(), end; (end = document.find('\n', at)) != document.npos;
         at = end + 1) {
      ASSERT_TRUE(seen.insert(document.substr(at, end - at)).second) << document;
    }
  }
  EXPECT_GT(right, kDocuments / 5);
  EXPECT_LT(right, kDocuments * 2 / 5);
  EXPECT_GT(longer, kDocuments / 25);
}

TEST(CorpusTest, TraceStyleIsObeyed) {
  const Task& task = FindTask("countdown");
  TraceStyle style;
  style.give_up = {0};
  style.straight = 1;
  style.check = 0;
  style.slip = 0;
  TraceStyle sloppy = style;
  sloppy.slip = 1;
  sloppy.check = 1;
  for (uint64_t index = 0; index < 200; ++index) {
    const Problem problem = MakeProblem(task, 1, index, 1, Split::kTrain);
    RandomSequence random(1, RandomStream::kTest, index), other(1, RandomStream::kTest, index);
    const std::string trace = task.WorkedTrace(problem, style, random);
    EXPECT_EQ(task.ScoreCompletion(trace, problem).value, 1) << trace;
    EXPECT_EQ(trace.find('\n'), trace.npos) << trace;
    const std::string careful = task.WorkedTrace(problem, sloppy, other);
    EXPECT_NE(careful.find(" wait "), careful.npos) << careful;
    EXPECT_NE(careful.find(" check "), careful.npos) << careful;
    EXPECT_EQ(task.ScoreCompletion(careful, problem).value, 1) << careful;
  }
}

TEST(CorpusTest, AStraightTraceOfARareTargetStillGivesAnAnswer) {
  const Task& task = FindTask("countdown");
  TraceStyle style;
  style.give_up = {0};
  style.straight = 1;
  int wrong = 0;
  for (uint64_t index = 0; index < 2000; ++index) {
    const Problem problem = MakeProblem(task, 1, index, 4, Split::kTrain);
    RandomSequence random(1, RandomStream::kTest, index);
    const Score score = task.ScoreCompletion(task.WorkedTrace(problem, style, random), problem);
    EXPECT_FALSE(score.parsed.empty()) << problem.prompt;
    wrong += !score.correct;
  }
  EXPECT_GT(wrong, 0) << "no target is rare";
}

TEST(CorpusTest, BadMixesAreRefused) {
  const auto refused = [](auto change) {
    CorpusMix mix;
    change(mix);
    EXPECT_THROW(CheckMix(mix), UsageError);
  };
  refused([](CorpusMix& m) { m.worked_share = -0.1; });
  refused([](CorpusMix& m) { m.worked_share = 0.9; });
  refused([](CorpusMix& m) { m.facts_share = std::nan(""); });
  refused([](CorpusMix& m) { m.facts_per_sheet = 0; });
  refused([](CorpusMix& m) { m.tasks.clear(); });
  refused([](CorpusMix& m) { m.tasks[0].level = 9; });
  refused([](CorpusMix& m) { m.tasks[0].weight = 0; });
  refused([](CorpusMix& m) { m.tasks[0].task = "chess"; });
  refused([](CorpusMix& m) { m.style.max_attempts = 0; });
  refused([](CorpusMix& m) { m.style.give_up = {2}; });
  refused([](CorpusMix& m) { m.style.straight = 1.1; });
  refused([](CorpusMix& m) { m.style.check = -0.1; });
  refused([](CorpusMix& m) { m.style.slip = 1.1; });
  CheckMix(CorpusMix{});
}

TEST(CorpusTest, TaskSharesAreRead) {
  const auto shares = ParseTaskShares("countdown:2=0.7, gcd");
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].task, "countdown");
  EXPECT_EQ(shares[0].level, 2);
  EXPECT_EQ(shares[0].weight, 0.7);
  EXPECT_EQ(shares[1].task, "gcd");
  EXPECT_EQ(shares[1].level, 1);
  for (const char* text : {"", "countdown:", "countdown:x", "countdown=", "countdown=1x", "chess",
                           ",", "gcd,gcd:1=2"}) {
    EXPECT_THROW(ParseTaskShares(text), UsageError) << text;
  }
}

// Anywhere at first, then in their order, from the last on to the first, to the one that is right
// or until each was made.
TEST(CorpusTest, AnOrderedTraceGoesRoundTheAttempts) {
  const Task& task = FindTask("countdown");
  TraceStyle style;
  style.ordered = 1;
  style.give_up = {0};
  style.straight = style.check = style.slip = 0;
  std::set<size_t> begun;
  for (uint64_t index = 0; index < 40; ++index) {
    Problem problem = MakeProblem(task, 1, index, 1, Split::kTrain);
    const std::vector<Attempt> all = AllAttempts(problem);
    for (const int64_t target : {problem.target, all.back().value, int64_t{-1}}) {
      for (const size_t most : {size_t{3}, all.size(), all.size() + 1}) {
        problem.target = target;
        style.max_attempts = static_cast<int>(most);
        RandomSequence random(1, RandomStream::kTest, index);
        const std::string trace = task.WorkedTrace(problem, style, random);
        std::set<std::string> possible;
        for (size_t first = 0; first < all.size(); ++first) {
          std::string thoughts, answer;
          for (size_t i = 0; i < std::min(most, all.size()); ++i) {
            const Attempt& attempt = all[(first + i) % all.size()];
            const bool right = attempt.value == target;
            thoughts +=
                fmt::format("{}?{}{}", StepsText(attempt.steps), target, right ? " yes" : "\n");
            answer = attempt.expression;
            if (right) break;
          }
          possible.insert(Completion(thoughts, answer));
          if (Completion(thoughts, answer) == trace) begun.insert(first);
        }
        ASSERT_TRUE(possible.contains(trace)) << trace;
      }
    }
  }
  EXPECT_GT(begun.size(), 10u);
}

}  // namespace
}  // namespace darkhorse
