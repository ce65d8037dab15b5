#include "base/ascii.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(Ascii, TrimsWhiteSpaceAtTheEnds) {
  EXPECT_EQ(TrimAscii(" \t\r\na b\f\v\n"), "a b");
  EXPECT_EQ(TrimAscii("a"), "a");
  EXPECT_EQ(TrimAscii(" \n "), "");
  EXPECT_EQ(TrimAscii(""), "");
  EXPECT_EQ(TrimAscii("\u00a0a"), "\u00a0a");
}

TEST(Ascii, LowersLettersAlone) {
  EXPECT_EQ(LowerAscii("AZaz@[09\u00c4"), "azaz@[09\u00c4");
  EXPECT_TRUE(IsAsciiLetter('a') && IsAsciiLetter('z') && IsAsciiLetter('A') && IsAsciiLetter('Z'));
  EXPECT_FALSE(IsAsciiLetter('@') || IsAsciiLetter('[') || IsAsciiLetter('`') ||
               IsAsciiLetter('{') || IsAsciiLetter('\xc4'));
}

TEST(Ascii, ReplacesEachOnce) {
  const auto replaced = [](std::string text, std::string_view from, std::string_view to) {
    ReplaceAll(text, from, to);
    return text;
  };
  EXPECT_EQ(replaced("aabaa", "aa", "a"), "aba");
  EXPECT_EQ(replaced("aaa", "a", "aa"), "aaaaaa");
  EXPECT_EQ(replaced("abc", "x", "y"), "abc");
}

}  // namespace
}  // namespace darkhorse
