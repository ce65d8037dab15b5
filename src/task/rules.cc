#include "task/rules.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/nearest_name.h"
#include "base/utf8.h"
#include "task/markup.h"
#include "task/math_parser.h"
#include "task/number.h"
#include "task/rational.h"
#include "text/regex.h"

namespace darkhorse {
namespace {

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

std::optional<Number> NumberOf(std::string_view text) { return ReadNumber(PlainMath(text)); }

// A number, or an expression of one.
std::optional<Number> ValueOf(std::string_view text) {
  const std::string plain = PlainMath(text);
  std::optional<Number> number = ReadNumber(plain);
  if (number) return number;
  const auto value = MathValue(plain);
  if (!value) return std::nullopt;
  number.emplace();
  number->negative = value->numerator < 0;
  number->exact = Rational{std::abs(value->numerator), value->denominator};
  return number;
}

template <typename T>
RuleVerdict Same(const std::optional<T>& answer, const std::optional<T>& reference) {
  return {answer.has_value(), answer && reference && *answer == *reference};
}

std::string Spelling(const std::optional<Number>& number) {
  if (!number) return "";
  const Decimal& decimal = number->decimal;
  return fmt::format("{}{}{}{}{}", number->negative ? "-" : "",
                     number->exact ? ToString(*number->exact)
                                   : fmt::format("{}e{}", decimal.digits, decimal.exponent),
                     number->currency, number->unit.empty() ? "" : " ", number->unit);
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
      return Same(NumberOf(answer), NumberOf(reference));
    case Rule::kChoice:
      return Same(Choice(answer), Choice(reference));
    case Rule::kRegex:
      return Matches(answer, reference);
    case Rule::kMath:
      return Same(ValueOf(answer), ValueOf(reference));
  }
  return {};
}

std::string CanonicalAnswer(Rule rule, std::string_view answer) {
  answer = TrimAscii(answer);
  if (answer.empty() || answer.size() > kMaxAnswerLength) return "";
  switch (rule) {
    case Rule::kExact:
      return Squeeze(answer);
    case Rule::kNumeric:
      return Spelling(NumberOf(answer));
    case Rule::kChoice: {
      const std::optional<char> choice = Choice(answer);
      return choice ? std::string(1, *choice) : "";
    }
    case Rule::kRegex:
      return std::string(answer);
    case Rule::kMath:
      return Spelling(ValueOf(answer));
  }
  return "";
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
    score.canonical = CanonicalAnswer(rule, extracted.answer);
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
