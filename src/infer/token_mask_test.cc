#include "infer/token_mask.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "infer/constraint_testing.h"

namespace darkhorse {
namespace {

std::vector<std::string_view> Views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

TEST(TokenTree, WalksMeetEveryTokenBelow) {
  const std::vector<std::string> texts = {"ab", "",    "a",    "b",
                                          "ab", "abc", "\xFF", std::string(300, 'a')};
  const TokenTree tree(Views(texts));
  std::vector<std::string> met;
  std::vector<char> path(256);
  for (int32_t i = 1; i < tree.nodes(); ++i) {
    const TokenTree::Node& node = tree.node(i);
    path[node.depth] = static_cast<char>(node.byte);
    for (int32_t token = node.token; token >= 0; token = tree.Same(token)) {
      EXPECT_EQ(texts[static_cast<size_t>(token)],
                std::string(path.begin() + 1, path.begin() + 1 + node.depth));
      EXPECT_EQ(tree.text(token), texts[static_cast<size_t>(token)]);
      met.push_back(std::to_string(token));
    }
  }
  EXPECT_EQ(met, (std::vector<std::string>{"2", "0", "4", "5", "3", "6"}));
  EXPECT_EQ(tree.node(0).behind, tree.nodes());
  EXPECT_EQ(tree.node(1).behind, 4);  // a, ab, abc
  EXPECT_EQ(tree.text(1), "");
  EXPECT_EQ(tree.text(7), "");
}

// A vocabulary of what the language is made of, and of pieces that lie across its borders.
std::vector<std::string> Vocabulary(uint64_t seed) {
  std::vector<std::string> texts = {"", "[", "]", ",", "\"", "<", ">", "a", "b"};
  RandomSequence random(seed, RandomStream::kTest, 0);
  const std::string signs = "[],\"<>abz";
  while (texts.size() < 1500) {
    std::string text;
    for (uint64_t n = 1 + random.Below(6); n > 0; --n) text += signs[random.Below(signs.size())];
    texts.push_back(text);
  }
  for (int n = 1; n < 700; ++n)
    texts.push_back(std::string(1 + static_cast<size_t>(n) / 26 % 9, 'a') +
                    static_cast<char>('a' + n % 26));
  for (int n = 2; n < 40; ++n) texts.push_back(std::string(static_cast<size_t>(n), '['));
  return texts;
}

// Each token by itself, byte by byte.
TokenSet SlowlyAllowed(const TokenConstraint& constraint, std::string_view said,
                       const std::vector<std::string>& texts) {
  TokenSet allowed(static_cast<int64_t>(texts.size()));
  ByteGrammarReader reader(constraint.grammar->grammar());
  auto begin = reader.Start();
  for (const char byte : said) begin = reader.Next(begin, static_cast<uint8_t>(byte));
  for (size_t id = 0; id < texts.size(); ++id) {
    auto state = begin;
    for (const char byte : texts[id]) state = reader.Next(state, static_cast<uint8_t>(byte));
    if (!texts[id].empty() && state != ByteGrammarReader::kDead)
      allowed.Add(static_cast<int32_t>(id));
  }
  return allowed;
}

TEST(TokenMask, AllowsWhatEachTokenByItselfMay) {
  const std::vector<std::string> texts = Vocabulary(1);
  const TokenConstraint constraint{
      std::make_shared<TokenGrammar>(std::make_shared<TokenTree>(Views(texts)), SmallLanguage()),
      ""};
  int ended = 0;
  for (uint64_t round = 0; round < 20; ++round) {
    RandomSequence random(round, RandomStream::kTest, 1);
    TokenMask mask(constraint);
    std::string said;
    for (int step = 0; step < 40; ++step) {
      const TokenSet slow = SlowlyAllowed(constraint, said, texts);
      ASSERT_EQ(mask.Allowed(), slow) << said;
      std::vector<int32_t> choices;
      for (size_t id = 0; id < texts.size(); ++id) {
        if (slow.Has(static_cast<int32_t>(id))) choices.push_back(static_cast<int32_t>(id));
      }
      if (choices.empty()) break;
      const int32_t token = choices[random.Below(choices.size())];
      ASSERT_TRUE(mask.Read(token));
      said += texts[static_cast<size_t>(token)];
    }
    ended += mask.may_end();
  }
  EXPECT_GT(ended, 0);
}

// Where nesting has come near its end, tokens of many brackets depend on how deep it is.
TEST(TokenMask, DepthCounts) {
  const std::vector<std::string> texts = Vocabulary(2);
  const auto grammar =
      std::make_shared<TokenGrammar>(std::make_shared<TokenTree>(Views(texts)), SmallLanguage());
  for (const size_t depth : {100u, 200u, 215u, 230u, 250u, 254u, 255u, 256u}) {
    TokenConstraint constraint{grammar, std::string(depth, '[')};
    TokenMask mask(constraint);
    const TokenSet slow = SlowlyAllowed(constraint, constraint.begun, texts);
    EXPECT_EQ(mask.Allowed(), slow) << depth;
    EXPECT_EQ(slow.Has(static_cast<int32_t>(texts.size()) - 1), depth <= 215)
        << depth;  // 39 brackets
  }
}

TEST(TokenMask, KnowsWhereItMayEndAndWhereItIsLost) {
  const std::vector<std::string> texts = {"[", "]", "x"};
  const auto grammar =
      std::make_shared<TokenGrammar>(std::make_shared<TokenTree>(Views(texts)), SmallLanguage());
  TokenMask mask({grammar, "["});
  EXPECT_FALSE(mask.may_end());
  EXPECT_TRUE(mask.Read(1));
  EXPECT_TRUE(mask.may_end());
  EXPECT_EQ(mask.Allowed(), TokenSet(3));
  EXPECT_FALSE(mask.dead());
  EXPECT_FALSE(mask.Read(2));
  EXPECT_TRUE(mask.dead());
  EXPECT_TRUE(TokenMask({grammar, "x"}).dead());
}

TEST(TokenMask, RestrictsLogits) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const std::vector<std::string> texts = {"[", "]", "x", "<"};
  const auto grammar =
      std::make_shared<TokenGrammar>(std::make_shared<TokenTree>(Views(texts)), SmallLanguage());
  TokenMask mask({grammar, ""});
  const std::vector<int32_t> ends = {3, 4,
                                     99};  // one that the grammar would take, one without a text
  const auto restricted = [&] {
    std::vector<float> logits = {1, 2, 3, 4, 5, 6};
    EXPECT_TRUE(mask.Restrict(logits, ends));
    return logits;
  };
  EXPECT_EQ(restricted(), (std::vector<float>{1, kNone, kNone, kNone, kNone, kNone}));
  mask.Read("[]");
  EXPECT_EQ(restricted(), (std::vector<float>{kNone, kNone, kNone, 4, 5, kNone}));
  std::vector<float> logits = {1, 2, 3};
  EXPECT_FALSE(mask.Restrict(logits, {}));
}

}  // namespace
}  // namespace darkhorse
