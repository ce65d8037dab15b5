// Built-in rules that score an answer against a reference, for problems that come from a file.
#pragma once

#include <string>
#include <string_view>

#include "task/task.h"

namespace darkhorse {

enum class Rule {
  kExact,    // the same text but for white space at the ends and runs of it inside
  kNumeric,  // the same number: "1,234", "$5", "5.0", "1/2", "50%" are read
  kChoice,   // the same letter A to Z, alone or as "(B)", "B." or "B) text"
  kRegex,    // all of it matches the reference, a pattern of PCRE2's, case and all
  kMath,     // expressions of equal value: integers, decimals, + - * / ^ ( ), unary minus, exact
};

// "exact", "numeric", "choice", "regex", "math". Throws UsageError that names the nearest.
Rule ParseRule(std::string_view name);
std::string_view RuleName(Rule rule);

struct RuleVerdict {
  bool legal = false;    // the answer has the form the rule asks for
  bool correct = false;  // and equals the reference
};

// Compares two texts. Pure, bounded time, never throws; an answer longer than kMaxAnswerLength is
// illegal.
RuleVerdict Compare(Rule rule, std::string_view answer, std::string_view reference);

// What keeps `reference` from being one that answers can be compared with; "" if nothing.
std::string ReferenceFault(Rule rule, std::string_view reference);

// The reward of a completion, as for the built-in tasks: the last answer after the closed thoughts.
Score ScoreByRule(Rule rule, std::string_view completion, std::string_view reference);

}  // namespace darkhorse
