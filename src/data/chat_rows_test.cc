#include "data/chat_rows.h"

#include <gtest/gtest.h>

#include "base/compressed_testing.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

class ChatRowsTest : public testing::Test {
 protected:
  std::vector<Chat> Read(const std::string& text, const std::string& name = "a.jsonl") {
    std::vector<Chat> chats;
    counts_ =
        ForEachChat({scratch_.Write(name, text)}, [&](const Chat& chat) { chats.push_back(chat); });
    return chats;
  }
  // Of the only chat of a row.
  Json Messages(const std::string& row) {
    const std::vector<Chat> chats = Read(row);
    EXPECT_EQ(chats.size(), 1u);
    return chats.empty() ? Json() : chats.front().messages;
  }
  std::string Fault(const std::string& row) {
    const std::string message = MessageOf([&] { Read(row); });
    const std::string where = scratch_ / "a.jsonl:1: ";
    return message.starts_with(where) ? message.substr(where.size()) : "not of the row: " + message;
  }

  ScratchDirectory scratch_;
  ChatCounts counts_;
};

Json Said(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}
Json Thought(const std::string& thought, const std::string& content) {
  return {{"role", "assistant"}, {"content", content}, {"reasoning_content", thought}};
}

TEST_F(ChatRowsTest, EachFormIsTheSameChat) {
  const Json chat = {Said("user", "q"), Said("assistant", "a")};
  for (
      const char* row :
      {R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})",
       R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})",
       R"({"conversation": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})",
       R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
            {"role": "assistant", "content": "a"}]})",
       R"({"prompt": "q", "completion": "a"})", R"({"prompt": "q", "response": "a", "input": "x"})",
       R"({"prompt": [{"role": "user", "content": "q"}],
            "completion": [{"role": "assistant", "content": "a"}]})",
       R"({"problem": "q", "solution": "a", "answer": "not this"})",
       R"({"question": "q", "answer": "a"})",
       R"({"instruction": "q", "input": "", "output": "a", "system": " "})",
       R"({"problem": "q", "generations": ["a", "b", "c"],
            "messages": [{"role": "user", "content": "not this"}],
            "correctness_math_verify": [true, false, true],
            "is_reasoning_complete": [true, true, false]})"}) {
    std::string line = row;
    std::erase(line, '\n');
    EXPECT_EQ(Messages(line), chat) << row;
  }
}

