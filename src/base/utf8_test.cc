#include "base/utf8.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(Utf8, EveryCharacterThereAndBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string text;
    AppendUtf8(c, &text);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    ASSERT_EQ(IsValidUtf8(text), !surrogate) << static_cast<uint32_t>(c);
    if (surrogate) continue;
    size_t pos = 0;
    ASSERT_EQ(NextUtf8(text, &pos), c);
    ASSERT_EQ(pos, text.size());
    ASSERT_EQ(PreviousUtf8(text, &pos), c);
    ASSERT_EQ(pos, 0u);
    ASSERT_EQ(ValidUtf8Prefix(text.substr(0, text.size() - 1)), 0u);
  }
}

TEST(Utf8, WideTextIsKnownByItsMarkOrItsZeros) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view wide : {"\xFF\xFE"sv, "\xFE\xFF\0a"sv, "a\0b\0"sv, "\0a\0b\0c"sv,
                                      "a\0\0\0"sv, "\x34\x04\x30\x04 \0d\0e\0"sv}) {
    EXPECT_TRUE(IsWideText(wide));
  }
  for (const std::string_view other :
       {""sv, "\0"sv, "text"sv, "\xEF\xBB\xBFtext"sv, "a text with one \0 in it"sv, "\xFFtext"sv}) {
    EXPECT_FALSE(IsWideText(other)) << other;
  }
}

TEST(Utf8, BrokenTextEndsThePrefix) {
  EXPECT_EQ(ValidUtf8Prefix("12345678\x80"), 8u);
  EXPECT_EQ(ValidUtf8Prefix("\xC0\x80"), 0u);          // overlong
  EXPECT_EQ(ValidUtf8Prefix("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(ValidUtf8Prefix("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(ValidUtf8Prefix("a\xC3"), 1u);
}

TEST(Utf8, WhatCommandsATerminalIsSpeltOut) {
  EXPECT_EQ(EscapedForTerminal("plain ü 猫 😀\n\ttext"), "plain ü 猫 😀\n\ttext");
  EXPECT_EQ(EscapedForTerminal("\x1b[31m\r\x07\x7f\x01"), R"(\x1b[31m\x0d\x07\x7f\x01)");
  EXPECT_EQ(EscapedForTerminal(std::string_view("\0", 1)), R"(\x00)");
  EXPECT_EQ(EscapedForTerminal("\xC2\x9B"
                               "2J\xC2\xA0"),
            "\\u009b2J\xC2\xA0");  // C1's CSI
  EXPECT_EQ(EscapedForTerminal("\x9B"
                               "2J\xE2\x80"),
            R"(\x9b2J\xe2\x80)");  // as a bare byte
  for (char32_t c = 0; c < 0x3000; ++c) {
    const bool turns = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    EXPECT_EQ(CommandsTerminal(c), c < 0x20 || (c > 0x7E && c < 0xA0) || turns) << uint32_t{c};
  }
  EXPECT_EQ(EscapedForTerminal("a\u202Eb\u2066"), R"(a\u202eb\u2066)");
  EXPECT_EQ(EscapedLine("a\n\tb\x1b\n"), R"(a\n\tb\x1b\n)");
  const std::string once = EscapedForTerminal("\x1b\\");
  EXPECT_EQ(EscapedForTerminal(once), once);
}

}  // namespace
}  // namespace darkhorse
