// A whole answer as a rule of a grammar: the thought it may begin with, which is free, and what it
// says then, which is not.
#pragma once

#include "base/byte_grammar.h"

namespace darkhorse {

enum class AnswerThought {
  kNone,     // all is said
  kOpen,     // the answer begins within a thought (EndsInThought)
  kAllowed,  // it may open one first
};

// A rule that reads a thought, its closing tag (text/tags.h), white space such as stands behind it,
// and then what `said` reads.
ByteGrammar::Rule AddAnswer(ByteGrammar* grammar, AnswerThought thought, ByteGrammar::Rule said);

}  // namespace darkhorse
