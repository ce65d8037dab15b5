#include "task/number.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "task/markup.h"
#include "task/unit.h"

namespace darkhorse {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool DigitAt(std::string_view text, size_t at) { return at < text.size() && IsDigit(text[at]); }

// The bracket that closes the one at `open`; npos: none.
size_t Closing(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t at = open; at < text.size(); ++at) {
    depth += (text[at] == '{') - (text[at] == '}');
    if (depth == 0) return at;
  }
  return text.npos;
}

void DropStop(std::string_view& text) {
  if (text.ends_with('.') && !text.ends_with("..")) text.remove_suffix(1);
}

// Where `word` stands without a backslash in front: in "\\$5" stands no "$". npos: nowhere.
size_t FindUnescaped(std::string_view text, std::string_view word) {
  size_t at = text.find(word);
  while (at != text.npos && at > 0 && text[at - 1] == '\\') at = text.find(word, at + 1);
  return at;
}

// What stands between `open` and `close`, which hold all of the text but a sentence's stop.
bool Unwrap(std::string_view& text, std::string_view open, std::string_view close) {
  std::string_view held = text;
  DropStop(held);
  if (!held.starts_with(open)) return false;
  const std::string_view behind = held.substr(open.size());
  const size_t end = open.ends_with('{') ? Closing(held, open.size() - 1) - open.size()
                                         : FindUnescaped(behind, close);
  if (end > behind.size() || end + close.size() != behind.size()) return false;
  text = TrimAscii(behind.substr(0, end));
  return true;
}

// "x = "
bool DropVariable(std::string_view& text) {
  if (text.empty() || !IsAsciiLetter(text[0])) return false;
  const std::string_view rest = TrimAscii(text.substr(1));
  if (!rest.starts_with('=')) return false;
  text = TrimAscii(rest.substr(1));
  return true;
}

constexpr std::array<std::string_view, 4> kCurrencies = {"$", "€", "£", "¥"};

class NumberReader {
 public:
  explicit NumberReader(std::string_view text) : text_(TrimAscii(text)) {}

  std::optional<Number> Read() {
    SignAndCurrency();
    if (!(text_.starts_with("\\frac") ? Fraction() : Quotient())) return std::nullopt;
    if (!Behind()) return std::nullopt;
    const bool zero =
        number_.exact ? number_.exact->numerator == 0 : number_.decimal.digits.empty();
    number_.negative = sign_ == '-' && !zero;
    return number_;
  }

