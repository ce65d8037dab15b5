// Batches for training and evaluation: a pure function of (seed, position), so that a resumed run
// needs nothing but its step.
//
// An epoch is all documents of the shard laid end to end, in an order drawn from (seed, epoch);
// epochs follow each other. This endless stream of tokens is cut into sequences of sequence_length
// tokens, and a batch is some consecutive sequences. So every token comes once per epoch, no row is
// padding, and a document is split only where a sequence ends. Attention stays inside a document:
// long sequences of short documents therefore cost no more than short sequences, and split fewer
// documents.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "data/shard.h"

namespace darkhorse {

struct LoaderOptions {
  uint64_t seed = 0;
  int64_t sequence_length = 512;
  bool cross_documents = false;
  bool shuffle = true;  // false: the shard's order
  bool repeat = true;   // false: the stream ends after one epoch, as evaluation wants it
};

// Rows of the batch that attend to each other: consecutive tokens of one document.
struct BatchSegment {
  int64_t row = 0;
  int64_t rows = 0;
};

// T rows, one per token.
struct TrainBatch {
  std::vector<int32_t> tokens;         // [T]
  std::vector<int32_t> targets;        // [T] the next token of the document; 0 where there is none
  std::vector<float> weights;          // [T] 1, or 0 where there is no target
  std::vector<BatchSegment> segments;  // cover the rows in order
  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

class Loader {
 public:
  // The shard must outlive the loader. UsageError: sequence_length < 1. Error: a shard without
  // tokens.
  Loader(const TokenShard& shard, const std::string& shard_name, const LoaderOptions& options);

  // Sequences [first, first + count) of the stream. Where the end of a sequence cuts a document,
  // either side is a segment, and the last token before the cut still has its target. With
  // cross_documents every sequence is one segment, and the last token of a document has the first
  // token of the next document as its target. Without `repeat` the batch ends with the epoch: it
  // may be short, or empty. Safe to call from many threads.
  TrainBatch Sequences(int64_t first, int64_t count) const;

  // How many sequences hold every token once; the last of them may reach into the next epoch.
  int64_t sequences_per_epoch() const;

 private:
  struct Epoch {
    int64_t number;
    std::vector<int64_t> order;   // [documents] the shard's numbers in the order of the epoch
    std::vector<int64_t> begins;  // [documents + 1] where they begin in the epoch
  };
  std::shared_ptr<const Epoch> GetEpoch(int64_t number) const;
  std::shared_ptr<const Epoch> MakeEpoch(int64_t number) const;
  int32_t TokenAt(int64_t position) const;
  void AppendPiece(const Epoch& epoch, int64_t index, int64_t begin, int64_t count,
                   TrainBatch* batch) const;
  void AppendSequence(int64_t begin, int64_t end, TrainBatch* batch) const;

  const TokenShard& shard_;
  LoaderOptions options_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Epoch>> epochs_;  // the last two used
};

}  // namespace darkhorse
