// The `darkhorse` command: one file a subcommand, each of which registers itself here. Only this
// folder prints and exits: results on stdout, progress and notes on stderr, exit code 2 for usage
// errors and 1 for all others.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace darkhorse {

// As it was called.
const std::string& ProgramName();

void RegisterTokenizer(CLI::App& app);
void RegisterData(CLI::App& app);
void RegisterTask(CLI::App& app);
void RegisterInfo(CLI::App& app);
void RegisterPretrain(CLI::App& app);
void RegisterReinforce(CLI::App& app);
void RegisterRun(CLI::App& app);
void RegisterGenerate(CLI::App& app);
void RegisterChat(CLI::App& app);
void RegisterEvaluate(CLI::App& app);
void RegisterBench(CLI::App& app);
void RegisterReport(CLI::App& app);

}  // namespace darkhorse