 private:
  void Spaces() { text_ = TrimAscii(text_); }
  bool Take(std::string_view word) {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool TakeCurrency() {
    for (const std::string_view currency : kCurrencies) {
      if (number_.currency.empty() && Take(currency)) {
        number_.currency = currency;
        return true;
      }
    }
    return false;
  }
  bool TakeSign() {
    if (sign_ != 0 || text_.empty() || (text_[0] != '-' && text_[0] != '+')) return false;
    sign_ = text_[0];
    text_.remove_prefix(1);
    return true;
  }
  // One of each at most, in either order.
  void SignAndCurrency() {
    while (TakeSign() || TakeCurrency()) Spaces();
  }

  std::optional<Decimal> TakeDecimal() {
    size_t end = 0;
    const auto decimal = ScanDecimal(text_, &end);
    text_.remove_prefix(end);
    return decimal;
  }

  // "5" or "5/3"
  bool Quotient() {
    const auto above = TakeDecimal();
    if (!above) return false;
    const std::string_view before = text_;
    Spaces();
    const bool divided = Take("/");
    Spaces();
    if (!divided || text_.empty() || !(IsDigit(text_[0]) || text_[0] == '.')) {
      text_ = before;  // "5/hour" is no quotient
      number_.decimal = *above;
      number_.exact = Exact(*above);
      return true;
    }
    return Divide(above, TakeDecimal());
  }

  // "\frac{1}{2}"; a sign may stand within, if none stands in front.
  bool Fraction() {
    Take("\\frac");
    const auto above = Braced(true), below = Braced(false);
    return Divide(above, below);
  }

  std::optional<Decimal> Braced(bool may_be_signed) {
    Spaces();
    if (!Take("{")) return std::nullopt;
    Spaces();
    if (may_be_signed) TakeSign();
    const auto decimal = TakeDecimal();
    Spaces();
    return Take("}") ? decimal : std::nullopt;
  }

  bool Divide(const std::optional<Decimal>& above, const std::optional<Decimal>& below) {
    if (!above || !below) return false;
    const auto left = Exact(*above), right = Exact(*below);
    if (left && right) number_.exact = Apply(*left, '/', *right);
    return number_.exact.has_value();
  }

  bool Percent() {
    const bool decimal = !number_.decimal.digits.empty();
    if (decimal) number_.decimal.exponent -= 2;
    number_.exact = decimal         ? Exact(number_.decimal)
                    : number_.exact ? Apply(*number_.exact, '/', {100, 1})
                                    : std::nullopt;
    return decimal || number_.exact;
  }

  // A percent sign or word; or a currency, or a unit, or both, or nothing.
  bool Behind() {
    const size_t before = text_.size();
    Spaces();
    const bool close = text_.size() == before || text_.starts_with('/');
    const std::string lower = LowerAscii(text_);
    if (lower == "%" || lower == "percent" || lower == "per cent" || lower == "pct")
      return Percent();
    if (lower.starts_with("per cent ")) return false;
    if (TakeCurrency()) {
      Spaces();
    } else if (close && !text_.empty() &&
               !BeginsWithCloseUnit(text_.substr(text_[0] == '/' ? 1 : 0))) {
      return false;
    }
    if (!TakeCurrencyWord()) return false;
    if (text_.empty()) return true;
    std::string rest(text_);
    if (rest.starts_with("per ")) rest.replace(0, 4, "/");
    ReplaceAll(rest, " per ", "/");
    const auto unit = UnitOf(rest);
    if (!unit) return false;
    number_.unit = *unit;
    const bool of_a_currency = *unit == "cent" || *unit == "pence";
    return number_.currency.empty() || !of_a_currency;  // "$5 cents" is none
  }

  // "dollars" or "US dollars", if that is what comes. False: there is another currency already.
  bool TakeCurrencyWord() {
    std::string_view rest = text_;
    if (rest.starts_with("US ")) rest.remove_prefix(3);
    const std::string_view word = FirstUnitWord(rest), sign = CurrencyOf(word);
    if (sign.empty()) return true;
    if (!number_.currency.empty() && number_.currency != sign) return false;
    number_.currency = sign;
    text_ = rest.substr(word.size());
    Spaces();
    return true;
  }

  std::string_view text_;
  char sign_ = 0;
  Number number_;
};

}  // namespace

std::string_view Undressed(std::string_view text, bool without_variable) {
  text = TrimAscii(text);
  constexpr int kMaxLayers = 4;
  for (int layer = 0; layer < kMaxLayers; ++layer) {
    if (!(without_variable && DropVariable(text)) && !Unwrap(text, "\\boxed{", "}") &&
        !Unwrap(text, "$$", "$$") && !Unwrap(text, "$", "$") && !Unwrap(text, "\\(", "\\)") &&
        !Unwrap(text, "\\[", "\\]")) {
      break;
    }
  }
  return text;
}

std::string PlainSigns(std::string plain) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"−", "-"},
      {"×", "*"},
      {"·", "*"},
      {"÷", "/"},
      {"\\times", "*"},
      {"\\cdot", "*"},
      {"\\div", "/"},
      {"\\dfrac", "\\frac"},
      {"\\tfrac", "\\frac"},
      {"\\left(", "("},
      {"\\right)", ")"},
      {"{,}", ","},
      {"\\,", " "},
      {"\\;", " "},
      {"\\ ", " "},
      {"~", " "},
      {"\\%", "%"},
      {"\\$", "$"},
      {"\u00A0", " "},
  };
  for (const auto& [from, to] : kNames) ReplaceAll(plain, from, to);
  std::string_view trimmed = TrimAscii(plain);
  DropStop(trimmed);
  return std::string(trimmed);
}

