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

TEST(JsonlTest, WorkedAnswersStayWhole) {
  const auto read = [](const char* text) {
    return ParseProblems(text, "shots.jsonl", AnswerColumn::kWorked);
  };
  EXPECT_EQ(read(R"({"question": "2+2?", "answer": "Two and two.\n#### 4"})")[0].answer,
            "Two and two.\n#### 4");
  EXPECT_TRUE(Says(MessageOf([&] { read(R"({"question": "2+2?"})"); }), "no field answer"));
  EXPECT_TRUE(Says(MessageOf([&] { read(R"({"question": "2+2?", "answer": ""})"); }),
                   "the answer is empty"));
}

TEST(JsonlTest, NumbersAreHandedOnAsTheyAreWritten) {
  for (const std::string number :
       {"0.00001", "1000000000000000.0", "1e20", "1E+2", "1.50", "-0", "-0.0", "5",
        "123456789012345678901234567890", "-9223372036854775809", "18446744073709551616",
        "0.1000000000000000055511151231257827"}) {
    const std::string text = "{\"prompt\": \"p\", \"answer\": " + number +
                             ", \"tests\": [{\"out\": " + number + "}], \"n\": " + number + "}\n" +
                             "{\"prompt\": \"p\", \"reward_model\": {\"ground_truth\": " + number +
                             "}}\n{\"prompt\": \"p\", \"answer\": {\"is\": [" + number + "]}}";
    const auto rows = ParseProblems(text, "t.jsonl", AnswerColumn::kOptional);
    EXPECT_EQ(rows[0].answer, number);
    EXPECT_EQ(rows[0].meta, "{\"tests\":[{\"out\":" + number + "}],\"n\":" + number + "}");
    EXPECT_EQ(rows[1].answer, number);
    EXPECT_EQ(rows[2].answer, "{\"is\":[" + number + "]}");
  }
  // A row's own prompt is text; its escapes are read.
  EXPECT_EQ(ParseProblems(R"({"prompt": "\u00fc", "answer": 1})", "t.jsonl")[0].prompt, "ü\n");
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

TEST(JsonlTest, WhatIsNoJsonIsNamedByByteWithWhatToMend) {
  const auto message = [](const std::string& text) {
    return MessageOf([&] { ParseProblems(text, "my.jsonl"); });
  };
  const std::string good = "{\"prompt\": \"p\", \"answer\": 1}\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {good + "  {\"a\": NaN}", "my.jsonl:2: not valid JSON at byte 9: NaN is no JSON; write"},
      {good + R"({"a": "\ud800"})", "my.jsonl:2: not valid JSON at byte 14: half of a character"},
      {good + "{\"a\": \"\xe9t\xe9\"}",
       "my.jsonl:2: not valid JSON at byte 8: the byte 0xE9 is not"},
      {good + "[1]", "my.jsonl:2: a JSON array, not an object; write one object a line"},
      {good + "7", "my.jsonl:2: not a JSON object; write {"},
      {"[\n" + good + "]",
       "my.jsonl: one JSON value over several lines; write one object a line: jq"},
      {std::string("{\0\"\0a\0", 6), "my.jsonl: UTF-16 text, which is not read; convert it: iconv"},
      {"\xFF\xFEx", "my.jsonl: UTF-16 text"},
      {"\x1F\x8B\x08", "my.jsonl: gzip data; give it a name that ends in .gz"},
      {"\x28\xB5\x2F\xFD", "my.jsonl: zstd data; give it a name that ends in .zst"},
  };
  for (const auto& [text, says] : cases)
    EXPECT_TRUE(message(text).starts_with(says)) << message(text);
  // A byte order mark is none of a row's bytes, nor carriage returns.
  EXPECT_EQ(
      ParseProblems("\xEF\xBB\xBF{\"prompt\": \"p\", \"answer\": 1}\r\n\r\n", "my.jsonl").size(),
      1u);
}

TEST(JsonlTest, AllBadRowsAreToldAtOnceTheFirstTenByName) {
  const std::string good = "{\"prompt\": \"p\", \"answer\": \"(\"}\n";
  std::string text;
  for (int i = 0; i < 3; ++i) text += good + "{}\n";
  const std::string three = MessageOf([&] { ParseProblems(text, "m"); });
  EXPECT_EQ(
      three,
      "m:2: no field prompt (or question, or problem); 2 more rows cannot be used, of line 4, 6");
  for (int i = 0; i < 30; ++i) text += "{\n";
  const std::string many = MessageOf([&] { ParseProblems(text, "m"); });
  EXPECT_NE(many.find("; 32 more rows cannot be used, of line 4, 6; 7: "), std::string::npos)
      << many;
  EXPECT_TRUE(many.ends_with(", 13, …")) << many;
  const auto faults = [](int count) {
    std::string bad;
    for (int i = 0; i < count; ++i) bad += "[]\n";
    return MessageOf([&] { ParseProblems(bad, "m"); });
  };
  EXPECT_EQ(faults(10).find("…"), std::string::npos);
  EXPECT_EQ(faults(11),
            std::string(faults(10)).replace(faults(10).find("9 more"), 6, "10 more") + ", …");
  const auto rows = ParseProblems(good + good + good, "m");
  const std::string references = MessageOf([&] { CheckReferences(rows, Rule::kMath); });
  EXPECT_TRUE(references.starts_with("m:1: the answer '(' cannot be compared with: "))
      << references;
  EXPECT_TRUE(references.ends_with("; 2 more rows cannot be used, of line 2, 3")) << references;
}

// Which of the two is meant nobody knows.
TEST(JsonlTest, AColumnTwiceIsAnError) {
  EXPECT_EQ(
      MessageOf([] { ParseProblems(R"({"prompt":"p","answer":"a","answer":"b"})", "t.jsonl"); }),
      "t.jsonl:1: 'answer' appears twice");
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
  EXPECT_EQ(rows[0].answer, R"({"target":3,"numbers":[1,2]})");
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
            "deep.jsonl:1: JSON nests deeper than 64 levels");
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
  EXPECT_EQ(ParseProblems(line + "\n", "t.jsonl").size(), 1u);
  line.insert(line.size() - 3, "x");
  EXPECT_EQ(MessageOf([&] { ParseProblems(line, "t.jsonl"); }), "t.jsonl:1: longer than 1 MiB");
}

}  // namespace
}  // namespace darkhorse
