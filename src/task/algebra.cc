#include "task/algebra.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace darkhorse {
namespace {

Rational Must(std::optional<Rational> value) {
  if (!value) throw Unreadable();
  return *value;
}

bool IsWhole(Rational value) { return value.denominator == 1; }

bool IsPrime(const std::string& symbol) { return symbol[0] >= '0' && symbol[0] <= '9'; }

struct Term {
  Monomial monomial;
  Rational coefficient = {1, 1};
};

// term *= symbol^exponent. What a prime's exponent has beyond 0 to 1 goes into the coefficient,
// which runs out of bits before that takes long.
void Raise(Term& term, const std::string& symbol, Rational exponent) {
  const auto old = term.monomial.find(symbol);
  if (old != term.monomial.end()) exponent = Must(Apply(exponent, '+', old->second));
  if (IsPrime(symbol)) {
    const Rational prime = {std::stoll(symbol), 1};
    for (; exponent.numerator < 0; exponent = Must(Apply(exponent, '+', {1, 1})))
      term.coefficient = Must(Apply(term.coefficient, '/', prime));
    for (; exponent.numerator >= exponent.denominator;
         exponent = Must(Apply(exponent, '-', {1, 1})))
      term.coefficient = Must(Apply(term.coefficient, '*', prime));
  }
  if (exponent.numerator == 0) {
    term.monomial.erase(symbol);
  } else {
    term.monomial[symbol] = exponent;
  }
}

void AddTerm(Polynomial& sum, const Term& term) {
  const auto [at, added] = sum.try_emplace(term.monomial, term.coefficient);
  if (!added) at->second = Must(Apply(at->second, '+', term.coefficient));
  if (at->second.numerator == 0) sum.erase(at);
}

// The only term, raised.
Term Raised(const Polynomial& one, Rational exponent, Rational coefficient) {
  Term term{{}, coefficient};
  for (const auto& [symbol, old] : one.begin()->first)
    Raise(term, symbol, Must(Apply(old, '*', exponent)));
  return term;
}

Polynomial One() { return {{{}, {1, 1}}}; }

// The names in it; primes are none.
std::set<std::string> Variables(const Polynomial& a) {
  std::set<std::string> names;
  for (const auto& [monomial, coefficient] : a) {
    for (const auto& [symbol, exponent] : monomial) {
      if (!IsPrime(symbol)) names.insert(symbol);
    }
  }
  return names;
}

bool IsNumber(const Polynomial& a) { return Variables(a).empty(); }

Rational ExponentOf(const Monomial& monomial, const std::string& symbol) {
  const auto at = monomial.find(symbol);
  return at == monomial.end() ? Rational{} : at->second;
}

// Exponents are whole and not negative from here on.
int64_t Degree(const Polynomial& a, const std::string& variable) {
  int64_t degree = 0;
  for (const auto& [monomial, coefficient] : a)
    degree = std::max(degree, ExponentOf(monomial, variable).numerator);
  return degree;
}

// The coefficient of variable^degree.
Polynomial CoefficientOf(const Polynomial& a, const std::string& variable, int64_t degree) {
  Polynomial result;
  for (const auto& [monomial, coefficient] : a) {
    if (ExponentOf(monomial, variable).numerator != degree) continue;
    Monomial rest = monomial;
    rest.erase(variable);
    result[rest] = coefficient;
  }
  return result;
}

Polynomial Leading(const Polynomial& a, const std::string& variable) {
  return CoefficientOf(a, variable, Degree(a, variable));
}

Polynomial PowerOfVariable(const std::string& variable, int64_t exponent) {
  if (exponent == 0) return One();
  return {{{{variable, {exponent, 1}}}, {1, 1}}};
}

Polynomial Negated(Polynomial a) {
  for (auto& [monomial, coefficient] : a) coefficient.numerator = -coefficient.numerator;
  return a;
}

// The term times number^exponent for a positive whole number. Factors are looked for up to a limit,
// so that the time is bounded: a number with two greater ones has no form.
void RaiseNumber(Term& term, int64_t number, Rational exponent) {
  constexpr int64_t kMaxFactor = 1 << 15;
  const auto factor = [&](int64_t prime, int64_t times) {
    Raise(term, std::to_string(prime), Must(Apply(exponent, '*', {times, 1})));
  };
  for (int64_t prime = 2; prime <= kMaxFactor && prime * prime <= number; ++prime) {
    int64_t times = 0;
    for (; number % prime == 0; number /= prime) ++times;
    if (times > 0) factor(prime, times);
  }
  if (number > kMaxFactor * kMaxFactor) throw Unreadable();
  if (number > 1) factor(number, 1);
}

std::string InBrackets(const Rational& exponent) {
  const std::string text = ToString(exponent);
  return IsWhole(exponent) && exponent.numerator > 0 ? text : "(" + text + ")";
}

std::string ToString(const Polynomial& a) {
  std::string text;
  for (const auto& [monomial, coefficient] : a) {
    if (!text.empty()) text += " + ";
    const bool one = coefficient == Rational{1, 1} && !monomial.empty();
    if (!one) text += ToString(coefficient);
    bool first = one;
    for (const auto& [symbol, exponent] : monomial) {
      if (!first) text += "*";
      first = false;
      text += symbol;
      if (exponent != Rational{1, 1}) text += "^" + InBrackets(exponent);
    }
  }
  return text.empty() ? "0" : text;
}

}  // namespace

