#include "rl/own_problems.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/byte_source.h"
#include "base/compressed_testing.h"
#include "base/file.h"
#include "base/scratch_testing.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

class OwnProblemsTest : public testing::Test {
 protected:
  // `count` rows "i+1" with the answer i + 1.
  ProblemsOptions Rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += fmt::format("{{\"prompt\": \"{}+1\", \"answer\": {}}}\n", i, i + 1);
    WriteFileAtomically(scratch_ / "rows.jsonl", text);
    ProblemsOptions options;
    options.file = scratch_ / "rows.jsonl";
    options.rule = "numeric";
    options.reward_seconds = 120;
    return options;
  }
  // The same, scored by a shell program that writes `reply` for every line it reads.
  ProblemsOptions Scored(int count, const std::string& reply) {
    ProblemsOptions options = Rows(count);
    options.rule = "";
    options.reward =
        "while read -r line; do id=${line#*:}; id=${id%%,*}; echo \"" + reply + "\"; done";
    return options;
  }
  std::unique_ptr<Environment> Make(const ProblemsOptions& options) {
    notes_.clear();
    return MakeOwnEnvironment(options, [&](const std::string& note) { notes_ += note + "\n"; });
  }

  ScratchDirectory scratch_;
  std::string notes_;
};

TEST_F(OwnProblemsTest, EveryTrainingRowOnceAnEpochInAnotherOrder) {
  const auto environment = Make(Rows(200));
  const auto held_out = environment->HeldOut(1000);
  ASSERT_EQ(held_out.size(), 1u);
  const size_t train = 200 - held_out[0].size();
  EXPECT_EQ(environment->AllProblems().size(), 200u);
  EXPECT_NE(
      notes_.find(fmt::format("{} problems to train on, {} held out", train, held_out[0].size())),
      std::string::npos);
  std::vector<std::vector<std::string>> epochs;
  for (const uint64_t seed : {1, 2}) {
    for (uint64_t epoch = 0; epoch < 2; ++epoch) {
      auto& prompts = epochs.emplace_back();
      for (size_t i = 0; i < train; ++i)
        prompts.push_back(environment->TrainingProblem(seed, epoch * train + i).prompt);
      EXPECT_EQ(std::set<std::string>(prompts.begin(), prompts.end()).size(), train);
      for (const Problem& held : held_out[0])
        EXPECT_EQ(std::count(prompts.begin(), prompts.end(), held.prompt), 0);
    }
  }
  for (size_t a = 0; a < epochs.size(); ++a) {
    for (size_t b = 0; b < a; ++b) EXPECT_NE(epochs[a], epochs[b]);
  }
  // Pure: whatever was asked before.
  EXPECT_EQ(environment->TrainingProblem(1, 7).prompt, epochs[0][7]);
  EXPECT_EQ(environment->HeldOut(3)[0].size(), 3u);
}

TEST_F(OwnProblemsTest, RulesScoreInOrder) {
  const auto environment = Make(Rows(100));
  std::vector<std::string> completions;
  std::vector<Answer> answers;
  const std::vector<const Problem*> all = environment->AllProblems();
  for (size_t i = 0; i < all.size(); ++i)
    completions.push_back(Completion("", i % 3 == 0 ? all[i]->answer : "0"));
  for (size_t i = 0; i < all.size(); ++i) answers.push_back({all[i], completions[i]});
  const std::vector<Score> scores = environment->ScoreAll(answers, {});
  for (size_t i = 0; i < scores.size(); ++i)
    EXPECT_EQ(scores[i].value, i % 3 == 0 ? 1 : kFormatCredit);
  EXPECT_FALSE(environment->CanFail());
  EXPECT_EQ(environment->TakeFaults().samples, 0);
}

TEST_F(OwnProblemsTest, AnotherFileHasAnotherFingerprint) {
  const std::string first = Make(Rows(100))->Fingerprint();
  EXPECT_EQ(Make(Rows(100))->Fingerprint(), first);
  EXPECT_NE(Make(Rows(101))->Fingerprint(), first);
  EXPECT_EQ(MakeTaskEnvironment({"gcd:1"})->Fingerprint(), "");
}

