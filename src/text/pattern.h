// Regular expressions as JSON Schema's `pattern` has them (ECMA-262, code points as characters):
// read into a tree. What no finite automaton can tell, such as a back reference, is refused.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace darkhorse {

// Code points, as ranges in order that neither overlap nor touch.
using CharacterSet = std::vector<std::pair<char32_t, char32_t>>;

struct Pattern {
  enum class Kind { kSet, kSequence, kChoice, kRepeat };
  static constexpr int32_t kUnbounded = -1;

  Kind kind = Kind::kSequence;
  CharacterSet set;             // kSet: any one of these
  std::vector<Pattern> parts;   // kSequence, kChoice: all, one of them; kRepeat: of one
  int32_t least = 0, most = 0;  // kRepeat
};

// One way in which a text may match: at any place in it, unless anchored.
struct PatternWay {
  bool from_start = false, to_end = false;
  Pattern what;
};

// The ways of a pattern: its alternatives. Error: what is wrong or not supported, and at which
// character: "has a back reference at character 5, which is not supported".
std::vector<PatternWay> ParsePattern(std::string_view pattern);

}  // namespace darkhorse
