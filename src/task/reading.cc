#include "task/reading.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/nearest_name.h"
#include "task/markup.h"
#include "task/rules.h"

namespace darkhorse {
namespace {

constexpr std::pair<FormPay, std::string_view> kPays[] = {
    {FormPay::kAlways, "always"},
    {FormPay::kWithAnswer, "with_answer"},
    {FormPay::kNever, "never"},
};

}  // namespace

std::vector<std::string> FormPayNames() {
  std::vector<std::string> names;
  for (const auto& [pay, name] : kPays) names.emplace_back(name);
  return names;
}

FormPay ParseFormPay(std::string_view name) {
  for (const auto& [pay, known] : kPays) {
    if (known == name) return pay;
  }
  const std::vector<std::string> known = FormPayNames();
  name = name.substr(0, 64);
  FailUsage("unknown pay of a form '{}'; there are {}{}", name, fmt::join(known, ", "),
            DidYouMean(name, known));
}

Score ReadScore(const Reading& reading, const AnswerJudge& judge, std::string_view completion) {
  Score score = ScoreExtracted(judge, StrictAnswer(reading.place, completion));
  if (reading.form != FormPay::kAlways && !score.correct) score.value = 0;
  // Of this program's own models there is no other place to tell it from.
  if (reading.place != AnswerPlace::kTags)
    score.why = fmt::format("{}: {}", AnswerPlaceName(reading.place), score.why);
  if (!reading.lenient && reading.form == FormPay::kAlways) return score;
  const Extracted found = LenientAnswer(reading.place, judge, completion);
  const Score read = ScoreExtracted(judge, found);
  LenientScore lenient{read.correct, read.parsed, read.canonical, std::string(found.place)};
  if (reading.form != FormPay::kAlways && lenient.correct && !score.correct) {
    score.value = reading.form == FormPay::kNever ? 1 : 1 - kFormatCredit;
    score.why = fmt::format("{}; right as {}", score.why, lenient.place);
  }
  score.parts.emplace_back("lenient", lenient.correct ? 1.0 : 0.0);
  if (reading.lenient) score.lenient = std::move(lenient);
  return score;
}

}  // namespace darkhorse
