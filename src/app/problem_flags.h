// --problems and how they are scored: problems of the user's, where a command can work on them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "app/command.h"
#include "rl/own_problems.h"

namespace darkhorse {

struct ProblemFlags {
  std::string file, rule, reward;

  std::optional<double> held_out_share;
  std::optional<int64_t> reward_processes;
  std::optional<double> reward_seconds;

  void Register(Command command);
  // Over what a recipe says: a rule replaces its program, a program its rule. UsageError.
  void Apply(ProblemsOptions* options) const;
  // The fields that they set, as they are called in errors and notes; for WithFlags.
  static const std::map<std::string, std::string>& Names();
  // The same beside a recipe, which may have set what was not typed; "": none.
  std::map<std::string, std::string> NamesBeside(const std::string& recipe) const;
};

}  // namespace darkhorse
