#include "base/byte_grammar.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/byte_grammar_reader.h"
#include "base/error.h"

namespace darkhorse {
namespace {

using Counting = ByteGrammar::Counting;
using Node = ByteGrammar::Node;
using Rule = ByteGrammar::Rule;

struct Reading {
  bool goes_on, ends;
  bool operator==(const Reading&) const = default;
};

Reading Read(ByteGrammarReader& reader, std::string_view text) {
  auto state = reader.Start();
  for (const char byte : text) state = reader.Next(state, static_cast<uint8_t>(byte));
  return {reader.MayGoOn(state), reader.MayEnd(state)};
}

Reading Read(const ByteGrammar& grammar, std::string_view text) {
  ByteGrammarReader reader(std::make_shared<const ByteGrammar>(grammar));
  return Read(reader, text);
}

constexpr Reading kDead = {false, false}, kWhole = {false, true}, kBegun = {true, false},
                  kBoth = {true, true};

// list = '(' ( 'x' | list )* ')'
ByteGrammar Lists() {
  ByteGrammar grammar;
  const Rule list = grammar.AddRule();
  const Node open = grammar.AddText(grammar.Start(list), "(");
  grammar.AddByte(open, 'x', open);
  grammar.AddCall(open, list, open);
  grammar.SetEnd(grammar.AddText(open, ")"));
  grammar.Finish(list);
  return grammar;
}

TEST(ByteGrammar, RulesCallThemselves) {
  const ByteGrammar lists = Lists();
  EXPECT_EQ(Read(lists, ""), kBegun);
  EXPECT_EQ(Read(lists, "()"), kWhole);
  EXPECT_EQ(Read(lists, "(x(xx)()"), kBegun);
  EXPECT_EQ(Read(lists, "(x(xx)())"), kWhole);
  EXPECT_EQ(Read(lists, "(x))"), kDead);
  EXPECT_EQ(Read(lists, "x"), kDead);
}

TEST(ByteGrammar, NestingEndsWhereNothingMoreCouldWait) {
  const ByteGrammar lists = Lists();
  const auto nested = [](int depth) { return std::string(static_cast<size_t>(depth), '('); };
  EXPECT_EQ(Read(lists, nested(ByteGrammar::kMaxDepth + 1)), kBegun);
  EXPECT_EQ(Read(lists, nested(ByteGrammar::kMaxDepth + 2)), kDead);
  EXPECT_EQ(Read(lists, nested(200) + std::string(200, ')')), kWhole);
}

// Goes as deep as can be and then out again: whatever has been begun can be ended.
void ExpectAWayOut(const ByteGrammar& grammar, const std::string& in, const std::string& out) {
  ByteGrammarReader reader(std::make_shared<const ByteGrammar>(grammar));
  auto state = reader.Start();
  std::string text;
  while (reader.MayGoOn(state)) {
    auto next = ByteGrammarReader::kDead;
    for (const char byte : text.size() < 4 * ByteGrammar::kMaxDepth ? in + out : out) {
      next = reader.Next(state, static_cast<uint8_t>(byte));
      if (next == ByteGrammarReader::kDead) continue;
      text += byte;
      break;
    }
    ASSERT_NE(next, ByteGrammarReader::kDead) << text;
    state = next;
  }
  EXPECT_TRUE(reader.MayEnd(state)) << text;
}

TEST(ByteGrammar, NothingIsBegunThatCannotEnd) {
  ByteGrammar pairs;  // pair = 'x' | '((' pair ',' pair ')'
  const Rule pair = pairs.AddRule();
  Node end = pairs.AddText(pairs.Start(pair), "x");
  pairs.SetEnd(end);
  Node at = pairs.AddText(pairs.Start(pair), "((");
  at = pairs.AddText(pairs.AddCall(at, pair), ",");
  pairs.AddByte(pairs.AddCall(at, pair), ')', end);
  pairs.Finish(pair);
  ExpectAWayOut(pairs, "(", "x,)");

  ByteGrammar lists;  // list = '(' ')' | '(' sign wrapped ')', wrapped = list 'w'
  const Rule list = lists.AddRule(), sign = lists.AddRule(), wrapped = lists.AddRule();
  lists.SetEnd(lists.AddText(lists.Start(sign), "xy"));
  lists.SetEnd(lists.AddText(lists.AddCall(lists.Start(wrapped), list), "w"));
  const Node open = lists.AddText(lists.Start(list), "(");
  end = lists.AddText(open, ")");
  lists.SetEnd(end);
  lists.AddByte(lists.AddCall(lists.AddCall(open, sign), wrapped), ')', end);
  lists.Finish(list);
  ExpectAWayOut(lists, "xy(", ")w");
}

TEST(ByteGrammar, RunsCount) {
  ByteGrammar grammar;
  const Rule rule = grammar.AddRule(2, 4);
  const Node body = grammar.AddText(grammar.Start(rule), "<");
  grammar.AddByte(body, 'a', body, Counting::kOneMore);
  const Node end = grammar.AddNode(rule);
  grammar.SetEnd(end);
  grammar.AddByte(body, '>', end, Counting::kEnough);
  grammar.Finish(rule);
  EXPECT_EQ(Read(grammar, "<a>"), kDead);
  EXPECT_EQ(Read(grammar, "<aa>"), kWhole);
  EXPECT_EQ(Read(grammar, "<aaaa>"), kWhole);
  EXPECT_EQ(Read(grammar, "<aaaa"), kBegun);
  EXPECT_EQ(Read(grammar, "<aaaaa"), kDead);
}

TEST(ByteGrammar, AllWaysAreFollowed) {
  ByteGrammar grammar;
  const Rule rule = grammar.AddRule(), number = grammar.AddRule();
  grammar.SetEnd(grammar.AddText(grammar.Start(number), "12"));
  grammar.SetEnd(grammar.AddText(grammar.Start(number), "1"));
  const Node end = grammar.AddCall(grammar.Start(rule), number);
  grammar.SetEnd(end);
  grammar.SetEnd(grammar.AddText(end, "2!"));
  grammar.Finish(rule);
  EXPECT_EQ(Read(grammar, "1"), kBoth);
  EXPECT_EQ(Read(grammar, "12"), kBoth);
  EXPECT_EQ(Read(grammar, "12!"), kWhole);
  EXPECT_EQ(Read(grammar, "122!"), kWhole);
}

std::string FinishError(ByteGrammar grammar, Rule root) {
  try {
    grammar.Finish(root);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(ByteGrammar, WhatCannotBeReadIsRefused) {
  ByteGrammar endless;
  const Rule rule = endless.AddRule();
  endless.SetEnd(endless.AddCall(endless.AddText(endless.Start(rule), "("), rule));
  EXPECT_EQ(FinishError(endless, rule), "no finite text can satisfy it");

  ByteGrammar circle;
  const Rule one = circle.AddRule(), two = circle.AddRule(), empty = circle.AddRule();
  circle.SetEnd(circle.Start(empty));
  circle.SetEnd(circle.AddCall(circle.Start(one), two));
  circle.SetEnd(circle.AddText(circle.Start(one), "a"));
  // Behind a rule that may read nothing.
  circle.SetEnd(circle.AddCall(circle.AddCall(circle.Start(two), empty), one));
  EXPECT_EQ(FinishError(circle, one), "it begins with itself, with nothing to read between");
}

TEST(ByteGrammarReader, WhatIsForgottenIsFoundAgain) {
  ByteGrammarReader reader(std::make_shared<const ByteGrammar>(Lists()));
  auto state = reader.Start();
  for (const char byte : std::string("(x((x"))
    state = reader.Next(state, static_cast<uint8_t>(byte));
  const size_t before = reader.states();
  state = reader.Forget(state);
  EXPECT_LT(reader.states(), before);
  for (const char byte : std::string(")x)")) state = reader.Next(state, static_cast<uint8_t>(byte));
  EXPECT_TRUE(reader.MayGoOn(state));
  EXPECT_FALSE(reader.MayEnd(state));
  state = reader.Next(state, ')');
  EXPECT_TRUE(reader.MayEnd(state));
  EXPECT_EQ(reader.Next(state, ')'), ByteGrammarReader::kDead);
}

}  // namespace
}  // namespace darkhorse