TEST_F(OwnProblemsTest, CompressedFilesAreReadAsTheyWere) {
  ProblemsOptions options = Rows(100);
  const std::string text = ReadFile(options.file);
  const std::string fingerprint = Make(options)->Fingerprint();
  for (const auto& [name, bytes] :
       {std::pair{"rows.jsonl.gz", Gzip(text)},
        {"more.jsonl.gz", Gzip(text.substr(0, 99)) + Gzip(text.substr(99))},
        {"rows.jsonl.zst", Zstd(text)}}) {
    options.file = scratch_.Write(name, bytes);
    const auto environment = Make(options);
    EXPECT_EQ(environment->AllProblems().size(), 100u);
    EXPECT_EQ(environment->Fingerprint(), fingerprint);
  }
  options.file = scratch_.Write("cut.jsonl.gz", Gzip(text).substr(0, 50));
  EXPECT_NE(MessageOf([&] { Make(options); }).find("truncated gzip data"), std::string::npos);
  const auto size = static_cast<int64_t>(text.size());
  EXPECT_EQ(ReadDecompressed(scratch_ / "rows.jsonl.zst", size), text);
  EXPECT_NE(MessageOf([&] {
              ReadDecompressed(scratch_ / "rows.jsonl.zst", size - 1);
            }).find(fmt::format("rows.jsonl.zst: longer than {} bytes once", size - 1)),
            std::string::npos);
}

