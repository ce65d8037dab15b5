#include "rl/external_reward.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

// A machine busy with something else is no hang.
constexpr double kPatience = 120;

class ExternalRewardTest : public testing::Test {
 protected:
  // A Python program; `request` is the parsed line, `reply(score)` the usual answer.
  std::string Python(const std::string& body) {
    const std::string path = scratch_ / fmt::format("reward{}.py", files_++);
    WriteFileAtomically(path,
                        "import json, os, sys, time\n"
                        "for line in sys.stdin:\n"
                        "    request = json.loads(line)\n"
                        "    c = request['completion']\n"
                        "    def reply(score):\n"
                        "        print(json.dumps({'id': request['id'], 'score': score}), "
                        "flush=True)\n" +
                            body);
    return "exec python3 -I -S " + path;
  }
  static std::vector<RewardRequest> Requests(const std::vector<std::string>& completions) {
    std::vector<RewardRequest> requests;
    for (const std::string& completion : completions)
      requests.push_back({.prompt = "p\n", .completion = completion, .answer = "good"});
    return requests;
  }
  static void ExpectFailure(const Score& score, const std::string& part) {
    EXPECT_EQ(score.value, 0);
    EXPECT_TRUE(score.failed);
    EXPECT_FALSE(score.correct);
    EXPECT_NE(score.why.find(part), std::string::npos) << score.why << " lacks " << part;
  }
  // Completions of two kinds in turn: "good", worth 1, and code, which the program runs and so
  // fails as `cases` says.
  void ExpectCostsThatSampleOnly(const std::vector<std::pair<std::string, std::string>>& cases,
                                 const ProgramLimits& limits) {
    std::vector<std::string> completions;
    for (const auto& [code, why] : cases) {
      completions.push_back("good");
      completions.push_back(code);
    }
    completions.push_back("good");
    ExternalReward reward(Python("    if c == 'good': reply(1)\n"
                                 "    else: exec(c)\n"),
                          limits);
    const std::vector<Score> scores = reward.ScoreAll(Requests(completions));
    for (size_t i = 0; i < scores.size(); i += 2) EXPECT_EQ(scores[i].value, 1) << scores[i].why;
    for (size_t i = 0; i < cases.size(); ++i) ExpectFailure(scores[2 * i + 1], cases[i].second);
    EXPECT_EQ(reward.failures(), static_cast<int64_t>(cases.size()));
  }

  ScratchDirectory scratch_;
  int files_ = 0;
};

TEST_F(ExternalRewardTest, ScoresInOrderWithPartsAndAllFields) {
  ExternalReward reward(
      Python("    good = request['prompt'] == 'p\\n' and request['answer'] == c and "
             "request['meta'] == {'k': [1, 2]}\n"
             "    print(json.dumps({'id': request['id'], 'score': 0.25 * len(c), 'parts': {'all': "
             "int(good)}}), flush=True)\n"),
      {.processes = 3, .seconds = kPatience});
  std::vector<RewardRequest> requests;
  for (size_t i = 0; i < 40; ++i) {
    const std::string text(i % 5, 'x');
    requests.push_back({"p\n", text, text, "{\"k\": [1, 2]}"});
  }
  for (int again = 0; again < 2; ++again) {
    const std::vector<Score> scores = reward.ScoreAll(requests);
    ASSERT_EQ(scores.size(), 40u);
    for (size_t i = 0; i < 40; ++i) {
      EXPECT_EQ(scores[i].value, 0.25 * static_cast<double>(i % 5));
      EXPECT_EQ(scores[i].correct, i % 5 == 4);
      ASSERT_EQ(scores[i].parts.size(), 1u);
      EXPECT_EQ(scores[i].parts[0], (std::pair<std::string, double>{"all", 1}));
    }
  }
  EXPECT_EQ(reward.failures(), 0);
  EXPECT_TRUE(reward.ScoreAll({}).empty());
}