bool MonomialOrder::operator()(const Monomial& a, const Monomial& b) const {
  return std::ranges::lexicographical_compare(a, b, [](const auto& x, const auto& y) {
    return std::tie(x.first, x.second.numerator, x.second.denominator) <
           std::tie(y.first, y.second.numerator, y.second.denominator);
  });
}

Quotient Algebra::Number(Rational value) {
  Quotient number{{}, One()};
  if (value.numerator != 0) number.above[{}] = value;
  return number;
}

Quotient Algebra::Symbol(std::string_view name) {
  return {PowerOfVariable(std::string(name), 1), One()};
}

void Algebra::Spend(size_t work) {
  if (work > static_cast<size_t>(work_left_)) throw Unreadable();
  work_left_ -= static_cast<int>(work);
}

Polynomial Algebra::Sum(const Polynomial& a, const Polynomial& b) {
  Spend(a.size() + b.size());
  Polynomial sum = a;
  for (const auto& [monomial, coefficient] : b) AddTerm(sum, {monomial, coefficient});
  return sum;
}

Polynomial Algebra::Product(const Polynomial& a, const Polynomial& b) {
  Spend(a.size() * b.size());
  Polynomial sum;
  for (const auto& [left, left_coefficient] : a) {
    for (const auto& [right, right_coefficient] : b) {
      Term term{left, Must(darkhorse::Apply(left_coefficient, '*', right_coefficient))};
      for (const auto& [symbol, exponent] : right) Raise(term, symbol, exponent);
      AddTerm(sum, term);
    }
  }
  return sum;
}

// With a denominator of 1, where it is one term or a number.
Quotient Algebra::Simplified(Quotient value) {
  Polynomial& below = value.below;
  if (below.empty()) throw Unreadable();
  if (value.above.empty()) return Number({});
  if (below.size() > 1 && !IsNumber(below)) return value;
  // (A + B√p)(A − B√p) is free of √p. Of cube roots it never ends, until terms do not fit.
  while (below.size() > 1) {
    const std::string prime = std::prev(below.end())->first.begin()->first;
    Polynomial conjugate = below;
    for (auto& [monomial, coefficient] : conjugate) {
      if (monomial.contains(prime)) coefficient.numerator = -coefficient.numerator;
    }
    value.above = Product(value.above, conjugate);
    below = Product(below, conjugate);
  }
  const Term inverse =
      Raised(below, {-1, 1}, Must(darkhorse::Apply({1, 1}, '/', below.begin()->second)));
  return {Product(value.above, {{inverse.monomial, inverse.coefficient}}), One()};
}

