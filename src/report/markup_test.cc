#include "report/markup.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

TEST(EscapeMarkup, MarkupIsText) {
  EXPECT_EQ(EscapeMarkup("<b a=\"1\">x & y</b>"), "&lt;b a=&quot;1&quot;&gt;x &amp; y&lt;/b&gt;");
  EXPECT_EQ(EscapeMarkup("&lt;"), "&amp;lt;");
  EXPECT_EQ(EscapeMarkup("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(EscapeMarkup("é … 😀"), "é … 😀");
}

TEST(EscapeMarkup, ControlCharactersAreSeen) {
  EXPECT_EQ(EscapeMarkup(std::string_view("\0\x01\x1b\r\x1f", 5)), "␀␁␛␍␟");
  const std::string gone = "\xEF\xBF\xBD";  // U+FFFD
  EXPECT_EQ(EscapeMarkup("\x7f"), gone);
  EXPECT_EQ(EscapeMarkup("\xC2\x80"), gone);  // U+0080, control
  EXPECT_EQ(EscapeMarkup("\xC2\x9F"), gone);
  EXPECT_EQ(EscapeMarkup("\xC2\xA0"), "\xC2\xA0");  // U+00A0 is a space
  EXPECT_EQ(EscapeMarkup("~"), "~");
  // Of the directions: U+202A to 202E and U+2066 to 2069, not their neighbours.
  EXPECT_EQ(EscapeMarkup("\u2029\u202a\u202e\u202f"), "\u2029" + gone + gone + "\u202f");
  EXPECT_EQ(EscapeMarkup("\u2065\u2066\u2069\u206a"), "\u2065" + gone + gone + "\u206a");
  // Characters that are none: U+FFFE, U+1FFFF, U+FDD0 to FDEF.
  EXPECT_EQ(EscapeMarkup("\uFFFE\U0001FFFF\uFDCF\uFDD0\uFDEF\uFDF0"),
            gone + gone + "\uFDCF" + gone + gone + "\uFDF0");
}

TEST(RepairUtf8, EachBrokenByteIsReplaced) {
  const std::string gone = "\xEF\xBF\xBD";
  EXPECT_EQ(RepairUtf8("abc é"), "abc é");
  EXPECT_EQ(RepairUtf8("a\xFF\xFE"
                       "b"),
            "a" + gone + gone + "b");
  EXPECT_EQ(RepairUtf8("x\xC3"), "x" + gone);                 // cut off
  EXPECT_EQ(RepairUtf8("\xE2\x82y"), gone + gone + "y");      // likewise, in three bytes
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), gone + gone + gone);  // a surrogate
  EXPECT_EQ(RepairUtf8(""), "");
}

}  // namespace
}  // namespace darkhorse
