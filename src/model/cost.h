// What a model costs, counted from its configuration: floating-point operations and bytes.
#pragma once

#include <cstdint>

#include "kernel/weight.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace darkhorse {

// What a forward pass leaves for the backward pass: all that a layer's gradients read, or of a
// layer only its input and whom its router chose, from which the backward pass computes the rest
// again (a third more work for a fraction of the memory; the bits are the same).
enum class Activations { kKept, kRecomputed };

// Memory of training, in bytes.
struct TrainingMemory {
  int64_t weights, gradients, moments;
  int64_t activations;  // what LossForwardBackward takes from its arena at the peak
  int64_t packed;       // the weights as products read them, where the format packs them
  int64_t total() const { return weights + gradients + moments + activations + packed; }
};

// Counted once, when it is made; asked as often as one likes.
class ModelCost {
 public:
  // Error as ParamLayout's: a config that is not valid, or beyond any model's size.
  explicit ModelCost(const ModelConfig& config);

  // Parameters, without padding and without router biases; and those that act on one token, which
  // leaves out the experts that it does not visit.
  int64_t parameters() const { return parameters_; }
  int64_t active_parameters() const { return active_parameters_; }

  // Bytes of the parameters as they lie in memory, padding included.
  int64_t WeightBytes() const;

  // Operations of one token's forward pass through the main model: matrix products, the head's
  // among them, and attention; a multiply-add counts 2. `context`: tokens that the token attends
  // to, itself included (the mean over a document of n tokens is (n + 1) / 2).
  double ForwardFlopsPerToken(double context) const;
  // Operations of the head alone.
  double HeadFlopsPerToken() const { return 2 * head_; }
  // The same of training: forward and backward, which costs twice as much again, through the
  // multi-token-prediction modules too.
  double TrainingFlopsPerToken(double context) const;

  // Bytes of the weight matrices that a forward pass of `rows` tokens reads from memory, each once:
  // all but the embedding table; of the experts the share 1 - (1 - k/E)^rows that the tokens visit
  // where their choices are independent.
  // In the format that they are packed in, the padding of small ones not counted.
  double WeightBytesRead(int64_t rows, Format format = Format::kF32) const;

  // Bytes that one token of context occupies in the key/value cache.
  int64_t CacheBytesPerToken(CacheForm form, Format format = Format::kF32) const;

  // Training in micro-batches of `rows` tokens, products in `format`, the optimizer's moments in
  // `moments`: f32 or bf16. Not counted: the optimizer's scratch for one matrix per thread, the
  // memory-mapped shards, the program itself.
  TrainingMemory Training(int64_t rows, Format format = Format::kF32,
                          Activations activations = Activations::kKept,
                          Format moments = Format::kF32) const;
  // Bytes of the weights packed for the forward pass alone: what sampling reads.
  int64_t PackedBytes(Format format) const;

 private:
  // Floats of the matrices of some layers, the head's not among them.
  struct Matrices {
    double always = 0;  // that every token is multiplied with
    double routed = 0;  // of all routed experts
    // Floats touched where the share `visited` of the routed experts is.
    double Touched(double visited) const { return always + (routed > 0 ? visited * routed : 0); }
  };
  double VisitedShare() const;  // of the routed experts, by one token

  ModelConfig config_;
  Matrices main_, modules_;  // of the main model's layers, of the multi-token-prediction modules
  double head_ = 0;          // floats of the output head
  int64_t parameters_ = 0, active_parameters_ = 0;
  int64_t buffer_floats_;  // of a ParamLayout's buffer
};

}  // namespace darkhorse
