// Pre-tokenizer: cuts text into the words that byte-pair encoding never crosses.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/regex.h"

namespace darkhorse {

// What becomes of the matches of a split pattern.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// GPT-2's pattern, which ByteLevel with use_regex splits by.
extern const char kGpt2Pattern[];

// The pieces of `text` that one split makes, in order, without empty ones. With `invert` the text
// between matches takes the role of the matches. This is the definition; PreTokenizer's fast path
// must give the same pieces.
std::vector<TextRange> SplitText(std::string_view text, const Regex& regex, SplitBehavior behavior,
                                 bool invert);

class PreTokenizer {
 public:
  void AddSplit(Regex regex, SplitBehavior behavior, bool invert) {
    steps_.push_back({std::vector<Regex>{std::move(regex)}, behavior, invert});
  }
  // Puts a space before each piece that does not start with one.
  void AddPrefixSpace() { steps_.emplace_back(); }

  // How many splits and prefix spaces were added. Split() recurses once per step.
  size_t steps() const { return steps_.size(); }

  // Calls on_word(word) for each word of valid UTF-8 text, in order. The word lives during the call
  // only.
  template <typename OnWord>
  void Split(std::string_view text, const OnWord& on_word) const {
    Apply(0, text, on_word);
  }

 private:
  struct Step {
    std::vector<Regex> regex;  // one, or none for the prefix space
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;
  };

  template <typename OnWord>
  void Apply(size_t index, std::string_view text, const OnWord& on_word) const {
    if (text.empty()) return;
    if (index == steps_.size()) {
      on_word(text);
      return;
    }
    const Step& step = steps_[index];
    if (step.regex.empty()) {
      if (text[0] == ' ') return Apply(index + 1, text, on_word);
      return Apply(index + 1, std::string(" ").append(text), on_word);
    }
    if (step.behavior != SplitBehavior::kIsolated) {
      for (const TextRange& piece : SplitText(text, step.regex[0], step.behavior, step.invert)) {
        Apply(index + 1, text.substr(piece.begin, piece.end - piece.begin), on_word);
      }
      return;
    }
    // Isolated, the usual case, needs no list: matches and the text between them are all pieces,
    // inverted or not.
    size_t done = 0;
    TextRange match;
    for (RegexMatches matches(step.regex[0], text); matches.Next(&match); done = match.end) {
      Apply(index + 1, text.substr(done, match.begin - done), on_word);
      Apply(index + 1, text.substr(match.begin, match.end - match.begin), on_word);
    }
    Apply(index + 1, text.substr(done), on_word);
  }

  std::vector<Step> steps_;
};

}  // namespace darkhorse
