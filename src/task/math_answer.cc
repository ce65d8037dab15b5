#include "task/math_answer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "base/ascii.h"
#include "task/algebra.h"
#include "task/markup.h"
#include "task/math_text.h"
#include "task/unit.h"

namespace darkhorse {
namespace {

void Require(bool readable) {
  if (!readable) throw Unreadable();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string_view Letters(std::string_view text) {
  return text.substr(0, std::ranges::find_if_not(text, IsAsciiLetter) - text.begin());
}

std::string OneDegree(std::string unit) {
  return unit == "degree" || unit == "deg" ? std::string(kDegree) : unit;
}

Number NumberOf(Rational value, std::string unit) {
  Number number;
  number.negative = value.numerator < 0;
  number.exact = Rational{std::abs(value.numerator), value.denominator};
  number.unit = std::move(unit);
  return number;
}

std::string Joined(const std::vector<std::string>& items, std::string_view between) {
  std::string text;
  for (const std::string& item : items) {
    if (&item != items.data()) text += between;
    text += item;
  }
  return text;
}

std::vector<std::string> Set(std::vector<std::string> items) {
  std::ranges::sort(items);
  items.erase(std::ranges::unique(items).begin(), items.end());
  return items;
}

// Throws Unreadable.
class MathReader {
 public:
  explicit MathReader(std::string_view text) : text_(text) {}

  MathAnswer Run() {
    DropNames();
    MathAnswer answer;
    if (CollectionComes()) {
      answer.value = Union();
    } else if (Take("\\emptyset") || Take("\\varnothing") || Take("∅")) {
      answer.value = "{}";
    } else if (const std::string infinity = Infinity(); !infinity.empty()) {
      answer.value = infinity;
    } else {
      const std::vector<Quotient> values = Choices();
      answer.unit = Unit();
      const auto rational = values.size() == 1 ? RationalOf(values[0]) : std::nullopt;
      if (rational) {
        answer.number = NumberOf(*rational, answer.unit);
      } else if (values.size() == 1) {
        answer.value = ToString(values[0]);
      } else {
        answer.value = "{" + Joined(Set(Spelt(values)), ", ") + "}";
      }
    }
    Require(Peek() == '\0' && at_ == text_.size());
    return answer;
  }

 private:
  // "x \in", "(x, y) =", "f(x) ="
  void DropNames() {
    if (IsAsciiLetter(Peek())) {
      const size_t begin = at_++;
      if (Take("\\in") || Take("∈")) return;
      at_ = begin;
    }
    const size_t equals = text_.find('=');
    if (equals == text_.npos) return;
    std::string left(text_.substr(0, equals));
    std::erase(left, ' ');
    std::string_view names = left;
    if (!names.empty() && IsAsciiLetter(names[0])) names.remove_prefix(1);
    if (names.size() < 3 || names.size() % 2 == 0 || names.front() != '(' || names.back() != ')')
      return;
    for (size_t i = 1; i + 1 < names.size(); ++i) {
      if (i % 2 == 1 ? !IsAsciiLetter(names[i]) : names[i] != ',') return;
    }
    at_ = equals + 1;
  }

  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool Comes(std::string_view word) {
    Peek();
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with(word)) return false;
    return !IsAsciiLetter(word.back()) || rest.size() == word.size() ||
           !IsAsciiLetter(rest[word.size()]);
  }

  bool Take(std::string_view word) {
    const bool comes = Comes(word);
    if (comes) at_ += word.size();
    return comes;
  }

  std::vector<std::string> Spelt(const std::vector<Quotient>& values) {
    std::vector<std::string> spelt;
    for (const Quotient& value : values) spelt.push_back(ToString(value));
    return spelt;
  }

  // A bracket that holds more than one value.
  bool CollectionComes() {
    if (Comes("\\{") || Peek() == '[') return true;
    if (Peek() != '(' && Peek() != '{') return false;
    int depth = 0;
    for (size_t at = at_; at < text_.size(); ++at) {
      const char c = text_[at];
      depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
      if (depth == 0) return false;
      if (depth == 1 && c == ',') return true;
    }
    return false;
  }

  std::string Union() {
    std::vector<std::string> parts;
    do {
      Require(Peek() == '(' || Peek() == '[' || parts.empty());
      parts.push_back(Collection());
    } while (Take("\\cup") || Take("∪"));
    Require(parts.size() == 1 || parts[0][0] != '{');
    return Joined(Set(parts), " ∪ ");
  }

  std::string Collection() {
    Deeper deeper(this);
    ++lists_;
    const bool escaped = Take("\\{");
    const char open = escaped ? '{' : text_[at_++];
    const bool set = open == '{';
    char close = '\0';
    const auto closes = [&] {
      if (set ? Take(escaped ? "\\}" : "}") : Take(")")) {
        close = set ? '}' : ')';
      } else if (!set && Take("]")) {
        close = ']';
      }
      return close != '\0';
    };
    std::vector<std::string> items;
    if (!(escaped && closes())) {
      do {
        const std::vector<std::string> item = Item();
        Require(set || item.size() == 1);
        items.insert(items.end(), item.begin(), item.end());
      } while (Take(","));
      Require(closes());
    }
    --lists_;
    if (set) return "{" + Joined(Set(items), ", ") + "}";
    Require(items.size() >= 2);
    Require(items.size() == 2 || (open == '(') == (close == ')'));
    return open + Joined(items, ", ") + close;
  }

  std::vector<std::string> Item() {
    if (CollectionComes()) return {Collection()};
    if (const std::string infinity = Infinity(); !infinity.empty()) return {infinity};
    return Spelt(Choices());
  }

  std::string Infinity() {
    const size_t begin = at_;
    const bool minus = Take("-");
    if (!minus) Take("+");
    if (Take("\\infty") || Take("∞") || Take("infinity") || Take("inf"))
      return minus ? "-infinity" : "infinity";
    at_ = begin;
    return "";
  }

  // A value; or two, where ± stands in it.
  std::vector<Quotient> Choices() {
    const size_t begin = at_;
    choices_ = 0;
    minus_ = false;
    const Quotient first = algebra_.Reduced(Sum());
    if (choices_ == 0) return {first};
    Require(choices_ == 1);
    at_ = begin;
    minus_ = true;
    return {first, algebra_.Reduced(Sum())};
  }

  // '+' or '-', taken; '\0' if none comes.
  char TakeSign() {
    if (Take("+")) return '+';
    if (Take("-")) return '-';
    if (!Take("\\pm") && !Take("±")) return '\0';
    ++choices_;
    return minus_ ? '-' : '+';
  }

  Quotient Sum() {
    Quotient value = Product();
    int terms = 1;
    for (char sign = TakeSign(); sign != '\0'; sign = TakeSign(), ++terms)
      value = algebra_.Apply(value, sign, Product());
    terms_ = terms;
    return value;
  }

  Quotient Product() {
    Quotient value = Chain(false);
    while (Peek() == '*' || Peek() == '/') {
      const char op = text_[at_++];
      value = algebra_.Apply(value, op, Chain(op == '/'));
    }
    return value;
  }

  // Factors without a sign between them. As a divisor 2x would be 1/2 of x, or 1 of 2x.
  Quotient Chain(bool divisor) {
    Quotient value = Signed();
    while (FactorComes()) {
      Require(!divisor && !open_root_);
      const char before = text_[text_.find_last_not_of(' ', at_ - 1)];
      Require(!(Comes("\\frac") && (IsDigit(before) || before == '%')));  // 1 1/2
      const std::string_view word = Letters(text_.substr(at_));
      Require(text_[at_ - 1] != ' ' || word.size() < 2 || word == "pi" || word == "sqrt");
      value = algebra_.Apply(value, '*', PowerOf());
    }
    return value;
  }

  bool FactorComes() {
    const char c = Peek();
    return c == '(' || (IsAsciiLetter(c) && !UnitComes()) || Comes("\\frac") ||
           text_.substr(at_).starts_with("\\sqrt") || Comes("√") || !Name().empty();
  }

  // "cm" behind a space
  bool UnitComes() {
    const std::string_view word = FirstUnitWord(text_.substr(at_));
    return at_ > 0 && text_[at_ - 1] == ' ' && word.size() > 1 && BeginsWithCloseUnit(word);
  }

  Quotient Signed() {
    Deeper deeper(this);
    const char sign = TakeSign();
    if (sign == '\0') return PowerOf();
    const Quotient value = Signed();
    return sign == '+' ? value : algebra_.Apply(Algebra::Number({}), '-', value);
  }

  Quotient PowerOf() {
    const Quotient base = Atom();
    for (const auto& [sign, exponent] : {std::pair{"²", 2}, std::pair{"³", 3}}) {
      if (!Take(sign)) continue;
      Require(!open_root_);
      return algebra_.Power(base, {exponent, 1});
    }
    if (Peek() != '^') return base;
    Require(!open_root_);
    ++at_;
    const Quotient exponent = Peek() == '{' ? Bracketed('{', '}') : Signed();
    const auto rational = RationalOf(algebra_.Reduced(exponent));
    Require(rational.has_value());
    return algebra_.Power(base, *rational);
  }

  Quotient Atom() {
    open_root_ = false;
    if (Peek() == '(') return Bracketed('(', ')');
    if (const std::string_view name = Name(); !name.empty()) {
      at_ += name == "π" ? name.size() : name.size() + 1;
      return Algebra::Symbol(name == "π" ? "pi" : name);
    }
    if (TakeCommand("\\frac")) {
      const Quotient above = Argument();
      return algebra_.Apply(above, '/', Argument());
    }
    if (TakeCommand("\\sqrt")) {
      int64_t degree = 2;
      if (Peek() == '[') {
        const auto written = RationalOf(algebra_.Reduced(Bracketed('[', ']')));
        Require(written && written->denominator == 1);
        degree = written->numerator;
      }
      return algebra_.Root(Argument(), degree);
    }
    if (Take("√")) {
      const bool open = Peek() != '(';
      Deeper deeper(this);
      const Quotient root = algebra_.Root(Atom(), 2);
      open_root_ = open;
      return root;
    }
    if (IsAsciiLetter(Peek())) return Variable();
    const size_t begin = at_;
    const auto decimal = ScanDecimal(text_, &at_);
    // In a list the comma may be one between two items.
    Require(decimal && (lists_ == 0 || text_.substr(begin, at_ - begin).find(',') == text_.npos));
    const auto value = Exact(*decimal);
    Require(value.has_value());
    const Quotient number = Algebra::Number(*value);
    return Take("%") ? algebra_.Apply(number, '/', Algebra::Number({100, 1})) : number;
  }

  // Also of \frac12 and \sqrt2, where no space needs to follow.
  bool TakeCommand(std::string_view command) {
    Peek();
    if (Letters(text_.substr(std::min(at_ + 1, text_.size()))) != command.substr(1) ||
        text_[at_] != '\\')
      return false;
    at_ += command.size();
    return true;
  }

  // "pi" of \pi, a Greek letter's name, or "π".
  std::string_view Name() {
    if (Comes("π")) return "π";
    if (Peek() != '\\') return "";
    constexpr auto kNames =
        std::to_array<std::string_view>({"pi", "alpha", "beta", "gamma", "delta", "theta", "lambda",
                                         "mu", "rho", "sigma", "tau", "phi", "omega"});
    const std::string_view name = Letters(text_.substr(at_ + 1));
    return std::ranges::find(kNames, name) == kNames.end() ? "" : name;
  }

  // What stands behind \frac and \sqrt: in braces, or one character.
  Quotient Argument() {
    if (Peek() == '{') return Bracketed('{', '}');
    const char c = Peek();
    if (IsDigit(c)) {
      ++at_;
      return Algebra::Number({c - '0', 1});
    }
    if (IsAsciiLetter(c)) {
      ++at_;
      return Algebra::Symbol({&c, 1});
    }
    Require(!Name().empty());
    return Atom();
  }

  // One letter, perhaps of a product such as xy or abc; other words are none.
  Quotient Variable() {
    const std::string_view word = Letters(text_.substr(at_));
    const bool begins = at_ == 0 || !IsAsciiLetter(text_[at_ - 1]);
    if (begins && word == "pi") {
      at_ += word.size();
      return Algebra::Symbol(word);
    }
    if (begins && word == "sqrt") {
      at_ += word.size();
      return algebra_.Root(Bracketed('(', ')'), 2);
    }
    if (begins && word.size() > 1) {
      const std::string lower = LowerAscii(word);
      const bool in_order = lower.size() == 3 && lower[0] < lower[1] && lower[1] < lower[2];
      Require((word.size() == 2 || in_order) && !BeginsWithCloseUnit(word) && UnitOf(word));
    }
    const std::string_view rest = text_.substr(at_ + 1);
    const bool function = word[0] == 'f' || word[0] == 'g' || word[0] == 'h';
    Require(!(function && rest.starts_with('(')));
    ++at_;
    return Algebra::Symbol(word.substr(0, 1));
  }

  Quotient Bracketed(char open, char close) {
    Require(Peek() == open);
    ++at_;
    const Quotient value = Sum();
    Require(Peek() == close);
    ++at_;
    open_root_ = false;
    return value;
  }

  // In \text{}, or a common one behind a product: "2 + 3 km" may be 2 and 3 km.
  std::string Unit() {
    std::string_view written;
    if (Take(kDegree)) return std::string(kDegree);
    if (Take("\\text")) {
      const size_t close = text_.find('}', at_);
      Require(Peek() == '{' && close != text_.npos);
      written = TrimAscii(text_.substr(at_ + 1, close - at_ - 1));
      at_ = close + 1;
      if (written.ends_with('.')) written.remove_suffix(1);
    } else if (IsAsciiLetter(Peek()) && UnitComes()) {
      Require(terms_ == 1);
      written = FirstUnitWord(text_.substr(at_));
      at_ += written.size();
    }
    if (written.empty()) return "";
    const auto unit = UnitOf(written);
    Require(unit.has_value());
    if (Take("^2") || Take("^{2}")) return *unit + "²";
    if (Take("^3") || Take("^{3}")) return *unit + "³";
    return OneDegree(*unit);
  }

  struct Deeper {
    explicit Deeper(MathReader* of) : reader(of) {
      constexpr int kMaxDepth = 64;
      Require(++reader->depth_ <= kMaxDepth);
    }
    ~Deeper() { --reader->depth_; }
    MathReader* reader;
  };

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  int lists_ = 0;           // how many are open
  int choices_ = 0;         // ± that were read
  bool minus_ = false;      // ± is −
  int terms_ = 0;           // of the sum that was read last
  bool open_root_ = false;  // the atom that was read last is √2, whose end is not clear
  Algebra algebra_;
};

std::optional<MathAnswer> TryRead(std::string_view text) {
  try {
    return MathReader(text).Run();
  } catch (const Unreadable&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<MathAnswer> ReadMathAnswer(std::string_view text) {
  if (text.size() > kMaxAnswerLength) return std::nullopt;
  const std::string tidy = TidyMath(text);
  const std::string plain = PlainMath(tidy);
  if (auto number = ReadNumber(plain)) {
    number->unit = OneDegree(number->unit);
    return MathAnswer{*number, "", ""};
  }
  auto answer = TryRead(PlainSigns(std::string(Undressed(tidy, /*without_variable=*/true))));
  return answer ? answer : TryRead(plain);  // \text{} may hold all of it
}

bool operator==(const MathAnswer& a, const MathAnswer& b) {
  if (a.number || b.number) return a.number && b.number && *a.number == *b.number;
  return a.value == b.value && (a.unit.empty() || b.unit.empty() || a.unit == b.unit);
}

}  // namespace darkhorse
