// The exact value of an expression, for answers that need not be worked out.
#pragma once

#include <optional>
#include <string_view>

#include "task/rational.h"

namespace darkhorse {

//   sum     = product { ("+" | "-") product }
//   product = signed { ("*" | "/") signed }
//   signed  = ("-" | "+") signed | power
//   power   = atom [ "^" ( signed | "{" sum "}" ) ]
//   atom    = decimal [ "%" ] | "(" sum ")" | "\frac" "{" sum "}" "{" sum "}"
// A decimal is ScanDecimal's (task/number.h). `text` is what PlainMath has made. Nothing where it
// is no expression, or a value on the way does not fit 64-bit terms. Bounded time.
std::optional<Rational> MathValue(std::string_view text);

}  // namespace darkhorse
