#include "rl/external_reward.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/scratch_testing.h"

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
                                 const RewardLimits& limits) {
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

  // The copies' script is named on their command lines. The kernel takes a moment to end a group.
  int ProcessesLeft() const {
    int left = 0;
    for (int attempt = 0; attempt < 100; ++attempt) {
      left = 0;
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream file(entry.path() / "cmdline");
        std::string command((std::istreambuf_iterator<char>(file)), {});
        left += command.find(scratch_.path()) != std::string::npos;
      }
      if (left == 0) break;
      usleep(20000);
    }
    return left;
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
      ASSERT_EQ(scores[i].parts.size(), 2u);
      EXPECT_EQ(scores[i].parts[0], (std::pair<std::string, double>{"all", 1}));
      // It says nothing of the form, and these completions have no tags.
      EXPECT_EQ(scores[i].parts[1], (std::pair<std::string, double>{"format", 0}));
    }
  }
  EXPECT_EQ(reward.failures(), 0);
  EXPECT_TRUE(reward.ScoreAll({}).empty());
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
                        {.processes = 1, .seconds = 1});
  EXPECT_EQ(reward.ScoreAll(Requests({"first"}))[0].value, 1);
  ExpectFailure(reward.ScoreAll(Requests({"second"}))[0],
                "(problems.reward_seconds): {\"id\": 0, \"score\": 1}");
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

TEST_F(ExternalRewardTest, IsTheFirstToGoWhenTheMachineHasNoMemoryLeft) {
  ExternalReward reward(Python("    reply(int(open('/proc/self/oom_score_adj').read()) / 1000)\n"),
                        {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(reward.ScoreAll(Requests({"any"}))[0].value, 1);
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
          {"print('Traceback?', flush=True)", "not JSON: Traceback?"},
          {"print('[1]', flush=True)", "not a JSON object: [1]"},
          {"reply(float('nan'))", "not JSON: {\"id\": "},
          {"reply(1.5)", "not a number from 0 to 1"},
          {"reply(-0.1)", "not a number from 0 to 1"},
          {"reply('1')", "not a number from 0 to 1"},
          {"print('{\"id\": %d, \"score\": 1e999}' % request['id'], flush=True)", "not JSON"},
          {"print('{\"id\": 99, \"score\": 1}', flush=True)", "without \"id\""},
          {"print('{\"id\": %d}' % request['id'], flush=True)", "without a \"score\""},
          {"print('x' * 100000, end='', flush=True)", "bytes without an end of line: xxx"},
          {"print('[' * 60000, flush=True)", "not JSON"},
      },
      {.seconds = kPatience});
}

TEST_F(ExternalRewardTest, CrashesCostThatSampleOnly) {
  ExpectCostsThatSampleOnly({{"raise ValueError('cannot read this')",
                              "exit code 1 (standard error: ValueError: cannot read this)"},
                             {"os._exit(7)", "exit code 7"},
                             {"os.close(1); time.sleep(600)", "closed its output"}},
                            {.seconds = kPatience});
}

TEST_F(ExternalRewardTest, HangsAreEnded) {
  ExternalReward reward(Python("    time.sleep(600)\n"), {.processes = 1, .seconds = 0.25});
  for (const Score& score : reward.ScoreAll(Requests({"x", "y"})))
    ExpectFailure(score, "no answer within 0.25 s");
}

TEST_F(ExternalRewardTest, EatingMemoryMeetsTheLimit) {
  // 256 MiB of address space hold Python, not an array of a gigabyte.
  ExpectCostsThatSampleOnly({{"bytearray(1 << 30); reply(1)", "MemoryError"}},
                            {.seconds = kPatience, .memory_bytes = 256 << 20});
}

TEST_F(ExternalRewardTest, CpuTimeIsLimited) {
  ExternalReward reward("exec python3 -c 'while True: pass'",
                        {.processes = 1, .seconds = 120, .cpu_seconds = 1});
  ExpectFailure(reward.ScoreAll(Requests({"x"}))[0], "ended by signal");
}

TEST_F(ExternalRewardTest, ALimitOnALifeIsNotTheSamplesFault) {
  // The program ends after every third answer without a word; each sample is tried again in a fresh
  // copy.
  ExternalReward reward(Python("    n = globals().get('n', 0) + 1\n"
                               "    if n > 3: os._exit(9)\n"
                               "    reply(1)\n"),
                        {.processes = 1, .seconds = kPatience});
  for (const Score& score : reward.ScoreAll(Requests(std::vector<std::string>(10, "x"))))
    EXPECT_EQ(score.value, 1) << score.why;
  EXPECT_EQ(reward.failures(), 0);
}