TEST_F(ExternalRewardTest, MayGiveAReason) {
  ExternalReward reward(Python("    print(json.dumps({'id': request['id'], 'score': 0, 'why': "
                               "json.loads(c)}), flush=True)\n"),
                        {.seconds = kPatience});
  std::string wide;
  for (int i = 0; i < 200; ++i) wide += "é";
  const std::vector<Score> scores =
      reward.ScoreAll(Requests({"\"test 3 fails\"", "null", "\"\"", R"("a\nb\tc\u001b[2J")",
                                "\"" + std::string(300, 'x') + "\"", "\"" + wide + "\"", "7"}));
  EXPECT_EQ(scores[0].why, "test 3 fails");
  EXPECT_EQ(scores[1].why, "the reward program's score");
  EXPECT_EQ(scores[2].why, "the reward program's score");
  EXPECT_EQ(scores[3].why, R"(a\nb\tc\x1b[2J)");
  EXPECT_EQ(scores[4].why, std::string(200, 'x') + "…");
  EXPECT_EQ(scores[5].why, wide.substr(0, 200) + "…");
  ExpectFailure(scores[6], "gave a \"why\" that is not a string");
}

TEST_F(ExternalRewardTest, WhatItSaysBesideTheScoreIsChecked) {
  ExternalReward reward(Python("    print(c.replace('ID', str(request['id'])), flush=True)\n"),
                        {.seconds = kPatience});
  const auto scores = reward.ScoreAll(
      Requests({R"({"id": ID, "score": 1, "parts": {"format": 2}})", R"({"id": "ID", "score": 1})",
                R"({"id": ID, "score": 1, "parts": {"size": 2}})", "scoring ID"}));
  ExpectFailure(scores[0], "gave a part \"format\" that is not from 0 to 1");
  ExpectFailure(scores[1], "answered \"id\": \"1\", where the number 1 was asked");
  EXPECT_EQ(scores[2].value, 1);
  ExpectFailure(scores[3], "not JSON (messages belong on standard error)");
}

TEST_F(ExternalRewardTest, SumsThatRoundAreFullMarks) {
  const std::vector<std::pair<std::string, std::optional<double>>> cases = {
      {"sum([0.1] * 10)", 1},
      {"1.0000000000000002", 1},
      {"1 - 0.9e-6", 1},
      {"1 + 0.9e-6", 1},
      {"1 - 1.1e-6", 1 - 1.1e-6},
      {"1 + 1.1e-6", std::nullopt},
      {"-0.9e-6", 0},
      {"-1.1e-6", std::nullopt},
      {"1e-7", 1e-7},
      {"0.5", 0.5},
      {"0.999999", 1},
      {"1.000001", 1},
  };
  ExternalReward reward(Python("    reply(eval(c))\n"), {.seconds = kPatience});
  std::vector<std::string> completions;
  for (const auto& [code, value] : cases) completions.push_back(code);
  const std::vector<Score> scores = reward.ScoreAll(Requests(completions));
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& [code, value] = cases[i];
    EXPECT_EQ(scores[i].failed, !value) << code;
    EXPECT_EQ(scores[i].value, value.value_or(0)) << code;
    EXPECT_EQ(scores[i].correct, value == 1) << code;
  }
  EXPECT_FALSE(ScoreOf(NAN));
}

TEST_F(ExternalRewardTest, TheAnswerThatTheProgramReadIsTheSamples) {
  const std::string tagged = "<think></think><answer>1</answer>";
  ExternalReward reward(Python("    extra = json.loads(request['answer'])\n"
                               "    print(json.dumps({'id': request['id'], 'score': 0, **extra}), "
                               "flush=True)\n"),
                        {.seconds = kPatience});
  const std::vector<std::array<std::string, 3>> cases = {
      {tagged, "{}", "1"},
      {"<answer>2</answer>", "{}", ""},
      {"<answer>2</answer>", R"({"answer": " 2 "})", "2"},
      {tagged, R"({"answer": "one"})", "one"},
      {tagged, R"({"answer": ""})", ""},
      {tagged, R"({"answer": null})", "1"},
      {tagged, fmt::format(R"({{"answer": "{}"}})", std::string(300, 'x')), std::string(256, 'x')},
  };
  std::vector<RewardRequest> requests;
  for (const auto& [completion, extra, parsed] : cases)
    requests.push_back({"p\n", completion, extra});
  requests.push_back({"p\n", tagged, R"({"answer": 1})"});
  const std::vector<Score> scores = reward.ScoreAll(requests);
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(scores[i].parsed, cases[i][2]) << i;
  ExpectFailure(scores.back(), "gave an \"answer\" that is not a string: {");
}

TEST_F(ExternalRewardTest, TheProgramGetsMetaAsItIsSpelt) {
  const std::string meta = R"({"b":[0.00001,1e20,1.50,-0,123456789012345678901234567890],"a":"é"})";
  ExternalReward reward(Python("    reply(int(line.endswith(',\"meta\":' + c + '}\\n')))\n"),
                        {.seconds = kPatience});
  std::vector<RewardRequest> requests = {{"p\n", meta, "a", meta}, {"p\n", "null", "a"}};
  requests.push_back({"p\n", "[1.50]", "a", " [\n1.50 ]"});  // a line all the same
  for (const Score& score : reward.ScoreAll(requests)) EXPECT_EQ(score.value, 1) << score.why;
}

TEST_F(ExternalRewardTest, NothingIsSaidOfAFormThatTheProgramDoesNotJudge) {
  ExternalReward reward(Python("    reply(0)\n"), {.seconds = kPatience});
  for (const Score& score :
       reward.ScoreAll(Requests({"<think>a</think><answer>1</answer>", "<answer>1</answer>"})))
    EXPECT_TRUE(score.parts.empty());
}

TEST_F(ExternalRewardTest, ALateSecondLineScoresNoOtherSample) {
  ExternalReward reward(Python("    reply(int(c == 'good'))\n"
                               "    if c == 'good':\n"
                               "        time.sleep(0.3)\n"
                               "        reply(1)\n"),
                        {.processes = 1, .seconds = kPatience});
  // The line comes once the next sample is with the program, or before.
  const auto scores = reward.ScoreAll(Requests({"good", "bad", "good", "bad"}));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(scores[i].value, i % 2 == 0) << scores[i].why;
  EXPECT_EQ(reward.failures(), 0);
}