Quotient Algebra::Apply(const Quotient& left, char op, const Quotient& right) {
  switch (op) {
    case '+':
      if (left.below == right.below) return Simplified({Sum(left.above, right.above), left.below});
      return Simplified({Sum(Product(left.above, right.below), Product(right.above, left.below)),
                         Product(left.below, right.below)});
    case '-':
      return Apply(left, '+', {Negated(right.above), right.below});
    case '*':
      return Simplified({Product(left.above, right.above), Product(left.below, right.below)});
    case '/':
      return Simplified({Product(left.above, right.below), Product(left.below, right.above)});
    default:
      throw Unreadable();
  }
}

Quotient Algebra::Power(const Quotient& base, Rational exponent) {
  constexpr int64_t kMaxExponent = 64;  // 2^63 no longer fits; ±1 and 0 need no more either
  constexpr int64_t kMaxOfVariable = 1'000'000;
  const bool one_term = base.above.size() == 1 && base.below == One();
  const int64_t whole = exponent.numerator, size = whole < 0 ? -whole : whole;
  if (!IsWhole(exponent)) {
    if (!one_term || exponent.denominator > kMaxExponent || size > kMaxExponent) throw Unreadable();
    const auto& [monomial, coefficient] = *base.above.begin();
    if (coefficient.numerator <= 0) throw Unreadable();
    for (const auto& [symbol, old] : monomial) {
      if (symbol != "pi" && !IsPrime(symbol) && exponent.denominator % 2 == 0 &&
          old.numerator % 2 == 0)
        throw Unreadable();
    }
    Term term = Raised(base.above, exponent, {1, 1});
    RaiseNumber(term, coefficient.numerator, exponent);
    RaiseNumber(term, coefficient.denominator, {-exponent.numerator, exponent.denominator});
    return {{{term.monomial, term.coefficient}}, One()};
  }
  if (size > kMaxExponent) {
    if (!one_term || size > kMaxOfVariable || base.above.begin()->second != Rational{1, 1} ||
        base.above.begin()->first.empty())
      throw Unreadable();
    const Term term = Raised(base.above, exponent, {1, 1});
    return {{{term.monomial, term.coefficient}}, One()};
  }
  Quotient power = Number({1, 1});
  for (int64_t i = 0; i < size; ++i) power = Apply(power, '*', base);
  return whole < 0 ? Apply(Number({1, 1}), '/', power) : power;
}

Quotient Algebra::Root(const Quotient& base, int64_t degree) {
  if (degree < 2) throw Unreadable();
  if (base.above.empty()) return base;
  const bool minus = base.above.size() == 1 && base.above.begin()->second.numerator < 0;
  if (!minus) return Power(base, {1, degree});
  if (degree % 2 == 0) throw Unreadable();
  Quotient root = Power({Negated(base.above), base.below}, {1, degree});
  root.above = Negated(root.above);
  return root;
}

Polynomial Algebra::Inverse(const Polynomial& number) { return Simplified({One(), number}).above; }

// a / b, which leaves no remainder.
Polynomial Algebra::Divided(Polynomial a, const Polynomial& b) {
  const std::set<std::string> variables = Variables(b);
  if (variables.empty()) return Product(a, Inverse(b));
  const std::string& variable = *variables.begin();
  const Polynomial leading = Leading(b, variable);
  const int64_t degree = Degree(b, variable);
  Polynomial quotient;
  while (!a.empty()) {
    const int64_t more = Degree(a, variable) - degree;
    if (more < 0) throw Unreadable();
    const Polynomial next =
        Product(Divided(Leading(a, variable), leading), PowerOfVariable(variable, more));
    quotient = Sum(quotient, next);
    a = Sum(a, Negated(Product(next, b)));
  }
  return quotient;
}

// What divides the coefficients of all powers of the variable.
Polynomial Algebra::Content(const Polynomial& a, const std::string& variable) {
  Spend(a.size());
  std::map<int64_t, Polynomial> coefficients;  // by the variable's exponent
  for (const auto& [monomial, coefficient] : a) {
    Monomial rest = monomial;
    rest.erase(variable);
    coefficients[ExponentOf(monomial, variable).numerator][rest] = coefficient;
  }
  Polynomial content;
  for (const auto& [degree, coefficient] : coefficients)
    content = CommonDivisor(content, coefficient);
  return IsNumber(content) ? One() : content;
}

