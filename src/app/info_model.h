// What `darkhorse info` says of a published model's files before anything is loaded.
#pragma once

#include <string>

#include "app/output.h"

namespace darkhorse {

// Its formats by share, what it takes in memory with a context of `context` tokens (0: its longest,
// 8192 at most), and how fast this machine should run it.
Json DescribeModelFiles(const std::string& path, int64_t context);

}  // namespace darkhorse
