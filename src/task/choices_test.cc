#include "task/choices.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(Choices, AreReadRowByRow) {
  const auto read = ParseChoices(
      R"({"question": "2+2?", "choices": ["3", " 4 "], "answer": 1}

{"id": 7, "question": "Which?", "choices": ["a", "b", "c"], "answer": 0})",
      "c.jsonl");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].question, "2+2?");
  EXPECT_EQ(read[0].choices, (std::vector<std::string>{"3", " 4 "}));
  EXPECT_EQ(read[0].answer, 1u);
  EXPECT_EQ(read[1].where, "c.jsonl:3");
  EXPECT_EQ(read[1].choices.size(), 3u);
}

TEST(Choices, RowsThatCannotBeUsedAreNamed) {
  const auto message = [](const std::string& row) {
    return MessageOf([&] { ParseChoices(row + "\n", "c.jsonl"); });
  };
  EXPECT_EQ(message(R"({"choices": ["a", "b"], "answer": 0})"), "c.jsonl:1: no field question");
  EXPECT_EQ(message(R"({"question": " ", "choices": ["a", "b"], "answer": 0})"),
            "c.jsonl:1: field question is no text, or empty");
  for (const char* few : {R"(["a"])", "[]", R"("ab")", "null"}) {
    EXPECT_EQ(message(fmt::format(R"({{"question": "q", "choices": {}, "answer": 0}})", few)),
              "c.jsonl:1: field choices is no list of two texts or more");
  }
  for (const char* wrong : {R"(["a", 1])", R"(["a", ""])", R"(["a", " "])"}) {
    EXPECT_EQ(message(fmt::format(R"({{"question": "q", "choices": {}, "answer": 0}})", wrong)),
              "c.jsonl:1: field choices holds something that is no text, or empty");
  }
  for (const char* wrong : {"2", "-1", "0.5", "\"A\"", "null", "18446744073709551615"}) {
    EXPECT_EQ(
        message(fmt::format(R"({{"question": "q", "choices": ["a", "b"], "answer": {}}})", wrong)),
        fmt::format("c.jsonl:1: field answer must be the index of the right choice, 0 to 1, not {}",
                    wrong));
  }
  EXPECT_TRUE(Says(message("[1]"), "c.jsonl:1: a JSON array, not an object"));
  EXPECT_TRUE(Says(message("7"), "not a JSON object; write {\"question\""));
  EXPECT_TRUE(Says(message("{}\n{}"), "1 more row cannot be used, of line 2"));
  EXPECT_EQ(message(""), "c.jsonl: no questions in it; write one JSON object a line");
}

TEST(Choices, TheMostProbableIsTheFirstOfTheLargest) {
  EXPECT_EQ(MostProbable({-2, -1, -1}), 1u);
  EXPECT_EQ(MostProbable({-2, -1}, {4, 1}), 0u);
  EXPECT_EQ(MostProbable({-2, -1}, {2, 1}), 0u);
}

}  // namespace
}  // namespace darkhorse
