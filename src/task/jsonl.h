// Problems from a JSON Lines file.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "task/rules.h"
#include "task/task.h"

namespace darkhorse {

struct Row {
  std::string prompt;  // ends with a newline
  std::string answer;
  int64_t line = 0;  // counted from 1
};

// One problem a line; empty lines are skipped. Understood columns:
//   prompt or question or problem; a list of chat messages (TRL, verl) gives the text of the last
//   one by the user; answer or solution or ground_truth, text or number, or verl's
//   reward_model.ground_truth.
// GSM8K's answers are cut to what follows "####". `name` is the file in error messages. Throws
// Error naming name and line.
std::vector<Row> ParseProblems(std::string_view text, const std::string& name);
std::vector<Row> ReadProblems(const std::string& path);

// A task over rows: Make draws a row by its coordinates, Problem::target is its index. One level.
std::unique_ptr<Task> MakeRowTask(std::string name, std::vector<Row> rows, Rule rule);

}  // namespace darkhorse
