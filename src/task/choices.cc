#include "task/choices.h"

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/error.h"
#include "task/json_rows.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

ChoiceQuestion Read(std::string_view row, const std::string& where) {
  const Json object = RowObject(row, R"({"question": "…", "choices": ["…", "…"], "answer": 0})");
  const auto member = [&](const char* name) {
    const auto found = object.find(name);
    if (found == object.end()) Fail("no field {}", name);
    return *found;
  };
  ChoiceQuestion read;
  read.where = where;
  const Json question = member("question"), choices = member("choices"), answer = member("answer");
  if (!question.is_string() || TrimAscii(question.get<std::string>()).empty())
    Fail("field question is no text, or empty");
  read.question = question.get<std::string>();
  if (!choices.is_array() || choices.size() < 2)
    Fail("field choices is no list of two texts or more");
  for (const Json& choice : choices) {
    if (!choice.is_string() || TrimAscii(choice.get<std::string>()).empty())
      Fail("field choices holds something that is no text, or empty");
    read.choices.push_back(choice.get<std::string>());
  }
  if (!answer.is_number_unsigned() || answer.get<uint64_t>() >= choices.size()) {
    Fail("field answer must be the index of the right choice, 0 to {}, not {}", choices.size() - 1,
         answer.dump(-1, ' ', true).substr(0, 40));
  }
  read.answer = answer.get<size_t>();
  return read;
}

}  // namespace

std::vector<ChoiceQuestion> ParseChoices(std::string_view text, const std::string& name) {
  std::vector<ChoiceQuestion> questions;
  ForEachRow(text, name, [&](std::string_view row, const std::string& where) {
    questions.push_back(Read(row, where));
  });
  if (questions.empty()) Fail("{}: no questions in it; write one JSON object a line", name);
  return questions;
}

size_t MostProbable(const std::vector<double>& logp, const std::vector<double>& sizes) {
  const auto value = [&](size_t i) { return sizes.empty() ? logp[i] : logp[i] / sizes[i]; };
  size_t best = 0;
  for (size_t i = 1; i < logp.size(); ++i) {
    if (value(i) > value(best)) best = i;
  }
  return best;
}

}  // namespace darkhorse
