#include "task/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/nearest_name.h"
#include "base/utf8.h"
#include "task/markup.h"
#include "task/rational.h"
#include "text/regex.h"

namespace darkhorse {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Squeeze(std::string_view text) {
  std::string squeezed;
  for (char c : TrimAscii(text)) {
    const bool space = TrimAscii({&c, 1}).empty();
    if (!space) squeezed += c;
    if (space && squeezed.back() != ' ') squeezed += ' ';
  }
  return squeezed;
}

// "(b)", "B." and "B) because" are the choice B. Words are no choice: "Because" is not B.
std::optional<char> Choice(std::string_view text) {
  if (text.starts_with('(')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  const char upper = text[0] >= 'a' && text[0] <= 'z' ? static_cast<char>(text[0] - 32) : text[0];
  if (upper < 'A' || upper > 'Z') return std::nullopt;
  if (text.size() > 1 && text[1] != ')' && text[1] != '.' && text[1] != ':') return std::nullopt;
  return upper;
}

std::optional<Rational> Power(Rational base, int64_t exponent) {
  constexpr int64_t kMaxExponent = 64;  // 2^63 no longer fits; ±1 and 0 need no more either
  if (exponent < -kMaxExponent || exponent > kMaxExponent) return std::nullopt;
  std::optional<Rational> result = Rational{1, 1};
  for (int64_t i = 0; result && i < (exponent < 0 ? -exponent : exponent); ++i) {
    result = Apply(*result, '*', base);
  }
  return result && exponent < 0 ? Apply({1, 1}, '/', *result) : result;
}

//   sum     = product { ("+" | "-") product }
//   product = signed { ("*" | "/") signed }
//   signed  = "-" signed | power
//   power   = atom [ "^" signed ]
//   atom    = number | "(" sum ")"
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
    if (Peek() == '-') {
      ++at_;
      value = Signed();
      if (value) value->numerator = -value->numerator;
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
    const Value exponent = Signed();
    if (!exponent || exponent->denominator != 1) return std::nullopt;
    return Power(*base, exponent->numerator);
  }

  Value Atom() {
    if (Peek() != '(') return Number();
    ++at_;
    const Value value = Sum();
    if (Peek() != ')') return std::nullopt;
    ++at_;
    return value;
  }

  // Digits, perhaps a point and more digits.
  Value Number() {
    Value value = Rational{}, scale = Rational{1, 1};
    const size_t begin = at_;
    bool point = false;
    for (; value && scale && at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '.' && !point && at_ > begin && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1])) {
        point = true;
        continue;
      }
      if (!IsDigit(c)) break;
      if (point) scale = Apply(*scale, '*', {10, 1});
      value = Apply(*value, '*', {10, 1});
      if (value) value = Apply(*value, '+', {c - '0', 1});
    }
    if (at_ == begin || !value || !scale) return std::nullopt;
    return Apply(*value, '/', *scale);
  }

  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

// Plain numbers as people write them: a currency sign in front, commas between groups of three, a
// percent sign behind.
std::optional<Rational> Number(std::string_view text) {
  std::string plain;
  bool negative = false;
  if (text.starts_with('-')) {
    negative = true;
    text.remove_prefix(1);
  }
  if (text.starts_with('$')) text.remove_prefix(1);
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  const size_t end = std::min(text.find_first_of("./"), text.size());
  if (text.empty() || !IsDigit(text[0])) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      const bool group = i > 0 && i < end && (end - i) % 4 == 0 && IsDigit(text[i + 1]) &&
                         IsDigit(text[i + 2]) && IsDigit(text[i + 3]);
      if (!group) return std::nullopt;
    } else if (IsDigit(text[i]) || text[i] == '.' || text[i] == '/') {
      plain += text[i];
    } else {
      return std::nullopt;
    }
  }
  if (std::count(plain.begin(), plain.end(), '/') > 1) return std::nullopt;
  auto value = MathParser(plain).Run();
  if (value && percent) value = Apply(*value, '/', {100, 1});
  if (value && negative) value->numerator = -value->numerator;
  return value;
}

