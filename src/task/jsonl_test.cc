#include "task/jsonl.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(JsonlTest, UnderstandsTheUsualColumns) {
  const auto rows = ParseProblems(
      R"({"question": "2+2?", "answer": "Two and two.\n#### 4"}

{"prompt": "Pick.\n", "answer": "B", "extra": [1, {"a": 2}]}
{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "solution": 7}
{"data_source": "d", "prompt": [{"role": "user", "content": "v"}], "reward_model": {"style": "rule", "ground_truth": "9"}}
)",
      "a/test.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].prompt, "2+2?\n");
  EXPECT_EQ(rows[0].answer, "4");
  EXPECT_EQ(rows[1].prompt, "Pick.\n");
  EXPECT_EQ(rows[1].where, "a/test.jsonl:3");
  EXPECT_EQ(rows[1].task, "test.jsonl");
  EXPECT_EQ(rows[1].meta, R"({"extra":[1,{"a":2}]})");
  EXPECT_EQ(rows[2].prompt, "u\n");
  EXPECT_EQ(rows[2].answer, "7");
  EXPECT_EQ(rows[3].prompt, "v\n");
  EXPECT_EQ(rows[3].answer, "9");
}

TEST(JsonlTest, TheLastOfSeveralCounts) {
  const auto rows = ParseProblems(
      R"({"prompt": [{"role": "user", "content": "first"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "last"}, {"role": "assistant", "content": "b"}], "answer": "#### 3 of #### 4"})",
      "t.jsonl");
  EXPECT_EQ(rows[0].prompt, "last\n");
  EXPECT_EQ(rows[0].answer, "4");
}

TEST(JsonlTest, BadRowsAreNamedByFileAndLine) {
  const auto message = [](const std::string& line) {
    return MessageOf(
        [&] { ParseProblems("{\"prompt\": \"p\", \"answer\": \"a\"}\n" + line, "my.jsonl"); });
  };
  for (const std::string line :
       {"{", "[1]", "1", "{\"prompt\": \"p\"}", "{\"answer\": \"a\"}",
        "{\"prompt\": 1, \"answer\": \"a\"}", "{\"prompt\": \"p\", \"answer\": [1]}",
        "{\"prompt\": \"\", \"answer\": \"a\"}", "{\"prompt\": \"p\", \"answer\": \"\"}",
        "{\"prompt\": [], \"answer\": \"a\"}", "{\"prompt\": [1], \"answer\": \"a\"}",
        "{\"prompt\": null, \"answer\": null}", "{\"prompt\": \"\xff\", \"answer\": \"a\"}"}) {
    EXPECT_EQ(message(line).substr(0, 12), "my.jsonl:2: ") << line << " " << message(line);
  }
  EXPECT_EQ(message(std::string(1 << 19, '[')).substr(0, 12), "my.jsonl:2: ");
  EXPECT_EQ(message(std::string(1 << 21, ' ') + "x").substr(0, 12), "my.jsonl:2: ");
  EXPECT_THROW(ParseProblems("", "empty.jsonl"), Error);
}

// Which of the two is meant nobody knows.
TEST(JsonlTest, AColumnTwiceIsAnError) {
  EXPECT_EQ(
      MessageOf([] { ParseProblems(R"({"prompt":"p","answer":"a","answer":"b"})", "t.jsonl"); }),
      "t.jsonl:1: not a JSON object that can be read: 'answer' appears twice");
}

TEST(JsonlTest, AnswersMayBeLeftOutForAVerifier) {
  const auto rows = ParseProblems("{\"prompt\": \"p\", \"tests\": [\"f(1) == 1\"]}\n", "t.jsonl",
                                  AnswerColumn::kOptional);
  EXPECT_EQ(rows[0].answer, "");
  EXPECT_EQ(rows[0].meta, R"({"tests":["f(1) == 1"]})");
}

