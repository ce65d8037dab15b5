#include "text/added_tokens.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

// The text cut at its tokens: pieces of text as they are, a token as its number in brackets.
std::string Cut(const std::vector<AddedToken>& tokens, std::string_view text) {
  AddedTokenMatcher matcher;
  for (const AddedToken& token : tokens) matcher.Add(token, token.content);
  std::string out;
  matcher.Split(
      text,
      [&](std::string_view piece) {
        EXPECT_FALSE(piece.empty());
        out += piece;
      },
      [&](int32_t id) { out += "[" + std::to_string(id) + "]"; });
  return out;
}

TEST(AddedTokens, TheLeftmostThenTheLongest) {
  const std::vector<AddedToken> tokens = {
      {.content = "ab", .id = 1}, {.content = "abc", .id = 2}, {.content = "bcd", .id = 3}};
  EXPECT_EQ(Cut(tokens, "abcd ab abd bcd"), "[2]d [1] [1]d [3]");
  EXPECT_EQ(Cut(tokens, "aabbcd"), "a[1][3]");
  EXPECT_EQ(Cut(tokens, "a"), "a");
  EXPECT_EQ(Cut(tokens, ""), "");
  EXPECT_EQ(Cut({}, "ab"), "ab");
  EXPECT_EQ(Cut({{.content = "", .id = 1}}, "ab"), "ab");
  // Of equal contents the first.
  EXPECT_EQ(Cut({{.content = "a", .id = 7}, {.content = "a", .id = 8}}, "a"), "[7]");
}

TEST(AddedTokens, ASingleWordTouchesNoOther) {
  const AddedToken word = {.content = "ab", .id = 1, .single_word = true};
  EXPECT_EQ(Cut({word},
                "ab xab abx ab-ab \xC3\xA9"
                "ab ab\xC3\xA9 ab"),
            "[1] xab abx [1]-[1] \xC3\xA9"
            "ab ab\xC3\xA9 [1]");
  // One that does still hides what overlaps it, as in the reference.
  EXPECT_EQ(Cut({word, {.content = "bc", .id = 2}}, "abc bc"), "abc [2]");
  EXPECT_EQ(Cut({word, {.content = "c", .id = 2}}, "abc"), "ab[2]");
}

TEST(AddedTokens, WhiteSpaceGoesWithTheTokenThatTakesIt) {
  const AddedToken left = {.content = "l", .id = 1, .lstrip = true};
  const AddedToken right = {.content = "r", .id = 2, .rstrip = true};
  const AddedToken plain = {.content = "p", .id = 3};
  const std::string space = " \t\xE3\x80\x80\n";
  EXPECT_EQ(Cut({left}, "a" + space + "l" + space + "b"), "a[1]" + space + "b");
  EXPECT_EQ(Cut({right}, "a" + space + "r" + space + "b"), "a" + space + "[2]b");
  EXPECT_EQ(Cut({left}, space + "l" + space + "l"), "[1][1]");
  EXPECT_EQ(Cut({right}, "r" + space + "r" + space), "[2][2]");
  EXPECT_EQ(Cut({left, right, plain}, "p  l  p  r  p"), "[3][1]  [3]  [2][3]");
  EXPECT_EQ(Cut({left, right}, "r  l"), "[2][1]");  // the first took it
  EXPECT_EQ(Cut({left, {.content = " ", .id = 4}}, "a  l"), "a[4][4][1]");
}

}  // namespace
}  // namespace darkhorse