Polynomial Algebra::Primitive(const Polynomial& a, const std::string& variable) {
  return Divided(a, Content(a, variable));
}

// The remainder of a times something that the variable is not in.
Polynomial Algebra::Remainder(Polynomial a, const Polynomial& b, const std::string& variable) {
  const Polynomial leading = Leading(b, variable);
  const int64_t degree = Degree(b, variable);
  while (!a.empty() && Degree(a, variable) >= degree) {
    const Polynomial shift =
        Product(Leading(a, variable), PowerOfVariable(variable, Degree(a, variable) - degree));
    a = Sum(Product(a, leading), Negated(Product(shift, b)));
  }
  return a;
}

// Euclid's algorithm by one variable, with coefficients in the others. Numbers divide everything.
Polynomial Algebra::CommonDivisor(const Polynomial& a, const Polynomial& b) {
  Spend(a.size() + b.size());
  if (a.empty()) return b;
  if (b.empty()) return a;
  const std::set<std::string> of_a = Variables(a), of_b = Variables(b);
  if (of_a.empty() || of_b.empty()) return One();
  for (const std::string& variable : of_a) {
    if (!of_b.contains(variable)) return CommonDivisor(Content(a, variable), b);
  }
  for (const std::string& variable : of_b) {
    if (!of_a.contains(variable)) return CommonDivisor(a, Content(b, variable));
  }
  const std::string& variable = *of_a.begin();
  Polynomial greater = Primitive(a, variable), less = Primitive(b, variable);
  while (!less.empty()) {
    if (Degree(less, variable) == 0) {
      greater = One();
      break;
    }
    Polynomial rest = Remainder(greater, less, variable);
    greater = std::move(less);
    less = rest.empty() ? rest : Primitive(rest, variable);
    // A factor of the leading term is taken out, that numbers stay small.
    if (!less.empty()) {
      const Rational first = std::prev(less.end())->second;
      less = Product(less, {{{}, Must(darkhorse::Apply({1, 1}, '/', first))}});
    }
  }
  return Product(greater, CommonDivisor(Content(a, variable), Content(b, variable)));
}

Quotient Algebra::Reduced(Quotient value) {
  value = Simplified(std::move(value));
  if (value.below == One()) return value;
  std::map<std::string, Rational> shift;  // that makes all exponents of variables positive
  for (const Polynomial* side : {&value.above, &value.below}) {
    for (const auto& [monomial, coefficient] : *side) {
      for (const auto& [symbol, exponent] : monomial) {
        if (IsPrime(symbol)) continue;
        if (!IsWhole(exponent)) throw Unreadable();
        if (-exponent.numerator > shift[symbol].numerator) shift[symbol] = {-exponent.numerator, 1};
      }
    }
  }
  std::erase_if(shift, [](const auto& entry) { return entry.second.numerator == 0; });
  const Polynomial factor = {{shift, {1, 1}}};
  const Polynomial above = Product(value.above, factor), below = Product(value.below, factor);
  const Polynomial common = CommonDivisor(above, below);
  value = {Divided(above, common), Divided(below, common)};
  Polynomial leading = value.below;
  for (const std::string& variable : Variables(value.below)) leading = Leading(leading, variable);
  const Polynomial inverse = Inverse(leading);
  return Simplified({Product(value.above, inverse), Product(value.below, inverse)});
}

std::optional<Rational> RationalOf(const Quotient& value) {
  if (value.above.empty()) return Rational{};
  if (value.below != One() || value.above.size() > 1 || !value.above.begin()->first.empty())
    return std::nullopt;
  return value.above.begin()->second;
}

std::string ToString(const Quotient& value) {
  if (value.below == One()) return ToString(value.above);
  return "(" + ToString(value.above) + ")/(" + ToString(value.below) + ")";
}

}  // namespace darkhorse
