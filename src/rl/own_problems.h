// Problems of the user's: a JSON Lines file, scored by a built-in rule or by a program of theirs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/fields.h"
#include "rl/environment.h"
#include "rl/external_reward.h"

namespace darkhorse {

struct ProblemsOptions {
  std::string file;  // "": the built-in tasks
  std::string rule;  // this, or
  std::string reward;
  double held_out_share = 0.0625;
  int64_t reward_processes = 4;
  double reward_seconds = 10;
  int64_t reward_cpu_seconds = 600;
  int64_t reward_memory_mib = 4096;
};
void ListFields(ProblemsOptions& options, FieldList& list);
void Validate(const ProblemsOptions& options);  // UsageError

// Reads the file, and tries the program on a few problems: Error if it fails on all of them.
// `note` receives what the user should know: how many problems, whether the program is isolated,
// what it thinks of reference answers. Errors name the line. Training rows: each once an epoch, in
// an order that is drawn anew.
std::unique_ptr<Environment> MakeOwnEnvironment(
    const ProblemsOptions& options, const std::function<void(const std::string&)>& note);

// That of the file, or where none is named of the built-in tasks.
std::unique_ptr<Environment> MakeEnvironment(const std::vector<std::string>& tasks,
                                             const ProblemsOptions& options,
                                             const std::function<void(const std::string&)>& note);

}  // namespace darkhorse
