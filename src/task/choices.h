// Multiple choice: questions with several answers, of which one is right, from a JSON Lines file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

struct ChoiceQuestion {
  std::string question;
  std::vector<std::string> choices;  // at least two, none empty
  size_t answer = 0;                 // index of the right one
  std::string where;                 // "questions.jsonl:12"
};

// One object a line, {"question": "…", "choices": ["…", "…"], "answer": 0}; other columns are
// passed over, and so are empty lines. `name` is the file that errors name. Error as of
// ParseProblems (task/jsonl.h).
std::vector<ChoiceQuestion> ParseChoices(std::string_view text, const std::string& name);

// The place of the largest value, the first of equal ones; each divided by `sizes`, where there are
// any.
size_t MostProbable(const std::vector<double>& logp, const std::vector<double>& sizes = {});

}  // namespace darkhorse
