// Patterns as rules of a grammar: the JSON strings that match.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/byte_grammar.h"

namespace darkhorse {

// A rule that reads a JSON string, quotes and all, of so many characters, in which the pattern
// (text/pattern.h) finds a match. Characters are spelt in the one way that printers have: escaped
// only where they must be, and controls without an escape of one letter not at all. Error: as
// ParsePattern's; the grammar would have more than `most_nodes`.
ByteGrammar::Rule AddPatternString(ByteGrammar* grammar, std::string_view pattern, int32_t least,
                                   int32_t most, size_t most_nodes);

}  // namespace darkhorse
