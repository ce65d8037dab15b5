// How a completion's answer is read, and what it earns: at its place or wherever it stands, with or
// without pay for the form alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "task/answer_place.h"
#include "task/task.h"

namespace darkhorse {

// What a right form is worth.
enum class FormPay {
  kAlways,      // a legal answer at its place that is wrong: kFormatCredit
  kWithAnswer,  // nothing by itself; a right answer at another place earns 1 - kFormatCredit
  kNever,       // nothing: a right answer earns 1 wherever it stands
};
std::vector<std::string> FormPayNames();      // "always", "with_answer", "never"
FormPay ParseFormPay(std::string_view name);  // UsageError that names the nearest

struct Reading {
  AnswerPlace place = AnswerPlace::kTags;
  FormPay form = FormPay::kAlways;
  bool lenient = false;  // fills Score::lenient, too
};

// The score's accuracy is strict: an answer at its place. Pure; `judge` is called a few times.
Score ReadScore(const Reading& reading, const AnswerJudge& judge, std::string_view completion);

}  // namespace darkhorse
