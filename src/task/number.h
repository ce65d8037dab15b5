// Numbers as people and models write them: 1,234 and $-5, 50 %, 1e-5, \frac{1}{2}, 12 apples.
// docs/your-own-task.md says what is read and what is not; where two readings are possible, or more
// than one number stands there, it is no number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "task/rational.h"

namespace darkhorse {

// Mathematics without its dress: what \boxed{}, $…$ or "x =" holds; one name for each sign, as −
// and \times; white space and text of TeX's as spaces and words; no sentence's stop.
// `without_variable`: "x = " counts as dress.
std::string PlainMath(std::string_view text, bool without_variable = true);

// Its two halves: the text within \boxed{}, $…$ and the like, and one name for each sign.
std::string_view Undressed(std::string_view text, bool without_variable);
std::string PlainSigns(std::string text);

// digits * 10^exponent. Every number has one spelling: no zeros at either end of the digits.
struct Decimal {
  std::string digits;  // "": zero
  int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};

// The unsigned decimal that begins at *at, and *at moved behind it: digits, with commas between
// groups of three; a point, perhaps first or last; an exponent. Nothing if none begins there.
std::optional<Decimal> ScanDecimal(std::string_view text, size_t* at);

// The same value, where its terms fit 64 bits.
std::optional<Rational> Exact(const Decimal& decimal);

struct Number {
  bool negative = false;  // not of a zero
  // The size; without terms that fit, a decimal of any length.
  std::optional<Rational> exact;
  Decimal decimal;
  std::string currency;  // its sign, also where a word names it; "" where none is written
  std::string unit;      // lower case, singular, with a slash in front of "5/hour"'s; or ""
};

// All of `text`, which PlainMath has made, as one number. A percent sign or word divides by 100.
std::optional<Number> ReadNumber(std::string_view text);

// Of the same value, and of the same currency and unit where both are written. A currency alone
// differs from a unit alone.
bool operator==(const Number& a, const Number& b);

}  // namespace darkhorse
