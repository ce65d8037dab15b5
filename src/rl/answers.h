// Where a run's answers stand and what they earn, decided by how the model is asked.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rl/environment.h"
#include "rl/options.h"
#include "task/reading.h"

namespace darkhorse {

// The options with all that they leave to the model said; `tasks`: those practised where no file is
// named. chats: it is asked through a chat template (rl/prompter.h).
ProblemsOptions DecidedFor(ProblemsOptions options, const std::vector<std::string>& tasks,
                           bool chats);

// Of decided options, or of those that leave everything open: as this program's own models answer.
Reading ReadingOf(const ProblemsOptions& options);
// How the built-in tasks are worded.
Words WordsOf(const ProblemsOptions& options);
// Where the options name a script: each score, unless its scorer failed, gets the part "script",
// the share of its completion that is written in it, and its value becomes that of both by their
// weight.
void AddScript(const ProblemsOptions& options, std::span<const Answer> answers,
               std::vector<Score>* scores);
// What asks a model in a chat for that place; "" where only the user's program knows it.
std::string InstructionOf(const ProblemsOptions& options);

}  // namespace darkhorse