TEST_F(ExternalRewardTest, AnswersToAWrongIdAreShownWhenTimeIsUp) {
  ExternalReward reward(Python("    print('{\"id\": 0, \"score\": 1}', flush=True)\n"),
                        {.processes = 1, .seconds = 1, .seconds_name = "the.time"});
  EXPECT_EQ(reward.ScoreAll(Requests({"first"}))[0].value, 1);
  ExpectFailure(
      reward.ScoreAll(Requests({"second"}))[0],
      "within 1 s, which the.time may raise on a busy machine: {\"id\": 0, \"score\": 1}");
}

// What a program says beside its answers is charged to no sample, whenever it arrives.
TEST_F(ExternalRewardTest, WhatComesBesideAnAnswerCostsNothing) {
  for (const char* more : {"print(flush=True)", "print('{\"debug\": 1}', flush=True)",
                           "print('thinking', end='', flush=True)"}) {
    for (const char* pause : {"0", "0.05"}) {
      ExternalReward reward(
          Python(fmt::format("    reply(1)\n    time.sleep({})\n    {}\n", pause, more)),
          {.processes = 1, .seconds = kPatience});
      for (const Score& score : reward.ScoreAll(Requests(std::vector<std::string>(6, "any"))))
        EXPECT_EQ(score.value, 1) << more << ": " << score.why;
      EXPECT_EQ(reward.failures(), 0) << more;
    }
  }
}

TEST_F(ExternalRewardTest, AnyLanguageAndAnyBytes) {
  // A shell program that never parses; completions that are not UTF-8, hold line ends, or are long.
  ExternalReward reward(
      "i=0; while read -r line; do id=${line#*:}; echo \"{\\\"id\\\": ${id%%,*}, \\\"score\\\": "
      "1}\"; "
      "done",
      {.seconds = kPatience});
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  for (const Score& score : reward.ScoreAll(Requests({every, "a\nb", std::string(1 << 17, 'x')})))
    EXPECT_EQ(score.value, 1) << score.why;
}

TEST_F(ExternalRewardTest, NonsenseCostsThatSampleOnlyAndIsShown) {
  ExpectCostsThatSampleOnly(
      {
          {"print('Traceback?', flush=True)", "standard error): Traceback?"},
          {"print('[1]', flush=True)", "not a JSON object: [1]"},
          {"reply(float('nan'))", "standard error): {\"id\": "},
          {"reply(1.5)", "not a number from 0 to 1"},
          {"reply(-0.1)", "not a number from 0 to 1"},
          {"reply('1')", "not a number from 0 to 1"},
          {"print('{\"id\": %d, \"score\": 1e999}' % request['id'], flush=True)", "not JSON"},
          {"print('{\"id\": 99, \"score\": 1}', flush=True)", "where the number"},
          {"print('{\"id\": %d}' % request['id'], flush=True)", "without a \"score\""},
          {"print('x' * 100000, end='', flush=True)", "bytes without an end of line: xxx"},
          {"print('[' * 60000, flush=True)", "not JSON"},
          {"print('{\"id\": %d, \"score\": 1, \"score\": 0}' % request['id'], flush=True)",
           "a line in which 'score' appears twice"},
      },
      {.seconds = kPatience});
}

TEST_F(ExternalRewardTest, RefusesWhatCannotWork) {
  ExternalReward missing("/nonexistent/program", {});
  ExpectFailure(missing.ScoreAll(Requests({"x"}))[0], "exit code 127");
  ExternalReward fine("cat", {});
  const std::vector<RewardRequest> bad = {{"p", "c", "a"}, {"p", "c", "a", "{k:\n1}"}};
  EXPECT_EQ(MessageOf([&] { fine.ScoreAll(bad); }),
            "reward request 1: its meta is not JSON: {k:\\n1}");
}

// Majorities are counted over the answers, whatever the program made of them.
TEST_F(ExternalRewardTest, TheAnswerIsWhatStandsBetweenTheTags) {
  ExternalReward reward(Python("    if 'fail' in c: print('no', flush=True)\n"
                               "    else: reply(0)\n"),
                        {.seconds = kPatience});
  const std::string longest(kMaxAnswerLength, '7');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Completion("a", " 12 "), "12"},
      {Completion("fail", "13"), "13"},
      {Completion("a", longest), longest},
      {Completion("a", longest + "7"), ""},
      {"<answer>14</answer>", ""}};
  std::vector<std::string> completions;
  for (const auto& [completion, answer] : cases) completions.push_back(completion);
  const std::vector<Score> scores = reward.ScoreAll(Requests(completions));
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(scores[i].parsed, cases[i].second) << cases[i].first;
    EXPECT_EQ(scores[i].failed, i == 1);
  }
}

}  // namespace
}  // namespace darkhorse
