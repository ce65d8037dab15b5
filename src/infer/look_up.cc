#include "infer/look_up.h"

#include <algorithm>

#include "base/parallel.h"

namespace darkhorse {

std::vector<int32_t> LookUp(std::span<const int32_t> text, int64_t most) {
  const auto size = static_cast<int64_t>(text.size());
  const auto at = [&](int64_t i) { return text[static_cast<size_t>(i)]; };
  int64_t longest = kShortestMatch - 1, behind = 0;  // of the best match so far
  for (int64_t end = size - 1; end > longest && longest < kLongestMatch; --end) {
    // How many tokens before `end` are the text's last ones.
    const int64_t bound = std::min(end, kLongestMatch);
    int64_t match = 0;
    while (match < bound && at(end - 1 - match) == at(size - 1 - match)) ++match;
    if (match > longest) longest = match, behind = end;
  }
  std::vector<int32_t> guess;
  if (behind == 0) return guess;
  const int64_t count = std::min(most, longest);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = behind + i;
    guess.push_back(from < size ? at(from) : guess[static_cast<size_t>(from - size)]);
  }
  return guess;
}

void LookUpProposer::Propose(std::span<Proposal> proposals) {
  ParallelFor(static_cast<int64_t>(proposals.size()), [&](int64_t i) {
    Proposal& proposal = proposals[static_cast<size_t>(i)];
    std::vector<int32_t> text = proposal.request->prompt;
    text.insert(text.end(), proposal.completion->begin(), proposal.completion->end());
    proposal.tokens = LookUp(text, proposal.most);
  });
}

}  // namespace darkhorse
