// Flags that several commands share.
#pragma once

#include "app/command.h"
#include "base/fields.h"
#include "infer/sampler.h"

namespace darkhorse {

// The largest number of sequences at once that a flag takes.
inline constexpr int64_t kMaxBatch = int64_t{1} << 16;

// --json, which sets *json.
void AddJsonFlag(Command command, bool* json);

// --temperature, --top-k, --top-p and --min-p.
void AddSamplingFlags(Command command, SamplingParams* sampling);

// One flag for each field of a config struct, "--max-tokens" for max_tokens, with its help and
// default. The struct must live until the command has run.
void AddFieldFlags(Command command, const FieldList& fields);

}  // namespace darkhorse
