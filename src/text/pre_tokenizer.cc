#include "text/pre_tokenizer.h"

#include <algorithm>

namespace darkhorse {

const char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

struct Piece {
  TextRange range;
  bool match;
};

// Matches and the text between them; together all of the text.
std::vector<Piece> MatchesAndGaps(std::string_view text, const Regex& regex, bool invert) {
  std::vector<Piece> pieces;
  size_t done = 0;
  TextRange match;
  for (RegexMatches matches(regex, text); matches.Next(&match); done = match.end) {
    if (done != match.begin) pieces.push_back({{done, match.begin}, invert});
    pieces.push_back({match, !invert});
  }
  if (done != text.size()) pieces.push_back({{done, text.size()}, invert});
  return pieces;
}

}  // namespace

std::vector<TextRange> SplitText(std::string_view text, const Regex& regex, SplitBehavior behavior,
                                 bool invert) {
  std::vector<Piece> pieces = MatchesAndGaps(text, regex, invert);
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(pieces.begin(), pieces.end());
  std::vector<TextRange> out;
  bool previous_match = false;
  for (const Piece& piece : pieces) {
    bool joins = false;
    switch (behavior) {
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kRemoved:
        if (piece.match) continue;
        break;
      case SplitBehavior::kMergedWithPrevious:
      case SplitBehavior::kMergedWithNext:
        joins = piece.match && !previous_match;
        break;
      case SplitBehavior::kContiguous:
        joins = piece.match == previous_match;
        break;
    }
    previous_match = piece.match;
    if (!joins || out.empty()) {
      out.push_back(piece.range);
    } else if (backwards) {
      out.back().begin = piece.range.begin;
    } else {
      out.back().end = piece.range.end;
    }
  }
  if (backwards) std::reverse(out.begin(), out.end());
  std::erase_if(out, [](const TextRange& range) { return range.begin == range.end; });
  return out;
}

}  // namespace darkhorse
