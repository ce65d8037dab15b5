#include "task/rational.h"

#include <limits>

namespace darkhorse {
namespace {

__extension__ using Wide = __int128;

// Products of two 64-bit terms fit 127 bits and a sum of two such products 128, so nothing
// overflows before this.
std::optional<Rational> Reduced(Wide numerator, Wide denominator) {
  if (denominator == 0) return std::nullopt;
  if (denominator < 0) {
    numerator = -numerator;
    denominator = -denominator;
  }
  Wide a = numerator < 0 ? -numerator : numerator;
  Wide b = denominator;
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  numerator /= a;
  denominator /= a;
  // The smallest int64 is left out, so that negation never overflows either.
  constexpr Wide kMax = std::numeric_limits<int64_t>::max();
  if (numerator > kMax || numerator < -kMax || denominator > kMax) return std::nullopt;
  return Rational{static_cast<int64_t>(numerator), static_cast<int64_t>(denominator)};
}

}  // namespace

std::optional<Rational> Apply(Rational left, char op, Rational right) {
  const Wide ln = left.numerator, ld = left.denominator;
  const Wide rn = right.numerator, rd = right.denominator;
  switch (op) {
    case '+':
      return Reduced(ln * rd + rn * ld, ld * rd);
    case '-':
      return Reduced(ln * rd - rn * ld, ld * rd);
    case '*':
      return Reduced(ln * rn, ld * rd);
    case '/':
      return Reduced(ln * rd, ld * rn);
    default:
      return std::nullopt;
  }
}

std::string ToString(Rational value) {
  std::string text = std::to_string(value.numerator);
  if (value.denominator != 1) text += "/" + std::to_string(value.denominator);
  return text;
}

}  // namespace darkhorse