TEST_F(ChatRowsTest, WhatElseARowSaysIsKept) {
  EXPECT_EQ(
      Messages(R"({"system": "s", "conversations": [{"from": "human", "value": "q"},)"
               R"({"from": "gpt", "value": "a"}, {"from": "observation", "value": "o"}]})"),
      (Json{Said("system", "s"), Said("user", "q"), Said("assistant", "a"), Said("tool", "o")}));
  EXPECT_EQ(Messages(R"({"instruction": "q", "input": "x", "output": "a"})")[0],
            Said("user", "q\n\nx"));
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    EXPECT_EQ(Messages(fmt::format(R"({{"prompt": "q", "completion": "a", "{}": "t"}})", name))[1],
              Thought("t", "a"));
    EXPECT_EQ(Messages(fmt::format(
                  R"({{"messages": [{{"role": "assistant", "content": "a", "{}": "t"}}]}})", name)),
              Json{Thought("t", "a")});
  }
  // A number is what it is spelt.
  EXPECT_EQ(Messages(R"({"question": "q", "answer": 1.50})")[1], Said("assistant", "1.50"));
  const std::vector<Chat> chats =
      Read(R"({"tools": "[{\"name\": \"f\"}]", "messages": [{"role": "assistant", )"
           R"("content": null, "weight": 1, "tool_calls": [{"function": {"name": "f"}}]}]})");
  EXPECT_EQ(chats.at(0).tools, (Json{{{"name", "f"}}}));
  Json calls = Said("assistant", "");
  calls["weight"] = 1;
  calls["tool_calls"] = Json{{{"function", {{"name", "f"}}}}};
  EXPECT_EQ(chats[0].messages, Json{calls});
}

TEST_F(ChatRowsTest, OnlyRightGenerationsAreChats) {
  const std::vector<Chat> chats = Read(
      R"({"problem": "p", "generations": ["1", "2", "3"], "correctness_llama": null,)"
      R"( "correctness_math_verify": [false, true, false], "correctness": [true, false, false]})"
      "\n"
      R"({"problem": "p", "generations": ["1", "2"], "correctness_math_verify": [false, false]})");
  ASSERT_EQ(chats.size(), 2u);
  EXPECT_EQ(chats[0].messages, (Json{Said("user", "p"), Said("assistant", "1")}));
  EXPECT_EQ(chats[1].messages, (Json{Said("user", "p"), Said("assistant", "2")}));
  EXPECT_EQ(counts_.rows, 2);
  EXPECT_EQ(counts_.chats, 2);
  EXPECT_EQ(counts_.wrong_answers, 3);
  EXPECT_EQ(counts_.rows_without_answer, 1);
  EXPECT_EQ(Fault(R"({"problem": "p", "generations": ["1"]})"),
            "generations without a column correctness_… that says which of them are right");
  EXPECT_EQ(Fault(R"({"problem": "p", "generations": ["1"], "correctness_llama": [true, true]})"),
            "correctness_llama has 2 verdicts on 1 generations");
}

TEST_F(ChatRowsTest, FilesMayBeCompressedOrOneArray) {
  const std::string row = R"({"prompt": "q", "completion": "a"})";
  EXPECT_EQ(Read(Gzip(row + "\n\n" + row), "a.jsonl.gz").size(), 2u);
  EXPECT_EQ(Read(Zstd(row), "a.JSONL.zst").size(), 1u);
  EXPECT_EQ(Read("[" + row + ",\n" + row + "]", "a.json").size(), 2u);
  EXPECT_EQ(Read(Gzip("[" + row + "]"), "a.json.gz").size(), 1u);
  EXPECT_TRUE(Says(MessageOf([&] { Read("[" + row + ",\n{\"prompt\": 1", "b.json"); }),
                   "b.json:2: a bracket or quote is not closed"));
}

TEST_F(ChatRowsTest, WhatIsNoChatIsNamed) {
  const auto expect = [&](const char* row, const char* fault) { EXPECT_EQ(Fault(row), fault); };
  EXPECT_TRUE(Fault(R"({"text": "x", "id": 1})")
                  .starts_with("not a chat: its columns are text, id; "
                               "write {\"messages\": "));
  EXPECT_TRUE(Fault(R"({"prompt": "x"})").starts_with("not a chat: its columns are prompt; "));
  EXPECT_TRUE(Fault("{}").starts_with("not a chat: its columns are none; "));
  EXPECT_TRUE(Fault("[1]").starts_with("not a JSON object; write "));
  EXPECT_TRUE(Fault(R"({"prompt": "x" "y"})").starts_with("not valid JSON at byte "));
  EXPECT_TRUE(Fault(R"({"prompt": "x", "prompt": "y"})").starts_with("'prompt' appears twice"));
  expect(R"({"messages": []})", "messages is no list of messages");
  expect(R"({"messages": "x"})", "messages is no list of messages");
  expect(R"({"messages": [1]})", "messages[0]: must be an object with role and content");
  expect(R"({"messages": [{"content": "x"}]})", "messages[0]: has no role (or from)");
  expect(R"({"messages": [{"role": "user"}]})", "messages[0]: has no content (or value)");
  expect(R"({"messages": [{"role": "user", "content": 5}]})",
         "messages[0]: content is neither text nor a list of parts");
  expect(R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
         "messages[0]: content has a part that is no text");
  expect(R"({"conversations": [{"from": "narrator", "value": "x"}]})",
         "conversations[0]: from is 'narrator'; known are human, gpt, system and tool");
  expect(R"({"messages": [{"role": "user", "content": "x"}]})",
         "no message is the assistant's: there is nothing to learn from it");
  expect(R"({"prompt": "x", "completion": " \n"})", "the assistant says nothing in message 2");
  expect(R"({"prompt": " ", "completion": "x"})", "prompt is empty");
  expect(R"({"prompt": {}, "completion": "x"})", "prompt is neither text nor a number");
  expect(R"({"tools": "f", "prompt": "x", "completion": "y"})", "tools is no list");
}

TEST_F(ChatRowsTest, AWeightIsNoughtOrOne) {
  const auto row = [](const std::string& weight) {
    return R"({"messages": [{"role": "user", "content": "q"},)"
           R"( {"role": "assistant", "content": "a", "weight": )" +
           weight + "}]}";
  };
  for (const char* sound : {"0", "1", "0.0", "1.0", "null"})
    EXPECT_EQ(Messages(row(sound)).size(), 2u) << sound;
  for (const char* bad : {"0.5", "2", "-1", "\"0\"", "false", "[0]"}) {
    EXPECT_EQ(Fault(row(bad)),
              fmt::format("messages[1]: weight is {}; it must be 0, so that the turn is "
                          "not learned, or 1",
                          bad));
  }
}

TEST_F(ChatRowsTest, AllFaultsAreToldAtOnceAndFaultsOfTheReaderWithThem) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += "{\"text\": 1}\n{\"prompt\": 1, \"completion\": 2}\n";
  const std::string message = MessageOf([&] { Read(text); });
  EXPECT_TRUE(Says(message, "a.jsonl:1: not a chat"));
  EXPECT_TRUE(
      Says(message, "; 11 more rows cannot be used, of line 3, 5, 7, 9, 11, 13, 15, 17, 19, …"));
  const std::string path = scratch_.Write("b.jsonl", "{\"prompt\": 1, \"completion\": 2}\n");
  EXPECT_EQ(MessageOf([&] { ForEachChat({path}, [](const Chat&) { Fail("of the reader"); }); }),
            path + ":1: of the reader");
}

TEST_F(ChatRowsTest, OtherFilesAreRefused) {
  EXPECT_TRUE(Says(MessageOf([&] { Read("x", "a.txt"); }), "a.txt: a text has no chats"));
  EXPECT_TRUE(Says(MessageOf([&] { Read("\n", "a.jsonl"); }), "a.jsonl: no rows in it; write "));
  EXPECT_TRUE(Says(MessageOf([&] { Read("x", "a.parquet"); }), "a.parquet: not a corpus file"));
  EXPECT_TRUE(Says(MessageOf([&] { ForEachChat({scratch_ / "none"}, {}); }), "no such file"));
}

}  // namespace
}  // namespace darkhorse
