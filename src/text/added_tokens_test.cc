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

// One character of each category.
TEST(AddedTokens, WordsAndWhiteSpaceAreUnicodes) {
  const AddedToken word = {.content = "ab", .id = 1, .single_word = true};
  const AddedToken left = {.content = "ab", .id = 1, .lstrip = true};
  struct Character {
    const char* utf8;
    bool of_word, space;
  };
  for (const auto& [utf8, of_word, space] : std::initializer_list<Character>{
           {"A", true, false},             // Lu
           {"\xC3\x9F", true, false},      // Ll
           {"\xC7\x85", true, false},      // Lt
           {"\xCA\xB0", true, false},      // Lm
           {"\xC2\xAA", true, false},      // Lo
           {"\xCC\x81", true, false},      // Mn
           {"\xE0\xA4\x83", true, false},  // Mc
           {"\xE2\x83\x9D", true, false},  // Me
           {"7", true, false},             // Nd
           {"\xE2\x85\xA3", true, false},  // Nl
           {"_", true, false},             // Pc
           {"\xE2\x80\x8C", true, false},  // the joiners
           {"\xE2\x80\x8D", true, false},
           {"\xE2\x92\xB6", true, false},  // letters in circles: the first and the last
           {"\xE2\x93\xA9", true, false},
           {"\xF0\x9F\x84\xB0", true, false},  // in squares
           {"\xF0\x9F\x85\x89", true, false},
           {"\xF0\x9F\x85\x90", true, false},
           {"\xF0\x9F\x85\xA9", true, false},
           {"\xF0\x9F\x85\xB0", true, false},
           {"\xF0\x9F\x86\x89", true, false},
           {"\xE2\x92\xB5", false, false},  // and what stands beside them
           {"\xE2\x93\xAA", false, false},
           {"\xF0\x9F\x86\x8A", false, false},
           {"\xC2\xB2", false, false},  // No
           {"-", false, false},         // Pd
           {"+", false, false},         // Sm
           {"\xE2\x80\x8B", false, false},
           {"\t", false, true},
           {"\n", false, true},
           {"\v", false, true},
           {"\f", false, true},
           {"\r", false, true},
           {"\x08", false, false},
           {"\x0E", false, false},
           {" ", false, true},
           {"\xC2\x85", false, true},
           {"\xC2\xA0", false, true},
           {"\xE2\x80\xA8", false, true},     // Zl
           {"\xE2\x80\xA9", false, true},     // Zp
           {"\xE3\x80\x80", false, true}}) {  // Zs
    const std::string c = utf8;
    EXPECT_EQ(Cut({word}, c + "ab"), of_word ? c + "ab" : c + "[1]") << c;
    EXPECT_EQ(Cut({word}, "ab" + c), of_word ? "ab" + c : "[1]" + c) << c;
    EXPECT_EQ(Cut({left}, c + "ab"), space ? "[1]" : c + "[1]") << c;
  }
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
