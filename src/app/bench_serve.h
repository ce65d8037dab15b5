// `darkhorse bench serve`: how fast a server answers many clients, and whether it answers them
// right.
#pragma once

#include <string>

#include "app/command.h"
#include "app/serve_load.h"

namespace darkhorse {

void RegisterBenchServe(Command bench);

// "64", or "16:128" for 16 to 128. UsageError naming the flag.
LengthRange ParseLengthRange(const std::string& text, const std::string& flag);

}  // namespace darkhorse
