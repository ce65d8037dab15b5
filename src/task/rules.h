// Built-in rules that score an answer against a reference, for problems that come from a file.
#pragma once

#include <string>
#include <string_view>

#include "task/task.h"

namespace darkhorse {

struct Extracted;  // task/markup.h

enum class Rule {
  kExact,    // the same text; white space at the ends is ignored, inside its length is
  kNumeric,  // the same number, as people and models write it (task/number.h)
  kChoice,   // the same letter A to Z, alone or as "(B)", "B." or "B) text"
  kRegex,    // the reference is a PCRE2 pattern that matches the whole answer, case-sensitive
  kMath,     // expressions, sets, tuples, intervals of equal value, exactly (task/math_answer.h)
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

// The one spelling of all answers that are the same under the rule: "5" of 5, 5.0 and 10/2. ""
// where the rule cannot read it. Unlike in Compare, 5 km and 5 are two answers: what is the same as
// one of them need not be the same as the other.
std::string CanonicalAnswer(Rule rule, std::string_view answer);

// Why answers cannot be compared with `reference`; "" if they can.
std::string ReferenceFault(Rule rule, std::string_view reference);

// How answers are judged by the rule. The reference must outlive it.
AnswerJudge JudgeOf(Rule rule, std::string_view reference);

// What an answer is worth that was found in a completion, or was not: 1 if it is right,
// kFormatCredit if it is legal and the completion well-formed.
Score ScoreExtracted(const AnswerJudge& judge, const Extracted& extracted);

// The reward of a completion, as for the built-in tasks: the last answer after the closed thoughts.
Score ScoreByRule(Rule rule, std::string_view completion, std::string_view reference);

}  // namespace darkhorse
