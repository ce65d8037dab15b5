#include "task/spoken_text.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

// Everything printed while `text` grows by one byte at a time.
std::string Grown(const std::string& text, bool color) {
  SpokenText spoken(color);
  std::string out;
  for (size_t n = 1; n <= text.size(); ++n) out += spoken.Next(text.substr(0, n));
  return out + spoken.End(text);
}

TEST(SpokenText, WithoutColourIsTheText) {
  const std::string text = "<think>\na < b, 3×4=12 \xf0\x9f\x99\x82</think>\n<answer>1</answer>";
  EXPECT_EQ(Grown(text, false), text);
}

TEST(SpokenText, ThoughtsAreDimmedTagsIncluded) {
  EXPECT_EQ(Grown("a<think>b</think>c<thin", true), "a\x1b[2m<think>b</think>\x1b[0mc<thin");
  EXPECT_EQ(Grown("<think>never ends", true), "\x1b[2m<think>never ends\x1b[0m");
}

TEST(SpokenText, WaitsForWholeCharactersAndTags) {
  SpokenText spoken(true);
  EXPECT_EQ(spoken.Next("a\xc3"), "a");
  EXPECT_EQ(spoken.Next("a\xc3\x97"), "\xc3\x97");
  EXPECT_EQ(spoken.Next("a\xc3\x97<th"), "");
  EXPECT_EQ(spoken.Next("a\xc3\x97<thx"), "<thx");
}

}  // namespace
}  // namespace darkhorse