TEST(JsonlTest, AVerifierGetsAnyAnswerAndEveryOtherColumn) {
  const std::string text =
      R"({"prompt":"p","reward_model":{"style":"rule","ground_truth":{"target":3,"numbers":[1,2]}}})"
      "\n"
      R"({"prompt":"p","question":"q","answer":"a","solution":"s"})";
  const auto rows = ParseProblems(text, "v.jsonl", AnswerColumn::kOptional);
  EXPECT_EQ(rows[0].answer, R"({"numbers":[1,2],"target":3})");
  EXPECT_EQ(rows[1].meta, R"({"question":"q","solution":"s"})");
  EXPECT_EQ(MessageOf([&] { ParseProblems(text, "v.jsonl"); }),
            "v.jsonl:1: the answer is neither text nor a number");
  EXPECT_EQ(MessageOf([&] {
              ParseProblems(R"({"prompt":[{"role":"user","content":[{"type":"text"}]}]})",
                            "v.jsonl");
            }),
            "v.jsonl:1: the user's message is in parts; only text is read");
}

TEST(JsonlTest, DeepNestingIsAnError) {
  const std::string deep(100000, '['), shut(100000, ']');
  EXPECT_EQ(MessageOf([&] {
              ParseProblems("{\"prompt\": \"p\", \"answer\": \"a\", \"x\": " + deep + shut + "}",
                            "deep.jsonl");
            }),
            "deep.jsonl:1: not a JSON object that can be read: JSON nests deeper than 64 levels");
}

TEST(JsonlTest, AnswersThatTheRuleCannotReadAreNamedByLine) {
  const auto rows = ParseProblems(
      "{\"prompt\": \"p\", \"answer\": 7}\n\n{\"prompt\": \"q\", \"answer\": \"(\"}\n", "my.jsonl");
  CheckReferences(rows, Rule::kExact);
  for (const Rule rule : {Rule::kNumeric, Rule::kMath, Rule::kRegex}) {
    EXPECT_EQ(MessageOf([&] { CheckReferences(rows, rule); }).substr(0, 12), "my.jsonl:3: ");
  }
}

TEST(JsonlTest, TheSplitKeepsItsShareAndRepeatedPromptsTogether) {
  std::string text;
  for (int i = 0; i < 4000; ++i) {
    text += fmt::format("{{\"prompt\": \"{}+1\", \"answer\": {}}}\n", i / 2, i);
  }
  const std::vector<Problem> rows = ParseProblems(text, "plus.jsonl");
  const SplitProblems split = SplitByPrompt(rows, 0.0625);
  EXPECT_EQ(split.train.size() + split.held_out.size(), rows.size());
  // 2000 prompts at 1/16: 125 with a deviation of 10.8; five of them either way.
  EXPECT_NEAR(static_cast<double>(split.held_out.size()) / 2, 125, 54);
  std::set<std::string> held;
  for (const Problem& problem : split.held_out) held.insert(problem.prompt);
  EXPECT_EQ(held.size() * 2, split.held_out.size());
  for (const Problem& problem : split.train) EXPECT_EQ(held.count(problem.prompt), 0u);
  EXPECT_TRUE(SplitByPrompt(rows, 0).held_out.empty());
  EXPECT_TRUE(SplitByPrompt(rows, 1).train.empty());
}

TEST(JsonlTest, ReadsGsm8kAsItIs) {
  const char* shared = std::getenv("DARKHORSE_SHARED");
  const std::string root = shared ? shared : std::string(DARKHORSE_SOURCE_DIR) + "/../shared";
  const std::string path = root + "/data/gsm8k/train.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto rows = ParseProblems(ReadFile(path), path);
  EXPECT_EQ(rows[0].answer, "72");
  // Every reference answer can be read by the rule that will score against it.
  CheckReferences(rows, Rule::kNumeric);
}

TEST(JsonlTest, ALineMayBeAMebibyteLong) {
  std::string line = R"({"prompt":"p","answer":"a","x":")";
  line += std::string((1 << 20) - line.size() - 2, 'x') + "\"}";
  ASSERT_EQ(line.size(), size_t{1} << 20);
  EXPECT_EQ(ParseProblems("  " + line + " \n", "t.jsonl").size(), 1u);  // spaces around it are free
  line.insert(line.size() - 3, "x");
  EXPECT_EQ(MessageOf([&] { ParseProblems(line, "t.jsonl"); }), "t.jsonl:1: longer than 1 MiB");
}

}  // namespace
}  // namespace darkhorse
