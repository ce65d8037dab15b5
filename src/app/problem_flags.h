// --problems, --rule and --reward: problems of the user's, where a command can work on them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rl/own_problems.h"

namespace darkhorse {

struct ProblemFlags {
  std::string file, rule, reward;

  void Register(CLI::App& command);
  // Over what a recipe says: a rule replaces its program, a program its rule. UsageError.
  void Apply(ProblemsOptions* options) const;
};

// The fields of `options` that a command without a recipe needs: --held-out-share,
// --reward-processes and --reward-seconds.
void AddScoringFlags(CLI::App& command, ProblemsOptions* options);

}  // namespace darkhorse
