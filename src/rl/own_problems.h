// Problems of the user's: a JSON Lines file, scored by a built-in rule or by a program of theirs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rl/environment.h"
#include "rl/options.h"

namespace darkhorse {

// The options are decided (rl/answers.h).
//
// Reads the file, and tries the program on a few problems: Error if it fails on all of them.
// `note` receives what the user should know: how many problems, whether the program is isolated,
// what it thinks of reference answers. Errors name the line. Training rows: each once an epoch, in
// an order that is drawn anew. Interruption: the program was being tried when `stop` said so.
std::unique_ptr<Environment> MakeOwnEnvironment(const ProblemsOptions& options,
                                                const std::function<void(const std::string&)>& note,
                                                const StopRequest& stop = {});

// That of the file, or where none is named of the built-in tasks.
std::unique_ptr<Environment> MakeEnvironment(const std::vector<std::string>& tasks,
                                             const ProblemsOptions& options,
                                             const std::function<void(const std::string&)>& note,
                                             const StopRequest& stop = {});

}  // namespace darkhorse
