// What `darkhorse info` says of a published model's files before anything is loaded.
#pragma once

#include <string>

#include "app/output.h"
#include "model/config.h"

namespace darkhorse {

// Its formats by share, what it takes in memory with a context of `context` tokens (0:
// kStandardContext, or its longest), how fast this machine should run it, and, unless
// micro_batch_tokens is 0, what training it takes.
Json DescribeModelFiles(const std::string& path, int64_t context, int64_t micro_batch_tokens);

// In f32, so many tokens at once; `total_least` is with moments in bf16 and activations computed
// again.
Json DescribeTrainingMemory(const ModelConfig& config, int64_t micro_batch_tokens);

}  // namespace darkhorse
