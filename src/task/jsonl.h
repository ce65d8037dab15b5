// Problems from a JSON Lines file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "task/rules.h"
#include "task/task.h"

namespace darkhorse {

// Whether every row must have an answer. A verifier of the user's may do without.
enum class AnswerColumn { kNeeded, kOptional };

// One problem a line; empty lines are skipped. Understood columns:
//   prompt or question or problem; a list of chat messages (TRL, verl) gives the text of the last
//   one by the user; answer or solution or ground_truth, text or number, or verl's
//   reward_model.ground_truth.
// GSM8K's answers are cut to what follows "####". All other columns are the problem's meta. `name`
// is the file in error messages, and its last part the problems' task. Throws Error naming name and
// line.
std::vector<Problem> ParseProblems(std::string_view text, const std::string& name,
                                   AnswerColumn answers = AnswerColumn::kNeeded);

// Throws Error naming the first problem whose answer the rule cannot compare with.
void CheckReferences(const std::vector<Problem>& problems, Rule rule);

struct SplitProblems {
  std::vector<Problem> train, held_out;
};

// A problem is held out if the hash of its prompt falls into the first `held_out_share` of all
// hashes: rows that repeat a prompt stay together, and the split of a row does not depend on
// others.
SplitProblems SplitByPrompt(std::vector<Problem> problems, double held_out_share);

}  // namespace darkhorse
