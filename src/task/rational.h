// Exact rational arithmetic that refuses to overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace darkhorse {

// numerator / denominator in lowest terms, denominator > 0, both within 64 bits.
struct Rational {
  int64_t numerator = 0;
  int64_t denominator = 1;
  bool operator==(const Rational&) const = default;
};

// left op right for op in + - * /. Empty on division by zero or if the result does not fit 64-bit
// terms.
std::optional<Rational> Apply(Rational left, char op, Rational right);

std::string ToString(Rational value);  // "3", "-7/2"

}  // namespace darkhorse
