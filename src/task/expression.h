// Arithmetic expressions as a reader may write them in an answer: integers, + - * /, parentheses. A
// parser, never an eval.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "task/rational.h"

namespace darkhorse {

//   expression = term   { ("+" | "-") term }
//   term       = factor { ("*" | "/") factor }
//   factor     = number | "(" expression ")"
//   number     = "0" | [1-9][0-9]*, at most kMaxNumberDigits digits
// Spaces may stand between these. There is no unary sign, no power, no other character.
inline constexpr size_t kMaxExpressionLength = 256;
inline constexpr int kMaxExpressionDepth = 32;
inline constexpr int kMaxNumberDigits = 9;

struct ParsedExpression {
  bool legal = false;    // the text follows the grammar and the limits
  bool defined = false;  // and its value exists: no division by zero, no overflow of 64-bit terms
  Rational value;        // if defined
  std::vector<int64_t> numbers;  // every number written, from left to right
  std::string why;               // if not legal or not defined, the reason
};

// Never throws; time linear in min(length, kMaxExpressionLength).
ParsedExpression ParseExpression(std::string_view text);

}  // namespace darkhorse
