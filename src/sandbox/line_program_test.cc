#include "sandbox/line_program.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

// A machine busy with something else is no hang.
constexpr double kPatience = 120;

class LineProgramTest : public testing::Test {
 protected:
  // A Python program that goes through `body` for each question `q`; say(line) writes a line.
  std::string Python(const std::string& body) {
    const std::string path = scratch_ / fmt::format("program{}.py", files_++);
    WriteFileAtomically(path,
                        "import os, sys, time\n"
                        "def say(line): print(line, flush=True)\n"
                        "for line in sys.stdin:\n"
                        "    q = line[:-1]\n" +
                            body);
    return "exec python3 -I -S " + path;
  }
  // "yes <question>" is the answer, an empty line and one that begins with "no" are stray.
  std::vector<std::string> Ask(LineProgram& program, const std::vector<std::string>& questions,
                               const StopRequest& stop = {}) {
    std::vector<std::string> lines;
    for (const std::string& question : questions) lines.push_back(question + "\n");
    return program.Ask(
        lines,
        [&](size_t question, std::string_view line) -> Judgement {
          if (line.empty() || line.starts_with("no")) return {Judgement::kStray, ""};
          if (line == "yes " + questions[question]) return {Judgement::kAccepted, ""};
          return {Judgement::kRefused, "wrote nonsense"};
        },
        stop);
  }
  static void ExpectFailure(const std::string& failure, const std::string& part) {
    EXPECT_NE(failure.find(part), std::string::npos) << "'" << failure << "' lacks " << part;
  }
  // Questions of two kinds in turn: "fine", and code, which the program runs and so fails as
  // `cases` says.
  void ExpectCostsThatQuestionOnly(const std::vector<std::pair<std::string, std::string>>& cases,
                                   const ProgramLimits& limits) {
    std::vector<std::string> questions;
    for (const auto& [code, why] : cases) {
      questions.push_back("fine");
      questions.push_back(code);
    }
    questions.push_back("fine");
    LineProgram program(Python("    if q == 'fine': say('yes fine')\n"
                               "    else: exec(q)\n"),
                        limits);
    const std::vector<std::string> failures = Ask(program, questions);
    for (size_t i = 0; i < failures.size(); i += 2) EXPECT_EQ(failures[i], "");
    for (size_t i = 0; i < cases.size(); ++i) ExpectFailure(failures[2 * i + 1], cases[i].second);
    EXPECT_EQ(program.failures(), static_cast<int64_t>(cases.size()));
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

const char kEcho[] = "    say('yes ' + q)\n";

TEST_F(LineProgramTest, ACopyThatAnswersHalfAQuestionGetsNoOther) {
  const std::string path = scratch_ / "early.py";
  WriteFileAtomically(path,
                      "import os, sys, time\n"
                      "os.read(0, 1)\n"
                      "print('early', flush=True)\n"
                      "time.sleep(5)\n"
                      "for line in sys.stdin: print('read on', flush=True)\n");
  LineProgram program("exec python3 -I -S " + path, {.processes = 1, .seconds = kPatience});
  // More than a socket holds.
  const std::vector<std::string> questions = {std::string(8 << 20, 'x') + "\n", "second\n"};
  std::vector<std::string> answers;
  const auto judge = [&](size_t, std::string_view line) -> Judgement {
    answers.emplace_back(line);
    return {Judgement::kAccepted, ""};
  };
  EXPECT_EQ(program.Ask(questions, judge, {}), (std::vector<std::string>{"", ""}));
  EXPECT_EQ(answers, (std::vector<std::string>{"early", "early"}));
}

TEST_F(LineProgramTest, EveryCopyAnswersItsOwnQuestions) {
  std::vector<std::string> questions;
  for (int i = 0; i < 40; ++i) questions.push_back("question " + std::to_string(i));
  LineProgram program(Python(kEcho), {.processes = 3, .seconds = kPatience});
  for (int again = 0; again < 2; ++again)
    EXPECT_EQ(Ask(program, questions), std::vector<std::string>(40));
  EXPECT_EQ(program.failures(), 0);
  EXPECT_EQ(program.last_failure(), "");
  EXPECT_TRUE(Ask(program, {}).empty());
}

TEST_F(LineProgramTest, CopiesWorkSideBySide) {
  // Each waits for the other two.
  const std::string folder = scratch_ / "met";
  MakeDirectories(folder);
  LineProgram program(
      Python("    open('" + folder + "/' + q, 'w')\n" + "    while len(os.listdir('" + folder +
             "')) < 3: time.sleep(0.01)\n" + kEcho),
      {.processes = 3, .seconds = kPatience});
  EXPECT_EQ(Ask(program, {"a", "b", "c"}), std::vector<std::string>(3));
}

TEST_F(LineProgramTest, StrayLinesAreNoAnswerAndTheLastIsShownWhenTimeIsUp) {
  LineProgram patient(Python("    say(''); say('no'); say('yes ' + q); say('no more')\n"),
                      {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(patient, {"a", "b", "c"}), std::vector<std::string>(3));
  ProgramLimits limits{.processes = 1, .seconds = 0.5};
  LineProgram late(Python("    say('no first'); say('no last')\n"), limits);
  EXPECT_EQ(Ask(late, {"a"})[0], "gave no answer within 0.5 s: no last");
  limits.seconds_name = "the.time";
  LineProgram named(Python("    time.sleep(600)\n"), limits);
  EXPECT_EQ(Ask(named, {"a"})[0],
            "gave no answer within 0.5 s, which the.time may raise on a busy machine");
}

TEST_F(LineProgramTest, NonsenseIsShown) {
  ExpectCostsThatQuestionOnly(
      {
          {"say('what?')", "wrote nonsense: what?"},
          {"say('tab\\there')", "wrote nonsense: tab here"},
          {"say('x' * 161)", "nonsense: " + std::string(160, 'x') + "…"},
          {"print('x' * 100000, end='', flush=True)", "bytes without an end of line: xxx"},
      },
      {.seconds = kPatience});
}

TEST_F(LineProgramTest, LinesMayBeAsLongAsTheirLimits) {
  LineProgram shown(Python("    say(q[0] * 160)\n"), {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(shown, {"x"})[0], "wrote nonsense: " + std::string(160, 'x'));
  // 64 KiB are there a while before their end is.
  LineProgram long_lines(Python("    sys.stdout.write('no' + '.' * 65534)\n"
                                "    sys.stdout.flush()\n"
                                "    time.sleep(0.2)\n"
                                "    say(''); say('yes ' + q)\n"),
                         {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(long_lines, {"a", "b"}), std::vector<std::string>(2));
}

// A program that fails after it has answered is tried again on the same question, once.
TEST_F(LineProgramTest, AFreshCopyIsTriedOnceMore) {
  const std::string path = scratch_ / "tried";
  LineProgram program(Python("    if q == 'bad':\n"
                             "        open('" +
                             path +
                             "', 'a').write('x')\n"
                             "        say('what?')\n"
                             "    else: say('yes ' + q)\n"),
                      {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(program, {"fine", "bad", "bad"}),
            (std::vector<std::string>{"", "wrote nonsense: what?", "wrote nonsense: what?"}));
  // The first "bad" twice, for its copy had answered before; the second found a fresh one.
  EXPECT_EQ(ReadFile(path), "xxx");
  EXPECT_EQ(program.failures(), 2);
}

// But one that took too long is not: it would take as long again.
TEST_F(LineProgramTest, WhatIsLateIsNotTriedAgain) {
  const std::string path = scratch_ / "tried";
  LineProgram program(Python("    if q == 'slow':\n"
                             "        open('" +
                             path +
                             "', 'a').write('x')\n"
                             "        time.sleep(600)\n"
                             "    say('no old')\n" +
                             std::string(kEcho)),
                      {.processes = 1, .seconds = 1.5});
  EXPECT_EQ(Ask(program, {"fine", "slow"})[1], "gave no answer within 1.5 s");
  EXPECT_EQ(ReadFile(path), "x");
}

TEST_F(LineProgramTest, StopsWhenAskedAndGoesOnAfterwards) {
  LineProgram program(Python("    if q == 'slow': time.sleep(600)\n" + std::string(kEcho)),
                      {.processes = 2, .seconds = kPatience});
  int asked = 0;
  EXPECT_THROW(Ask(program, {"fine", "slow", "slow"}, [&] { return ++asked == 4; }), Interruption);
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(ProcessesLeft(), 0);
  EXPECT_EQ(program.failures(), 0);
  EXPECT_EQ(Ask(program, {"fine", "good"}, [] { return false; }), std::vector<std::string>(2));
}

// Whatever ends Ask early, copies that were asked then owe the next call nothing.
TEST_F(LineProgramTest, AJudgeThatThrowsLeavesItUsable) {
  LineProgram program(Python("    say('yes ' + q)\n"), {.processes = 2, .seconds = kPatience});
  const std::vector<std::string> lines(6, "old\n");
  const auto throws = [](size_t, std::string_view) -> Judgement { throw Error("enough"); };
  EXPECT_EQ(MessageOf([&] { program.Ask(lines, throws, {}); }), "enough");
  EXPECT_EQ(Ask(program, {"a"}), (std::vector<std::string>{""}));
  EXPECT_EQ(Ask(program, {"b", "c", "d"}), (std::vector<std::string>(3)));
}

TEST_F(LineProgramTest, IsTheFirstToGoWhenTheMachineHasNoMemoryLeft) {
  LineProgram program(Python("    say('yes ' + open('/proc/self/oom_score_adj').read().strip())\n"),
                      {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(program, {"1000"})[0], "");
}

TEST_F(LineProgramTest, CrashesCostThatQuestionOnly) {
  ExpectCostsThatQuestionOnly(
      {{"raise ValueError('cannot read this')",
        "exit code 1 (standard error: ValueError: cannot read this)"},
       {"os._exit(7)", "ended with exit code 7"},
       {"sys.stderr.write('x' * 5000 + '\\nlast words'); os._exit(3)",
        "(standard error: last words)"},
       {"os.kill(os.getpid(), 15); time.sleep(600)", "was ended by signal 15"},
       {"os.close(1); time.sleep(600)", "closed its output"}},
      {.seconds = kPatience, .isolate = false});
  // Process 1 of a namespace, which an isolated copy is, dies of no signal of its own.
  ExpectCostsThatQuestionOnly({{"os._exit(7)", "ended with exit code 7"}}, {.seconds = kPatience});
}

TEST_F(LineProgramTest, HangsAreEnded) {
  LineProgram program(Python("    time.sleep(600)\n"), {.processes = 1, .seconds = 0.25});
  for (const std::string& failure : Ask(program, {"x", "y"}))
    ExpectFailure(failure, "no answer within 0.25 s");
  EXPECT_EQ(ProcessesLeft(), 0);
}

TEST_F(LineProgramTest, EatingMemoryMeetsTheLimit) {
  // 256 MiB of address space hold Python, not an array of a gigabyte.
  ExpectCostsThatQuestionOnly({{"bytearray(1 << 30); say('yes ' + q)", "MemoryError"}},
                              {.seconds = kPatience, .memory_bytes = 256 << 20});
}

TEST_F(LineProgramTest, CpuTimeIsLimited) {
  LineProgram program("exec python3 -c 'while True: pass'",
                      {.processes = 1, .seconds = kPatience, .cpu_seconds = 1});
  ExpectFailure(Ask(program, {"x"})[0], "ended by signal");
}

TEST_F(LineProgramTest, EveryLimitIsSet) {
  const std::string program = Python(
      "    import resource as r\n"
      "    names = 'RLIMIT_CPU', 'RLIMIT_AS', 'RLIMIT_NPROC', 'RLIMIT_CORE'\n"
      "    say('yes %s' % [r.getrlimit(getattr(r, name)) for name in names])\n");
  LineProgram limited(program, {.processes = 1,
                                .seconds = kPatience,
                                .cpu_seconds = 61,
                                .memory_bytes = (1 << 30) + 1,
                                .threads = 77});
  const std::string failure =
      Ask(limited, {"[(61, 61), (1073741825, 1073741825), (77, 77), (0, 0)]"})[0];
  if (!limited.isolated()) GTEST_SKIP() << "this kernel forbids user namespaces";
  EXPECT_EQ(failure, "");
}

TEST_F(LineProgramTest, ALimitOnALifeIsNotTheQuestionsFault) {
  // The program ends after every third answer without a word; each question is tried again in a
  // fresh copy.
  LineProgram program(Python("    n = globals().get('n', 0) + 1\n"
                             "    if n > 3: os._exit(9)\n" +
                             std::string(kEcho)),
                      {.processes = 1, .seconds = kPatience});
  EXPECT_EQ(Ask(program, std::vector<std::string>(10, "x")), std::vector<std::string>(10));
  EXPECT_EQ(program.failures(), 0);
}

TEST_F(LineProgramTest, ProcessesLeftBehindAreEnded) {
  // A bomb of sixty processes that leave their group and go on after their copy is stopped.
  {
    LineProgram program(Python("    for i in range(60):\n"
                               "        if os.fork() == 0:\n"
                               "            os.setsid()\n"
                               "            time.sleep(600)\n"
                               "    say('forked')\n"),
                        {.processes = 1, .seconds = kPatience});
    ExpectFailure(Ask(program, {"x"})[0], "nonsense: forked");
    if (!program.isolated()) GTEST_SKIP() << "this kernel forbids user namespaces";
  }
  EXPECT_EQ(ProcessesLeft(), 0);
}

TEST_F(LineProgramTest, WithoutNamespacesAGroupEndsWithItsLeader) {
  // The leader ends by itself; what it left in its group must not go on.
  {
    LineProgram program(Python("    if os.fork() == 0:\n"
                               "        os.close(1), os.close(2)\n"
                               "        time.sleep(600)\n"
                               "    os._exit(3)\n"),
                        {.processes = 1, .seconds = kPatience, .isolate = false});
    ExpectFailure(Ask(program, {"x"})[0], "exit code 3");
    EXPECT_FALSE(program.isolated());
  }
  EXPECT_EQ(ProcessesLeft(), 0);
}

TEST_F(LineProgramTest, WantOfSomethingDoesNotDropIsolation) {
  for (const int error : {EAGAIN, ENOMEM, EINTR}) {
    EXPECT_FALSE(IsolationIsRefused(error, false)) << error;
    EXPECT_FALSE(IsolationIsRefused(error, true)) << error;
  }
  for (const int error : {EPERM, EACCES, EINVAL, ENOSYS, ENOSPC, EUSERS}) {
    EXPECT_TRUE(IsolationIsRefused(error, false)) << error;
    EXPECT_FALSE(IsolationIsRefused(error, true)) << error;
  }
}

TEST_F(LineProgramTest, WhatCannotBeStartedCostsTheQuestionOnly) {
  LineProgram program(Python(kEcho), {.processes = 1, .seconds = kPatience});
  rlimit files, few;
  getrlimit(RLIMIT_NOFILE, &files);
  few = files;
  few.rlim_cur = 0;  // no pipe can be made
  setrlimit(RLIMIT_NOFILE, &few);
  const std::string failed = Ask(program, {"x"})[0];
  setrlimit(RLIMIT_NOFILE, &files);
  EXPECT_EQ(failed, "cannot be started: Too many open files");
  EXPECT_EQ(program.failures(), 1);
  EXPECT_EQ(program.last_failure(), failed);
  EXPECT_EQ(Ask(program, {"x"})[0], "");
}

TEST_F(LineProgramTest, NoNetwork) {
  LineProgram program(Python("    say('yes %d' % open('/proc/net/dev').read().count(':'))\n"),
                      {.seconds = kPatience});
  const std::string failure = Ask(program, {"1"})[0];
  if (!program.isolated()) GTEST_SKIP() << "this kernel forbids user namespaces";
  EXPECT_EQ(failure, "");  // the loopback alone, and that is down
}

TEST_F(LineProgramTest, RefusesWhatCannotWork) {
  LineProgram missing("/nonexistent/program", {});
  ExpectFailure(Ask(missing, {"x"})[0], "exit code 127");
  for (const ProgramLimits& limits : {ProgramLimits{.processes = 0},
                                      {.seconds = 0},
                                      {.seconds = NAN},
                                      {.cpu_seconds = 0},
                                      {.memory_bytes = 0},
                                      {.threads = 0}}) {
    EXPECT_NE(MessageOf([&] { LineProgram("true", limits); }).find("must all be positive"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace darkhorse