std::string PlainMath(std::string_view text, bool without_variable) {
  std::string plain(Undressed(text, without_variable));
  for (const std::string_view word : {"\\text{", "\\mathrm{"}) {
    for (size_t at = plain.find(word); at != plain.npos; at = plain.find(word)) {
      const size_t close = Closing(plain, at + word.size() - 1);
      if (close == plain.npos) return plain;
      plain.replace(close, 1, " ");
      plain.replace(at, word.size(), " ");
    }
  }
  return PlainSigns(std::move(plain));
}

std::optional<Decimal> ScanDecimal(std::string_view text, size_t* at) {
  size_t end = *at;
  std::string digits;
  const auto run = [&] {
    while (DigitAt(text, end)) digits += text[end++];
  };
  run();
  const auto group = [&] {
    return end < text.size() && text[end] == ',' && DigitAt(text, end + 1) &&
           DigitAt(text, end + 2) && DigitAt(text, end + 3) && !DigitAt(text, end + 4);
  };
  if (!digits.empty() && digits.size() <= 3 && digits[0] != '0') {
    while (group()) {
      ++end;
      run();
    }
  }
  int64_t exponent = 0;
  if (end < text.size() && text[end] == '.' && (!digits.empty() || DigitAt(text, end + 1))) {
    ++end;
    const size_t whole = digits.size();
    run();
    exponent = -static_cast<int64_t>(digits.size() - whole);
  }
  if (digits.empty()) return std::nullopt;
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    constexpr size_t kMaxDigits = 4;
    size_t e = end + 1;
    const bool minus = e < text.size() && text[e] == '-';
    if (minus || (e < text.size() && text[e] == '+')) ++e;
    const size_t first = e;
    int64_t power = 0;
    for (; DigitAt(text, e) && e - first < kMaxDigits; ++e) power = power * 10 + (text[e] - '0');
    if (e > first) {
      exponent += minus ? -power : power;
      end = e;
    }
  }
  *at = end;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  while (digits.ends_with('0')) {
    digits.pop_back();
    ++exponent;
  }
  return Decimal{digits, digits.empty() ? 0 : exponent};
}

std::optional<Rational> Exact(const Decimal& decimal) {
  constexpr size_t kMaxDigits = 18;  // of 64 bits
  if (decimal.digits.size() > kMaxDigits || decimal.exponent > 18 || decimal.exponent < -18)
    return std::nullopt;
  std::optional<Rational> value = Rational{};
  for (const char c : decimal.digits) {
    value = Apply(*value, '*', {10, 1});
    value = Apply(*value, '+', {c - '0', 1});
  }
  for (int64_t i = decimal.exponent; value && i != 0; i += i < 0 ? 1 : -1)
    value = Apply(*value, decimal.exponent < 0 ? '/' : '*', {10, 1});
  return value;
}

std::optional<Number> ReadNumber(std::string_view text) { return NumberReader(text).Read(); }

bool operator==(const Number& a, const Number& b) {
  const auto differ = [](const std::string& x, const std::string& y) {
    return !x.empty() && !y.empty() && x != y;
  };
  // One names a currency alone, the other a unit alone: "$5" and "5 cents".
  const auto apart = [](const Number& x, const Number& y) {
    return !x.currency.empty() && x.unit.empty() && y.currency.empty() && !y.unit.empty();
  };
  if (a.negative != b.negative || differ(a.currency, b.currency) || differ(a.unit, b.unit) ||
      apart(a, b) || apart(b, a))
    return false;
  return a.exact || b.exact ? a.exact == b.exact : a.decimal == b.decimal;
}

}  // namespace darkhorse
