#include "task/expression.h"

#include <fmt/format.h>

namespace darkhorse {
namespace {

// Syntax and value are judged apart: after a division by zero the rest is still parsed, so that
// `legal` speaks of the text alone.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  ParsedExpression Run() {
    if (text_.size() > kMaxExpressionLength) {
      Stop(fmt::format("longer than {} characters", kMaxExpressionLength));
      return result_;
    }
    const Rational value = Expression(0);
    Peek();  // skips spaces
    if (!stopped_ && at_ < text_.size()) Unexpected();
    if (stopped_) return result_;
    result_.legal = true;
    result_.defined = defined_;
    result_.value = value;
    if (!defined_) result_.why = "divides by zero or overflows";
    return result_;
  }

 private:
  Rational Expression(int depth) {
    Rational value = Term(depth);
    while (!stopped_ && (Peek() == '+' || Peek() == '-')) {
      const char op = text_[at_++];
      value = Combine(value, op, Term(depth));
    }
    return value;
  }

  Rational Term(int depth) {
    Rational value = Factor(depth);
    while (!stopped_ && (Peek() == '*' || Peek() == '/')) {
      const char op = text_[at_++];
      value = Combine(value, op, Factor(depth));
    }
    return value;
  }

  Rational Factor(int depth) {
    if (stopped_) return {};
    if (Peek() != '(') return Number();
    if (depth == kMaxExpressionDepth) {
      Stop(fmt::format("more than {} parentheses deep", kMaxExpressionDepth));
      return {};
    }
    ++at_;
    const Rational value = Expression(depth + 1);
    if (!stopped_ && Peek() != ')') Unexpected();
    ++at_;
    return value;
  }

  Rational Number() {
    const size_t begin = at_;
    int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (at_ - begin == kMaxNumberDigits) {
        Stop(fmt::format("a number of more than {} digits", kMaxNumberDigits));
        return {};
      }
      value = value * 10 + (text_[at_++] - '0');
    }
    if (at_ == begin) {
      Unexpected();
    } else if (text_[begin] == '0' && at_ - begin > 1) {
      Stop("a number with a leading zero");
    }
    result_.numbers.push_back(value);
    return {value, 1};
  }

  Rational Combine(Rational left, char op, Rational right) {
    const auto value = Apply(left, op, right);
    if (!value) defined_ = false;
    return value.value_or(Rational{});
  }

  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void Unexpected() {
    if (at_ >= text_.size()) return Stop("ends too early");
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    Stop(c > ' ' && c < 127 ? fmt::format("unexpected '{}' at {}", text_[at_], at_ + 1)
                            : fmt::format("unexpected byte {:#04x} at {}", c, at_ + 1));
  }

  void Stop(std::string why) {
    if (!stopped_) result_.why = std::move(why);
    stopped_ = true;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool stopped_ = false;
  bool defined_ = true;
  ParsedExpression result_;
};

}  // namespace

ParsedExpression ParseExpression(std::string_view text) { return Parser(text).Run(); }

}  // namespace darkhorse
