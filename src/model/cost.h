// What a model costs, counted from its configuration: floating-point operations and bytes.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace darkhorse {

// Matrix products and attention of one token's forward pass; a multiply-add counts 2. `context`:
// tokens that the token attends to, itself included (a document of n tokens has a mean of
// (n + 1) / 2). with_mtp: the multi-token-prediction modules too, as in training. The backward pass
// costs twice as much again.
double ForwardFlopsPerToken(const ModelConfig& config, double context, bool with_mtp);

inline double TrainingFlopsPerToken(const ModelConfig& config, double context) {
  return 3 * ForwardFlopsPerToken(config, context, /*with_mtp=*/true);
}

// Bytes of the weight matrices that a forward pass of `rows` tokens reads from memory, each once:
// all but the embedding table; of the experts the share 1 - (1 - k/E)^rows that the tokens visit
// where their choices are independent.
double WeightBytesRead(const ModelConfig& config, int64_t rows);

// Bytes that one token of context occupies in each form of the key/value cache (model/kv_cache.h).
int64_t LatentCacheBytesPerToken(const ModelConfig& config);
int64_t ExpandedCacheBytesPerToken(const ModelConfig& config);

// Memory of training, in bytes.
struct TrainingMemory {
  int64_t weights, gradients, moments;
  int64_t activations;  // what LossForwardBackward takes from its arena at the peak
  int64_t total() const { return weights + gradients + moments + activations; }
};

// For micro-batches of `rows` tokens. Not counted: the optimizer's scratch for one matrix a thread,
// the memory-mapped shards, the program itself.
TrainingMemory EstimateTrainingMemory(const ModelConfig& config, int64_t rows);

}  // namespace darkhorse