TEST_F(ExternalRewardTest, ProcessesLeftBehindAreEnded) {
  // A bomb of sixty processes that leave their group and go on after their copy is stopped.
  {
    ExternalReward reward(Python("    for i in range(60):\n"
                                 "        if os.fork() == 0:\n"
                                 "            os.setsid()\n"
                                 "            time.sleep(600)\n"
                                 "    print('forked', flush=True)\n"),
                          {.processes = 1, .seconds = kPatience});
    ExpectFailure(reward.ScoreAll(Requests({"x"}))[0], "not JSON: forked");
    if (!reward.isolated()) GTEST_SKIP() << "this kernel forbids user namespaces";
  }
  EXPECT_EQ(ProcessesLeft(), 0);
}

TEST_F(ExternalRewardTest, WithoutNamespacesAGroupEndsWithItsLeader) {
  // The leader ends by itself; what it left in its group must not go on.
  {
    ExternalReward reward(Python("    if os.fork() == 0:\n"
                                 "        os.close(1), os.close(2)\n"
                                 "        time.sleep(600)\n"
                                 "    os._exit(3)\n"),
                          {.processes = 1, .seconds = kPatience, .isolate = false});
    ExpectFailure(reward.ScoreAll(Requests({"x"}))[0], "exit code 3");
    EXPECT_FALSE(reward.isolated());
  }
  EXPECT_EQ(ProcessesLeft(), 0);
}

TEST_F(ExternalRewardTest, WantOfSomethingDoesNotDropIsolation) {
  for (const int error : {EAGAIN, ENOMEM, EINTR}) {
    EXPECT_FALSE(IsolationIsRefused(error, false)) << error;
    EXPECT_FALSE(IsolationIsRefused(error, true)) << error;
  }
  for (const int error : {EPERM, EACCES, EINVAL, ENOSYS, ENOSPC, EUSERS}) {
    EXPECT_TRUE(IsolationIsRefused(error, false)) << error;
    EXPECT_FALSE(IsolationIsRefused(error, true)) << error;
  }
}

TEST_F(ExternalRewardTest, WhatCannotBeStartedCostsTheSampleOnly) {
  ExternalReward reward(Python("    reply(1)\n"), {.processes = 1, .seconds = kPatience});
  rlimit files, few;
  getrlimit(RLIMIT_NOFILE, &files);
  few = files;
  few.rlim_cur = 0;  // no pipe can be made
  setrlimit(RLIMIT_NOFILE, &few);
  const Score failed = reward.ScoreAll(Requests({"x"}))[0];
  setrlimit(RLIMIT_NOFILE, &files);
  ExpectFailure(failed, "cannot be started: Too many open files");
  EXPECT_EQ(reward.failures(), 1);
  EXPECT_EQ(reward.last_failure(), failed.why);
  EXPECT_EQ(reward.ScoreAll(Requests({"x"}))[0].value, 1);
}

TEST_F(ExternalRewardTest, NoNetwork) {
  ExternalReward reward(Python("    reply(float(open('/proc/net/dev').read().count(':') <= 1))\n"),
                        {.seconds = kPatience});
  const Score score = reward.ScoreAll(Requests({"x"}))[0];
  if (!reward.isolated()) GTEST_SKIP() << "this kernel forbids user namespaces";
  EXPECT_EQ(score.value, 1) << score.why;  // the loopback alone, and that is down
}

TEST_F(ExternalRewardTest, RefusesWhatCannotWork) {
  ExternalReward missing("/nonexistent/program", {});
  ExpectFailure(missing.ScoreAll(Requests({"x"}))[0], "exit code 127");
  EXPECT_NE(MessageOf([] { ExternalReward("true", {.processes = 0}); }), "");
  EXPECT_NE(MessageOf([] { ExternalReward("true", {.seconds = NAN}); }), "");
  ExternalReward fine("cat", {});
  const std::vector<RewardRequest> bad = {{"p", "c", "a", "{"}};
  EXPECT_NE(MessageOf([&] { fine.ScoreAll(bad); }).find("not JSON"), std::string::npos);
}

}  // namespace
}  // namespace darkhorse
