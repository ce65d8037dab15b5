// The `darkhorse` command: one file a subcommand, each of which registers itself here. Only this
// folder prints and exits: results on stdout, progress and notes on stderr, exit code 2 for usage
// errors and 1 for all others.
#pragma once

#include <string>

#include "app/command.h"

namespace darkhorse {

// As it was called.
const std::string& ProgramName();

void RegisterTokenizer(Command app);
void RegisterData(Command app);
void RegisterTask(Command app);
void RegisterInfo(Command app);
void RegisterPretrain(Command app);
void RegisterReinforce(Command app);
void RegisterRun(Command app);
void RegisterGenerate(Command app);
void RegisterChat(Command app);
void RegisterEvaluate(Command app);
void RegisterBench(Command app);
void RegisterReport(Command app);

}  // namespace darkhorse
