#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

std::vector<std::string> Matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  std::vector<std::string> found;
  TextRange match;
  for (RegexMatches matches(regex, text); matches.Next(&match);) {
    found.push_back(text.substr(match.begin, match.end - match.begin));
  }
  return found;
}

using Strings = std::vector<std::string>;

TEST(Regex, WhiteSpaceIsOniguruma) {
  const std::string text =
      "a\xE1\xA0\x8E\xE3\x80\x80\xC2\x85 b";  // U+180E is no white space, U+3000 and U+0085 are
  EXPECT_EQ(Matches("\\s+", text), Strings{"\xE3\x80\x80\xC2\x85 "});
  EXPECT_EQ(Matches("\\S+", text), (Strings{"a\xE1\xA0\x8E", "b"}));
  EXPECT_EQ(Matches("[^\\s]+", text), (Strings{"a\xE1\xA0\x8E", "b"}));
  EXPECT_EQ(Matches("[]\\s]+", "a] b"), Strings{"] "});
  EXPECT_EQ(Matches("[^]\\s]+", "a] b"), (Strings{"a", "b"}));
  EXPECT_EQ(Matches("[[:digit:]\\s]+\\S", "a 1 2b"), Strings{" 1 2b"});
  EXPECT_EQ(Matches("\\\\s", "\\s s"), Strings{"\\s"});
}

// U+31350, a Chinese character of Unicode 15, and U+1E4D0, a letter of the same year.
TEST(Regex, LettersOfUnicode15) {
  const std::string text = " \xF0\xB1\x8D\x90\xF0\x9E\x93\x90!";
  const std::string letters = text.substr(1, 8);
  EXPECT_EQ(Matches("\\p{L}+", text), Strings{letters});
  EXPECT_EQ(Matches("[\\p{Lo}\\p{Lm}]+", text), Strings{letters});
  EXPECT_EQ(Matches("\\P{L}+", text), (Strings{" ", "!"}));
  EXPECT_EQ(Matches("[^\\p{L}]+", text), (Strings{" ", "!"}));
  // \\P inside a class is left to PCRE2, which does not know them: they are no letters to it.
  EXPECT_EQ(Matches("[\\P{L}]+", text), Strings{text});
  EXPECT_EQ(Matches("\\p{Lu}", text), Strings{});
  EXPECT_EQ(Matches("\\p{Zs}", text), Strings{" "});
}

TEST(Regex, EmptyMatches) {
  EXPECT_EQ(Matches("1*", "a11b\xC3\xA9"), (Strings{"", "11", "", ""}));
  EXPECT_EQ(Matches("", ""), Strings{""});
}

TEST(Regex, LinesAreAnchors) {
  EXPECT_EQ(Matches("^a|a$", "aba\nab a"), (Strings{"a", "a", "a", "a"}));
}

TEST(Regex, HostilePatternIsStopped) {
  const std::string text = std::string(40, 'a') + "cb";
  EXPECT_THROW(Matches("(a+|aa)+b", text), Error);
  EXPECT_THROW(Regex("\\C", "test"), Error);
}

TEST(Regex, PatternsAreOfAtMost64KiB) {
  const auto of_size = [](size_t bytes) { return "[" + std::string(bytes - 2, 'a') + "]"; };
  EXPECT_EQ(Matches(of_size(1 << 16), "ba"), Strings{"a"});
  EXPECT_EQ(MessageOf([&] { Regex(of_size((1 << 16) + 1), "test"); }),
            "test: the pattern is 65537 bytes long, more than 65536: shorten it");
}

// A long text is no hostile pattern: the limit grows with it.
TEST(Regex, WorkMayGrowWithTheText) {
  const std::string text = std::string(100'000, ' ') + "a";
  const Regex regex("\\s*[\\r\\n]+|\\s+(?!\\S)", "test", /*match_limit=*/1000);
  TextRange match;
  ASSERT_TRUE(regex.Search(text, 0, /*newer=*/false, &match));
  EXPECT_EQ(match.end, text.size() - 2);
}

// A megabyte of anything one pattern swallows at once must neither overflow the JIT's stack nor
// meet the work limit.
TEST(Regex, LongRunsAreOneWord) {
  for (const char* pattern : {kDefaultSplitPattern, kGpt2Pattern}) {
    for (const char* unit : {" ", "\n", "a", "-", "\xE4\xBD\xA0", "\xE3\x80\x80"}) {
      std::string text;
      while (text.size() < 1 << 20) text += unit;
      PreTokenizer splitter;
      splitter.AddSplit(Regex(pattern, "test"), SplitBehavior::kIsolated, false);
      size_t words = 0;
      size_t bytes = 0;
      splitter.Split(text, [&](std::string_view word) {
        ++words;
        bytes += word.size();
      });
      EXPECT_EQ(words, 1u) << pattern << unit;
      EXPECT_EQ(bytes, text.size());
    }
  }
}

}  // namespace
}  // namespace darkhorse