TEST_F(OwnProblemsTest, FaultsAreCountedOnceAndKeepTheLastLine) {
  // Prompts with a 7 break the program.
  ProblemsOptions options = Scored(100, "{\\\"id\\\": $id, \\\"score\\\": 1}");
  options.reward = "while read -r line; do case \"$line\" in *7+1*) echo garbage;; *) " +
                   options.reward.substr(options.reward.find("do") + 2);
  options.reward.insert(options.reward.rfind("; done"), ";; esac");
  const auto environment = Make(options);
  EXPECT_TRUE(environment->CanFail());
  std::vector<Answer> answers;
  int64_t broken = 0;
  for (const Problem* problem : environment->AllProblems()) {
    answers.push_back({problem, "x"});
    broken += problem->prompt.ends_with("7+1\n");
  }
  EXPECT_EQ(broken, 10);
  const std::vector<Score> scores = environment->ScoreAll(answers, {});
  for (size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(scores[i].value, !answers[i].problem->prompt.ends_with("7+1\n")) << scores[i].why;
  const ScoringFaults faults = environment->TakeFaults();
  EXPECT_EQ(faults.samples, broken);
  EXPECT_EQ(faults.last,
            "the reward program wrote a line that is not JSON (messages belong on standard error): "
            "garbage");
  EXPECT_EQ(environment->TakeFaults().samples, 0);
}

TEST_F(OwnProblemsTest, AProgramIsToldARowsPromptAndItsAnswer) {
  ProblemsOptions options = Scored(20, "{\\\"id\\\": $id, \\\"score\\\": $score}");
  options.reward.insert(
      options.reward.find("echo"),
      R"(case "$line" in *'"prompt":"7+1\n","completion":"x","answer":"8",'*) score=1;; )"
      "*) score=0;; esac; ");
  const auto environment = Make(options);
  std::vector<Answer> answers;
  for (const Problem* problem : environment->AllProblems()) answers.push_back({problem, "x"});
  const std::vector<Score> scores = environment->ScoreAll(answers, {});
  for (size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(scores[i].value, answers[i].problem->prompt == "7+1\n") << scores[i].why;
}

TEST_F(OwnProblemsTest, AProgramThatNeverWorksIsAnErrorAndAnOddOneIsTold) {
  EXPECT_EQ(MessageOf([&] { Make(Scored(100, "2")); }),
            "the reward program fails on every one of 4 samples that it was tried on: the reward "
            "program wrote a line that is not a JSON object: 2");
  Make(Scored(100, "{\\\"id\\\": $id, \\\"score\\\": 0.25}"));
  EXPECT_NE(notes_.find("gives 0.25 to the reference answer of "), std::string::npos);
  Make(Scored(100, "{\\\"id\\\": $id, \\\"score\\\": 1}"));
  EXPECT_EQ(notes_.find("reference answer"), std::string::npos);
}

TEST_F(OwnProblemsTest, FewHeldOutProblemsAreToldOf) {
  for (const int count : {1, 19, 20}) {
    ProblemsOptions options = Rows(count);
    options.held_out_share = 1;
    Make(options);
    const std::string note = count == 1
                                 ? "1 held-out problem measures coarsely"
                                 : fmt::format("{} held-out problems measure coarsely", count);
    EXPECT_EQ(notes_.find(note) != std::string::npos, count < 20) << notes_;
  }
}

TEST_F(OwnProblemsTest, EmptySharesAreErrors) {
  ProblemsOptions options = Rows(3);
  options.held_out_share = 1e-9;
  EXPECT_NE(MessageOf([&] { Make(options); }).find("none of its problems (3)"), std::string::npos);
  options.held_out_share = 1;
  const auto environment = Make(options);
  EXPECT_NE(MessageOf([&] { environment->TrainingProblem(1, 0); }).find("none to train on"),
            std::string::npos);
  options.held_out_share = 0;
  EXPECT_TRUE(Make(options)->HeldOut(5).empty());
}

TEST_F(OwnProblemsTest, RefusesOptionsThatCannotWork) {
  const auto message = [&](auto change) {
    ProblemsOptions options = Rows(3);
    change(options);
    return MessageOf([&] { Validate(options); });
  };
  EXPECT_EQ(message([](ProblemsOptions&) {}), "");
  const std::map<std::string, std::string> cases = {
      {message([](ProblemsOptions& o) { o.rule = ""; }), "how its answers are scored"},
      {message([](ProblemsOptions& o) { o.reward = "cat"; }), "only one of them"},
      {message([](ProblemsOptions& o) { o.rule = "numbers"; }), "did you mean 'numeric'"},
      {message([](ProblemsOptions& o) { o.file = ""; }), "problems.file"},
      {message([](ProblemsOptions& o) { o.held_out_share = -0.1; }), "held_out_share"},
      {message([](ProblemsOptions& o) { o.reward_processes = 0; }), "reward_processes"},
      {message([](ProblemsOptions& o) { o.reward_processes = 1 << 20; }), "reward_processes"},
      {message([](ProblemsOptions& o) { o.reward_seconds = 0; }), "reward_seconds"},
      {message([](ProblemsOptions& o) { o.reward_memory_mib = 0; }), "reward_memory_mib"},
      {message([](ProblemsOptions& o) { o.reward_cpu_seconds = -1; }), "reward_cpu_seconds"}};
  for (const auto& [got, part] : cases)
    EXPECT_NE(got.find(part), std::string::npos) << got << " lacks " << part;
}

// Which rows the trial of a reward program tells of: the first whose own answer is not right.
TEST_F(OwnProblemsTest, TheTrialNamesTheFirstRowWhoseOwnAnswerIsNotRight) {
  const auto notes = [&](const std::string& rows, const std::string& replies) {
    ProblemsOptions options = Scored(1, "");
    options.reward = "while read -r line; do id=${line#*:}; id=${id%%,*}; case \"$line\" in " +
                     replies + " esac; done";
    options.reward_processes = 1;
    options.held_out_share = 0;
    WriteFileAtomically(options.file, rows);
    const auto environment = Make(options);
    EXPECT_EQ(environment->TakeFaults().samples, 0) << "the trial's are not the run's";
    return notes_;
  };
  const auto score = [](const std::string& value) {
    return "echo \"{\\\"id\\\": $id, \\\"score\\\": " + value + "}\";;";
  };
  const std::string no_answers = "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n";
  EXPECT_EQ(notes(no_answers, "*) " + score("0.25")).find("reference answer"), std::string::npos);
  const std::string second = notes(
      no_answers + "{\"prompt\": \"c\", \"answer\": 7}\n" + "{\"prompt\": \"d\", \"answer\": 8}\n",
      "*) " + score("0.25"));
  EXPECT_NE(second.find("gives 0.25 to the reference answer of " + scratch_ / "rows.jsonl:3, as "),
            std::string::npos)
      << second;
  EXPECT_NE(second.find("<answer>7</answer>; that is unusual"), std::string::npos) << second;
  EXPECT_EQ(second.find("rows.jsonl:4"), std::string::npos) << second;
  // One that fails says how; the others may be right.
  const std::string failed =
      notes("{\"prompt\": \"c\", \"answer\": 7}\n{\"prompt\": \"d\", \"answer\": 8}\n",
            "*answer\\>8*) echo garbage;; *) " + score("1"));
  EXPECT_NE(failed.find("cannot score the reference answer of " + scratch_ / "rows.jsonl:2"),
            std::string::npos)
      << failed;
  EXPECT_NE(failed.find("(the reward program wrote a line that is not JSON (messages belong on "
                        "standard error): garbage)"),
            std::string::npos)
      << failed;
}

}  // namespace
}  // namespace darkhorse
