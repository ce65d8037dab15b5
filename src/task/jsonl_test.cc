#include "task/jsonl.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace darkhorse {
namespace {

TEST(JsonlTest, UnderstandsTheUsualColumns) {
  const auto rows = ParseProblems(
      R"({"question": "2+2?", "answer": "Two and two.\n#### 4"}

{"prompt": "Pick.\n", "answer": "B", "extra": [1, {"a": 2}]}
{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "solution": 7}
{"data_source": "d", "prompt": [{"role": "user", "content": "v"}], "reward_model": {"style": "rule", "ground_truth": "9"}}
)",
      "test.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].prompt, "2+2?\n");
  EXPECT_EQ(rows[0].answer, "4");
  EXPECT_EQ(rows[1].prompt, "Pick.\n");
  EXPECT_EQ(rows[1].line, 3);
  EXPECT_EQ(rows[2].prompt, "u\n");
  EXPECT_EQ(rows[2].answer, "7");
  EXPECT_EQ(rows[3].prompt, "v\n");
  EXPECT_EQ(rows[3].answer, "9");
}

TEST(JsonlTest, BadRowsAreNamedByFileAndLine) {
  const auto message = [](const std::string& line) -> std::string {
    try {
      ParseProblems("{\"prompt\": \"p\", \"answer\": \"a\"}\n" + line, "my.jsonl");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
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
  EXPECT_THROW(ReadProblems("/nonexistent/file.jsonl"), Error);
}

TEST(JsonlTest, RowsMakeATask) {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += fmt::format("{{\"prompt\": \"{}+1\", \"answer\": {}}}\n", i, i + 1);
  }
  const auto task = MakeRowTask("plus", ParseProblems(text, "plus.jsonl"), Rule::kNumeric);
  const auto held_out = HeldOutProblems(*task, 1, 1000);
  EXPECT_GT(held_out.size(), 5u);
  EXPECT_LT(held_out.size(), 60u);
  for (uint64_t index = 0; index < 200; ++index) {
    const Problem problem = MakeProblem(*task, 1, index, 1, Split::kTrain);
    EXPECT_EQ(task->ScoreCompletion(task->Oracle(problem), problem).value, 1);
    for (const Problem& held : held_out) EXPECT_NE(held.prompt, problem.prompt);
  }
}

TEST(JsonlTest, ReadsGsm8kAsItIs) {
  const char* shared = std::getenv("DARKHORSE_SHARED");
  const std::string root = shared ? shared : std::string(DARKHORSE_SOURCE_DIR) + "/../shared";
  const std::string path = root + "/data/gsm8k/train.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto rows = ReadProblems(path);
  EXPECT_EQ(rows[0].answer, "72");
  for (const Row& row : rows) {
    // Every reference answer can be read by the rule that will score against it.
    ASSERT_TRUE(Compare(Rule::kNumeric, row.answer, row.answer).correct) << row.line << row.answer;
  }
}

}  // namespace
}  // namespace darkhorse
