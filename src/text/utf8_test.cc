#include "text/utf8.h"

#include <gtest/gtest.h>

#include "text/byte_alphabet.h"

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

TEST(Utf8, BrokenTextEndsThePrefix) {
  EXPECT_EQ(ValidUtf8Prefix("12345678\x80"), 8u);
  EXPECT_EQ(ValidUtf8Prefix("\xC0\x80"), 0u);          // overlong
  EXPECT_EQ(ValidUtf8Prefix("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(ValidUtf8Prefix("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(ValidUtf8Prefix("a\xC3"), 1u);
}

TEST(ByteAlphabet, EveryByteThereAndBack) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  EXPECT_EQ(UnspellBytes(SpellBytes(bytes)), bytes);
  EXPECT_EQ(SpellBytes(" \n"), "\xC4\xA0\xC4\x8A");
  EXPECT_EQ(UnspellBytes(" "), std::nullopt);
  EXPECT_EQ(UnspellBytes("\xEF\xBD\x9C"), std::nullopt);
}

}  // namespace
}  // namespace darkhorse
