// Turning a wrong command line into one line that names the cure.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/fields.h"
#include "infer/sampler.h"

namespace darkhorse {

// What is wrong with the command line that `app` failed to parse; for an unknown flag or subcommand
// the nearest known one.
std::string ExplainUsage(const CLI::App& app, const CLI::ParseError& error);

// The largest number of sequences at once that a flag takes.
inline constexpr int64_t kMaxBatch = int64_t{1} << 16;

// What a flag that counts something takes: 1 to `high`.
inline CLI::Range UpTo(int64_t high) { return CLI::Range(int64_t{1}, high); }

// --temperature, --top-k, --top-p and --min-p.
void AddSamplingFlags(CLI::App& command, SamplingParams* sampling);

// One flag for each field of a config struct, "--max-tokens" for max_tokens, with its help and
// default. The struct must live as long as `command`.
void AddFieldFlags(CLI::App& command, const FieldList& fields);

}  // namespace darkhorse
