// Rows that are computed at once, and what each is to predict.
#pragma once

#include <cstdint>
#include <vector>

#include "model/batch.h"

namespace darkhorse {

struct MicroBatch {
  TokenBatch batch;
  std::vector<int32_t> target;  // [T] next token, -1: none
  std::vector<float> weight;    // [T] in the loss; 1 for each target of a mean over tokens
};

}  // namespace darkhorse
