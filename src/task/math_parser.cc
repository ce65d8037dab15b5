#include "task/math_parser.h"

#include "task/number.h"

namespace darkhorse {
namespace {

std::optional<Rational> Power(Rational base, int64_t exponent) {
  constexpr int64_t kMaxExponent = 64;  // 2^63 no longer fits; ±1 and 0 need no more either
  if (exponent < -kMaxExponent || exponent > kMaxExponent) return std::nullopt;
  std::optional<Rational> result = Rational{1, 1};
  for (int64_t i = 0; result && i < (exponent < 0 ? -exponent : exponent); ++i) {
    result = Apply(*result, '*', base);
  }
  return result && exponent < 0 ? Apply({1, 1}, '/', *result) : result;
}

class MathParser {
 public:
  explicit MathParser(std::string_view text) : text_(text) {}

  std::optional<Rational> Run() {
    const auto value = Sum();
    Peek();
    return at_ == text_.size() ? value : std::nullopt;
  }

 private:
  using Value = std::optional<Rational>;

  Value Sum() {
    Value value = Product();
    while (value && (Peek() == '+' || Peek() == '-')) value = Join(*value, &MathParser::Product);
    return value;
  }

  Value Product() {
    Value value = Signed();
    while (value && (Peek() == '*' || Peek() == '/')) value = Join(*value, &MathParser::Signed);
    return value;
  }

  Value Join(Rational left, Value (MathParser::*next)()) {
    const char op = text_[at_++];
    const Value right = (this->*next)();
    return right ? Apply(left, op, *right) : std::nullopt;
  }

  Value Signed() {
    constexpr int kMaxDepth = 64;
    if (++depth_ > kMaxDepth) return std::nullopt;
    Value value;
    if (Peek() == '-' || Peek() == '+') {
      const bool minus = text_[at_++] == '-';
      value = Signed();
      if (value && minus) value->numerator = -value->numerator;
    } else {
      value = PowerOf();
    }
    --depth_;
    return value;
  }

  Value PowerOf() {
    const Value base = Atom();
    if (!base || Peek() != '^') return base;
    ++at_;
    const Value exponent = Peek() == '{' ? Bracketed('{', '}') : Signed();
    if (!exponent || exponent->denominator != 1) return std::nullopt;
    return Power(*base, exponent->numerator);
  }

  Value Atom() {
    if (Peek() == '(') return Bracketed('(', ')');
    constexpr std::string_view kFraction = "\\frac";
    if (text_.substr(at_).starts_with(kFraction)) {
      at_ += kFraction.size();
      const Value above = Bracketed('{', '}');
      const Value below = above ? Bracketed('{', '}') : std::nullopt;
      return below ? Apply(*above, '/', *below) : std::nullopt;
    }
    const auto decimal = ScanDecimal(text_, &at_);
    Value value = decimal ? Exact(*decimal) : std::nullopt;
    if (value && Peek() == '%') {
      ++at_;
      value = Apply(*value, '/', {100, 1});
    }
    return value;
  }

  Value Bracketed(char open, char close) {
    if (Peek() != open) return std::nullopt;
    ++at_;
    const Value value = Sum();
    if (Peek() != close) return std::nullopt;
    ++at_;
    return value;
  }

  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::optional<Rational> MathValue(std::string_view text) { return MathParser(text).Run(); }

}  // namespace darkhorse
