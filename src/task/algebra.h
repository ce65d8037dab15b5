// Exact algebra of sums of products of numbers, their roots, π and variables, and of quotients of
// such sums.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "task/rational.h"

namespace darkhorse {

// Symbols with their exponents, none of them 0. A symbol is a name ("x", "pi"), or the digits of a
// prime, whose exponent lies between 0 and 1: √12 is 2 · "3"^(1/2). Different such products of
// primes are linearly independent over the rational numbers, so that a sum has one spelling.
using Monomial = std::map<std::string, Rational>;

struct MonomialOrder {  // a total order, of no other meaning
  bool operator()(const Monomial& a, const Monomial& b) const;
};

using Polynomial = std::map<Monomial, Rational, MonomialOrder>;  // coefficients, none of them 0

struct Quotient {
  Polynomial above, below;
  bool operator==(const Quotient&) const = default;
};

// Thrown by Algebra's functions: terms that do not fit 64 bits, a division by zero, more work than
// an answer is worth, or what has no exact form here. No message: an answer is readable or is not.
struct Unreadable {};

// Calculates with one answer: its work is bounded.
class Algebra {
 public:
  static Quotient Number(Rational value);
  static Quotient Symbol(std::string_view name);

  // left op right for op in + - * /.
  Quotient Apply(const Quotient& left, char op, const Quotient& right);
  // A whole exponent; or any of one positive term. Even roots of even powers of a variable have
  // no form: √(x²) is |x|.
  Quotient Power(const Quotient& base, Rational exponent);
  // The real root; of a negative number if `degree` is odd.
  Quotient Root(const Quotient& base, int64_t degree);
  // The one form of all equal quotients: in lowest terms, with a rational denominator where it is
  // a number, and otherwise one whose leading coefficient is 1.
  Quotient Reduced(Quotient value);

 private:
  void Spend(size_t work);
  Polynomial Sum(const Polynomial& a, const Polynomial& b);
  Polynomial Product(const Polynomial& a, const Polynomial& b);
  Quotient Simplified(Quotient value);
  Polynomial Inverse(const Polynomial& number);
  Polynomial Divided(Polynomial a, const Polynomial& b);
  Polynomial Content(const Polynomial& a, const std::string& variable);
  Polynomial Primitive(const Polynomial& a, const std::string& variable);
  Polynomial Remainder(Polynomial a, const Polynomial& b, const std::string& variable);
  Polynomial CommonDivisor(const Polynomial& a, const Polynomial& b);

  int work_left_ = 10000;  // products and sums of two terms: some milliseconds
};

// The value of what is a rational number.
std::optional<Rational> RationalOf(const Quotient& value);

// "3*2^(1/2)*x + -1/2": equal for equal values that are reduced.
std::string ToString(const Quotient& value);

}  // namespace darkhorse
