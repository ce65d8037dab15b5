#include "serve/answer_text.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

// Every byte a token, and the tags and the end one each.
Tokenizer Bytes() {
  return TrainTokenizer(
      std::vector<std::string>{},
      {.vocab_size = 300,
       .special_tokens = {"<|end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"}});
}

// An answer told token by token: the pieces as "thought|content", "" where nothing was added.
struct Told {
  std::vector<std::string> pieces;
  std::string thought, content;
  int64_t tokens, thought_tokens;
  bool stopped;
  std::vector<ToolCall> calls;
};
Told Tell(const std::string& text, AnswerText::Options options) {
  const Tokenizer tokenizer = Bytes();
  std::vector<int32_t> ids;
  tokenizer.Encode(text, &ids);
  AnswerText answer(tokenizer, std::move(options));
  Told told{};
  const auto keep = [&](const AnswerText::Piece& piece) {
    told.thought += piece.thought;
    told.content += piece.content;
    told.calls.insert(told.calls.end(), piece.calls.begin(), piece.calls.end());
    told.pieces.push_back(piece.thought + "|" + piece.content);
  };
  for (const int32_t id : ids) {
    if (answer.stopped()) break;
    keep(answer.Next(id));
  }
  keep(answer.End());
  told.tokens = answer.tokens();
  told.thought_tokens = answer.thought_tokens();
  told.stopped = answer.stopped();
  return told;
}

TEST(AnswerText, ThoughtsAreApartWhoeverOpenedThem) {
  for (const bool in_thought : {false, true}) {
    const Told told = Tell(std::string(in_thought ? "" : "<think>") + "ab</think>\n\ncd",
                           {.in_thought = in_thought});
    EXPECT_EQ(told.thought, "ab");
    EXPECT_EQ(told.content, "cd");
    // The tags are tokens of the thought.
    EXPECT_EQ(told.thought_tokens, in_thought ? 3 : 4);
    EXPECT_EQ(told.tokens, told.thought_tokens + 4);
  }
  const Told cut = Tell("ab", {.in_thought = true});
  EXPECT_EQ(cut.thought, "ab");
  EXPECT_EQ(cut.content, "");
  EXPECT_EQ(cut.thought_tokens, 2);
  const Told none = Tell("ab", {});
  EXPECT_EQ(none.content, "ab");
  EXPECT_EQ(none.thought_tokens, 0);
}

TEST(AnswerText, TextsOfNoChatAreWhole) {
  EXPECT_EQ(Tell("<think>a</think> b", {.splits = false}).content, "<think>a</think> b");
}

TEST(AnswerText, WhatMayBeAStopWaitsAndAStopEndsTheContent) {
  const Told told = Tell("abxyzc", {.stops = {"xyz", "q"}});
  EXPECT_EQ(told.pieces, (std::vector<std::string>{"|a", "|b", "|", "|", "|", "|"}));
  EXPECT_TRUE(told.stopped);
  EXPECT_EQ(told.tokens, 5);  // that it stands in were computed, nothing behind
  const Told no_stop = Tell("abxyc", {.stops = {"xyz"}});
  EXPECT_EQ(no_stop.pieces, (std::vector<std::string>{"|a", "|b", "|", "|", "|xyc", "|"}));
  EXPECT_FALSE(no_stop.stopped);
  const Told at_end = Tell("abx", {.stops = {"xyz"}});
  EXPECT_EQ(at_end.content, "abx");
  EXPECT_FALSE(at_end.stopped);
  // A stop that a longer piece begins before.
  EXPECT_EQ(Tell("aaab", {.stops = {"aab"}}).content, "a");
}

TEST(AnswerText, AThoughtMayHoldAStop) {
  const Told told = Tell("a.b</think>c.d", {.in_thought = true, .stops = {"."}});
  EXPECT_EQ(told.thought, "a.b");
  EXPECT_EQ(told.content, "c");
  EXPECT_TRUE(told.stopped);
}

TEST(AnswerText, CharactersAreToldWhole) {
  const Told told = Tell("é", {});
  EXPECT_EQ(told.pieces, (std::vector<std::string>{"|", "|é", "|"}));
}

TEST(AnswerText, CallsAreTakenOutOfTheContent) {
  const std::string call = R"(<tool_call>{"name":"f","arguments":{"x":"a."}}</tool_call>)";
  AnswerText::Options options{.in_thought = true, .stops = {"."}};
  options.calls = ToolCallFormat::kTagged;
  options.tools = {"f"};
  // These special tokens are text here.
  for (const char* mark : {"<tool_call>", "</tool_call>"})
    options.shown.push_back(*Bytes().TokenId(mark));
  const Told told = Tell(call + "</think>\n\nso\n" + call, options);
  EXPECT_EQ(told.thought, call);  // a thought calls nothing
  EXPECT_EQ(told.content, "so");
  EXPECT_EQ(told.calls, (std::vector<ToolCall>{{"f", R"({"x":"a."})"}}));
  EXPECT_FALSE(told.stopped);
  options.shown.clear();
  EXPECT_TRUE(Tell("</think>" + call, options).calls.empty());
}

}  // namespace
}  // namespace darkhorse
