// Guesses from the text itself: what followed the last time that its last tokens stood there
// (Saxena 2023, prompt lookup decoding). Good where an answer repeats its prompt or itself: code
// that is changed, a text that is summarized, a table.
#pragma once

#include "infer/proposer.h"

namespace darkhorse {

// At most `most` tokens that may follow `text`, vocabulary ids: those that followed the place where
// the longest end of the text, of kShortestMatch to kLongestMatch tokens, stands a second time, of
// several the last one. As many as match: a longer match tells more. Where the text ends within
// them, they go on with themselves.
std::vector<int32_t> LookUp(std::span<const int32_t> text, int64_t most);
inline constexpr int64_t kShortestMatch = 2, kLongestMatch = 16;

class LookUpProposer : public Proposer {
 public:
  void Propose(std::span<Proposal> proposals) override;
};

}  // namespace darkhorse
