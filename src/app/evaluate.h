// What `darkhorse evaluate` prints of a loss.
#pragma once

#include <string>

#include "app/output.h"
#include "train/evaluate.h"

namespace darkhorse {

// Of the shard at `path`: nats per token, e to that power, and how many tokens were counted.
Json DescribeLoss(const std::string& path, const EvaluationLoss& loss);

}  // namespace darkhorse
