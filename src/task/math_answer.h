// Answers of mathematics, as models write them in TeX and in plain text, for the comparison of
// their values: exactly, never by evaluating. docs/your-own-task.md says what is read and what is
// not; what could be understood in two ways is not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "task/number.h"

namespace darkhorse {

//   answer     = collection { "\cup" collection } | infinity | choices [ unit ]
//   collection = "\{" [ items ] "\}" | "{" items "}" | ( "(" | "[" ) items ( ")" | "]" )
//   items      = item { "," item };   item = collection | infinity | choices
//   choices    = sum, where one "\pm" may stand for "+" and makes two values of it
//   sum        = product { ("+" | "-") product }
//   product    = chain { ("*" | "/") chain }
//   chain      = signed { power }      not behind "/", and no power that begins with a digit
//   signed     = ("-" | "+") signed | power
//   power      = atom [ "²" | "³" | "^" ( signed | "{" sum "}" ) ]
//   atom       = decimal [ "%" ] | letter | "\pi" | "(" sum ")" | "\frac" argument argument
//              | "\sqrt" [ "[" sum "]" ] argument | "√" atom
// A decimal is ScanDecimal's (task/number.h).
struct MathAnswer {
  std::optional<Number> number;  // a rational number, as the numeric rule compares them
  std::string value;             // else: equal for equal values
  std::string unit;              // of a value, as a Number's
};

// Nothing where it cannot be read, or something on the way does not fit 64-bit terms. Bounded time.
std::optional<MathAnswer> ReadMathAnswer(std::string_view text);

// Of the same value, and of the same unit where both have one.
bool operator==(const MathAnswer& a, const MathAnswer& b);

}  // namespace darkhorse
