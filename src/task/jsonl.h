// Problems from a JSON Lines file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "task/rules.h"
#include "task/task.h"

namespace darkhorse {

// Whether every row must have an answer. A verifier that the user wrote may not need one. Worked:
// it must, and is an example of how to answer, not cut to its result.
enum class AnswerColumn { kNeeded, kOptional, kWorked };

// One problem per line; empty lines are skipped. Columns:
//   - `prompt`, `question` or `problem`: text, or a list of chat messages (TRL, verl), of which the
//     last one by the user is the prompt;
//   - `answer`, `solution` or `ground_truth`: text or a number; verl's reward_model.ground_truth
//     takes precedence.
// GSM8K's answers are cut to what follows "####". All other columns are the problem's meta. Numbers
// keep their spelling in both: 0.00001, 1.50 and integers of any length are as written. `name`
// is the file that error messages name; its last part is the problems' task. Throws Error that
// names every bad row by file and line, the first ten with what is wrong, or says what the file is
// instead of JSON Lines.
std::vector<Problem> ParseProblems(std::string_view text, const std::string& name,
                                   AnswerColumn answers = AnswerColumn::kNeeded);

// Throws Error naming, likewise, the problems whose answers the rule cannot compare with.
void CheckReferences(const std::vector<Problem>& problems, Rule rule);

struct SplitProblems {
  std::vector<Problem> train, held_out;
};

// A problem is held out if the hash of its prompt is in the first `held_out_share` of all hashes.
// So rows with the same prompt stay together, and no row's split depends on another row.
SplitProblems SplitByPrompt(std::vector<Problem> problems, double held_out_share);

}  // namespace darkhorse
