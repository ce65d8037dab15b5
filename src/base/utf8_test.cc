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

}  // namespace
}  // namespace darkhorse
