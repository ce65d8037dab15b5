// The `darkhorse` command. Each subcommand is a file named after it, thin over the libraries, and
// registers itself here; the other files are what subcommands share. Only this folder prints and
// exits: results on stdout, progress and notes on stderr, exit code 2 for usage errors, 130 for a
// command that was interrupted (as a shell's own) and 1 for all others.
#pragma once

#include <string>

#include "app/command.h"
#include "base/interrupt.h"

namespace darkhorse {

// The whole program, for main.cc: returns the exit code.
int RunProgram(int argc, char** argv);

// How a command leaves that was interrupted, has saved and has printed its result.
struct SavedInterruption : Interruption {
  std::string how_it_goes_on;
};

// The same of a run with --resume, whose last checkpoint is this; "": none was written.
SavedInterruption InterruptedRun(const std::string& checkpoint);

// As it was called.
const std::string& ProgramName();

void RegisterTokenizer(Command app);
void RegisterData(Command app);
void RegisterTask(Command app);
void RegisterInfo(Command app);
void RegisterPretrain(Command app);
void RegisterFinetune(Command app);
void RegisterReinforce(Command app);
void RegisterSample(Command app);
void RegisterDistil(Command app);
void RegisterRun(Command app);
void RegisterGenerate(Command app);
void RegisterChat(Command app);
void RegisterEvaluate(Command app);
void RegisterBench(Command app);
void RegisterReport(Command app);
void RegisterWatch(Command app);
void RegisterConvert(Command app);
void RegisterServe(Command app);

}  // namespace darkhorse