template <typename T>
RuleVerdict Same(const std::optional<T>& answer, const std::optional<T>& reference) {
  return {answer.has_value(), answer && reference && *answer == *reference};
}

// A pattern is compiled for every comparison: some tens of microseconds, nothing beside the
// sampling of a completion. Its work is limited to some tens of milliseconds.
Regex WholeMatch(std::string_view pattern) {
  constexpr uint32_t kMatchLimit = 1'000'000;
  const std::string text(pattern);
  Regex(text, "regex");  // alone first: "a)|(b" would pass inside the parentheses
  return Regex("\\A(?:" + text + ")\\z", "regex", kMatchLimit);
}

RuleVerdict Matches(std::string_view answer, std::string_view pattern) {
  if (!IsValidUtf8(answer)) return {};
  try {
    TextRange match;
    return {true, WholeMatch(pattern).Search(answer, 0, HasNewerCharacters(answer), &match)};
  } catch (const Error&) {  // too much work
    return {};
  }
}

constexpr std::pair<Rule, std::string_view> kRules[] = {
    {Rule::kExact, "exact"}, {Rule::kNumeric, "numeric"}, {Rule::kChoice, "choice"},
    {Rule::kRegex, "regex"}, {Rule::kMath, "math"},
};

}  // namespace

Rule ParseRule(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [rule, text] : kRules) {
    if (text == name) return rule;
    known.emplace_back(text);
  }
  FailUsage("unknown scoring rule '{}'; did you mean '{}'? Known: {}", name.substr(0, 64),
            NearestName(name.substr(0, 64), known), fmt::join(known, ", "));
}

std::string_view RuleName(Rule rule) { return kRules[static_cast<int>(rule)].second; }

RuleVerdict Compare(Rule rule, std::string_view answer, std::string_view reference) {
  answer = TrimAscii(answer);
  reference = TrimAscii(reference);
  if (answer.empty() || answer.size() > kMaxAnswerLength) return {};
  switch (rule) {
    case Rule::kExact:
      return {true, Squeeze(answer) == Squeeze(reference)};
    case Rule::kNumeric:
      return Same(Number(answer), Number(reference));
    case Rule::kChoice:
      return Same(Choice(answer), Choice(reference));
    case Rule::kRegex:
      return Matches(answer, reference);
    case Rule::kMath:
      return Same(MathParser(answer).Run(), MathParser(reference).Run());
  }
  return {};
}

std::string ReferenceFault(Rule rule, std::string_view reference) {
  if (rule == Rule::kRegex) {
    try {
      WholeMatch(TrimAscii(reference));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  if (TrimAscii(reference).size() > kMaxAnswerLength) {
    return fmt::format("longer than the {} characters that an answer may have", kMaxAnswerLength);
  }
  if (Compare(rule, reference, reference).correct) return "";
  return fmt::format("not what the {} rule can read", RuleName(rule));
}

Score ScoreByRule(Rule rule, std::string_view completion, std::string_view reference) {
  Score score;
  const Extracted extracted = ExtractAnswer(completion);
  RuleVerdict verdict;
  if (!extracted.found) {
    score.why = extracted.why;
  } else {
    score.parsed = extracted.answer.substr(0, kMaxAnswerLength);
    verdict = Compare(rule, extracted.answer, reference);
    score.why = verdict.correct ? "right"
                : verdict.legal && rule == Rule::kRegex
                    ? fmt::format("does not match {}", reference.substr(0, kMaxAnswerLength))
                : verdict.legal ? fmt::format("not {}", reference.substr(0, kMaxAnswerLength))
                                : fmt::format("not an answer the {} rule can read", RuleName(rule));
  }
  const bool format = extracted.well_formed && verdict.legal;
  score.correct = verdict.correct;
  score.value = score.correct ? 1 : format ? kFormatCredit : 0;
  score.parts = {{"answer", score.correct ? 1.0 : 0.0}, {"format", format ? 1.0 : 0.0}};
  return score;
}

}  // namespace darkhorse
