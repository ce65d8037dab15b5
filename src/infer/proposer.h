// Guesses of the tokens that sequences go on with. An engine computes guessed tokens as further
// rows of the pass in which it computes the last one, and keeps those that its own sampler draws in
// their place (engine.h). So a guess changes no token, only how many passes they take.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "infer/request.h"
#include "model/batch.h"

namespace darkhorse {

// Of one sequence: what is known of it, and the guess to be written.
struct Proposal {
  const GenerationRequest* request;
  int64_t sample;
  const std::vector<int32_t>* completion;  // at least one token; what is guessed comes behind them
  int64_t slot;
  int64_t most;                      // how many are wanted at most, at least 1
  std::vector<int32_t> tokens = {};  // the guess: none where there is no idea
};

class Proposer {
 public:
  virtual ~Proposer() = default;

  // Writes the tokens of each.
  virtual void Propose(std::span<Proposal> proposals) = 0;
  // What each token of a guess costs, of a pass of the model that computes one row. 0: next to
  // nothing, so that a guess may be made only to see how good it is.
  virtual double cost() const { return 0; }

  // For those who guess from the model's own states. A sequence has begun in `slot`, with the first
  // `tokens` positions of what lies in `from`, which may be the same slot; from is -1 where there
  // are none.
  virtual void Begun(int64_t /*slot*/, int64_t /*from*/, int64_t /*tokens*/) {}
  // The next positions of a slot have been computed, the first of them `position`: their hidden
  // states after the final norm, [n, hidden], and the token behind each.
  virtual void Computed(int64_t /*slot*/, int64_t /*position*/, ConstMatrix /*hidden*/,
                        std::span<const int32_t> /*next*/) {}

  // The most tokens that a guess may have.
  static constexpr int64_t kMost = 8;
};

}  // namespace darkhorse
