#include "task/rules.h"

#include <fmt/format.h>

#include <optional>

#include "base/ascii.h"
#include "base/error.h"
#include "base/nearest_name.h"
#include "base/utf8.h"
#include "task/markup.h"
#include "task/math_answer.h"
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

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
bool IsCapital(char c) { return c >= 'A' && c <= 'Z'; }

// Words are of letters, digits and whatever is not ASCII. An apostrophe joins: "it's" is one word.
bool InWord(char c) {
  return IsCapital(Upper(c)) || (c >= '0' && c <= '9') || (c & 0x80) != 0 || c == '\'';
}

// Whether `text` names another letter than `choice`: "or C)", "C.". An article, "I" and a variable
// name none: a small letter, A or I between spaces, beside no "or" or "and".
bool NamesAnother(std::string_view text, char choice) {
  const auto joins = [](std::string_view word) { return word == "or" || word == "and"; };
  std::string_view last;
  bool pending = false;  // `last` is such a letter, unless a joining word follows
  for (size_t at = 0; at < text.size();) {
    if (!InWord(text[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    while (at < text.size() && InWord(text[at])) ++at;
    const std::string_view word = text.substr(begin, at - begin);
    if (pending && joins(word)) return true;
    pending = word.size() == 1 && IsCapital(Upper(word[0])) && Upper(word[0]) != choice;
    if (pending) {
      const bool alone = begin > 0 && text[begin - 1] == ' ' && at < text.size() && text[at] == ' ';
      const bool may_be_a_word = !IsCapital(word[0]) || word == "A" || word == "I";
      if (!alone || !may_be_a_word || joins(last)) return true;
    }
    last = word;
  }
  return false;
}

// "(b)", "B.", "\boxed{B}" and "B) because" are the choice B. Words are no choice: "Because" is not
// B; neither are two letters.
std::optional<char> Choice(std::string_view answer) {
  const std::string plain = PlainMath(answer, false);
  std::string_view text = plain;
  if (text.starts_with('(')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  const char upper = Upper(text[0]);
  if (!IsCapital(upper)) return std::nullopt;
  if (text.size() > 1 && text[1] != ')' && text[1] != '.' && text[1] != ':') return std::nullopt;
  if (NamesAnother(text.substr(1), upper)) return std::nullopt;
  return upper;
}

std::optional<Number> NumberOf(std::string_view text) { return ReadNumber(PlainMath(text)); }

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

std::string Spelling(const std::optional<MathAnswer>& answer) {
  if (!answer) return "";
  return answer->number ? Spelling(answer->number)
                        : answer->value + (answer->unit.empty() ? "" : " ") + answer->unit;
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
  name = name.substr(0, 64);
  FailUsage("unknown scoring rule '{}'; there are {}{}", name, fmt::join(known, ", "),
            DidYouMean(name, known));
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
      return Same(ReadMathAnswer(answer), ReadMathAnswer(reference));
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
      return Spelling(ReadMathAnswer(answer));
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

AnswerJudge JudgeOf(Rule rule, std::string_view reference) {
  const auto judge = [rule, reference](std::string_view answer) {
    const RuleVerdict verdict = Compare(rule, answer, reference);
    return AnswerVerdict{
        .legal = verdict.legal,
        .correct = verdict.correct,
        .canonical = CanonicalAnswer(rule, answer),
        .why = verdict.correct ? "right"
               : verdict.legal && rule == Rule::kRegex
                   ? fmt::format("does not match {}", reference.substr(0, kMaxAnswerLength))
               : verdict.legal ? fmt::format("not {}", reference.substr(0, kMaxAnswerLength))
                               : fmt::format("not an answer the {} rule can read", RuleName(rule))};
  };
  const bool number = rule == Rule::kNumeric || rule == Rule::kMath;
  return {judge, number                  ? LastResort::kNumber
                 : rule == Rule::kChoice ? LastResort::kLetter
                                         : LastResort::kLine};
}

Score ScoreExtracted(const AnswerJudge& judge, const Extracted& extracted) {
  Score score;
  AnswerVerdict verdict;
  if (!extracted.found) {
    score.why = extracted.why;
  } else {
    verdict = judge.judge(extracted.answer);
    score.parsed = extracted.answer.substr(0, kMaxAnswerLength);
    score.canonical = std::move(verdict.canonical);
    score.why = std::move(verdict.why);
  }
  const bool format = extracted.well_formed && verdict.legal;
  score.correct = verdict.correct;
  score.value = score.correct ? 1 : format ? kFormatCredit : 0;
  score.parts = {{"answer", score.correct ? 1.0 : 0.0}, {"format", format ? 1.0 : 0.0}};
  return score;
}

Score ScoreByRule(Rule rule, std::string_view completion, std::string_view reference) {
  return ScoreExtracted(JudgeOf(rule, reference), ExtractAnswer(completion));
}

}  // namespace darkhorse
