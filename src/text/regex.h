// Regular expressions over valid UTF-8, for patterns written for Oniguruma (what Hugging Face's
// `tokenizers` uses), run by PCRE2's JIT under work limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace darkhorse {

// The pattern in PCRE2's syntax, where two things differ: Oniguruma's \s is the property
// White_Space, PCRE2's has U+180E besides; and Oniguruma's \p{L} and the like know newer characters
// than Debian 12's PCRE2 does. These are written out if `newer`.
std::string TranslatePattern(const std::string& pattern, bool newer);

// Whether valid text holds one of those newer characters.
bool HasNewerCharacters(std::string_view text);

struct TextRange {
  size_t begin;
  size_t end;
};

// Immutable; may be used from many threads at once.
class Regex {
 public:
  // Backtracking steps of one match, besides some for each byte of the text: some seconds.
  static constexpr uint32_t kDefaultMatchLimit = 50'000'000;
  // Error: the pattern does not compile; names `where`.
  Regex(const std::string& pattern, const std::string& where,
        uint32_t match_limit = kDefaultMatchLimit);

  // The first match that starts at or after `start`; false if there is none. text must be valid
  // UTF-8, start on a character. Error: the match needs more work than the limit allows (a hostile
  // pattern).
  // newer: the text may hold characters that came after PCRE2's Unicode; a slower form of the
  // pattern, which knows them, is used.
  bool Search(std::string_view text, size_t start, bool newer, TextRange* match) const;

 private:
  std::shared_ptr<const void> code_;   // pcre2_code
  std::shared_ptr<const void> newer_;  // the same for text with newer characters
  std::string where_;
  uint32_t match_limit_;
};

// All matches from left to right. An empty match right behind the previous match is skipped, as
// Oniguruma's iterator does.
class RegexMatches {
 public:
  RegexMatches(const Regex& regex, std::string_view text)
      : regex_(regex), text_(text), newer_(HasNewerCharacters(text)) {}
  bool Next(TextRange* match);

 private:
  const Regex& regex_;
  std::string_view text_;
  bool newer_;
  size_t start_ = 0;
  size_t last_end_ = std::string_view::npos;
};

}  // namespace darkhorse
