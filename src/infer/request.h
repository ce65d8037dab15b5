// What is asked of an engine, and what comes of it: token ids and their log-probabilities.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "infer/prompt_told.h"
#include "infer/sampler.h"
#include "infer/thought_budget.h"
#include "infer/token_mask.h"

namespace darkhorse {

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  int32_t adapter = 0;          // of those that the weights have (Segment::adapter)
  int64_t samples = 1;          // completions of this prompt
  int64_t max_tokens = 256;     // per completion; less where the cache's capacity ends first
  SamplingParams sampling;
  uint64_t seed = 0;
  // With seed names the random numbers: token n of sample i is drawn at (seed, stream + i, n).
  uint64_t stream = 0;
  std::vector<int32_t> stop_tokens;  // generation ends with (and includes) any of these
  // Tokens that are never drawn, such as ids without a text; null: none. Each token's logp is still
  // of the model's whole distribution.
  std::shared_ptr<const std::vector<int32_t>> never;
  // Added to these tokens' logits before anything else of sampling. Their logp too stays the
  // model's.
  std::vector<std::pair<int32_t, float>> logit_bias;
  int64_t top_logp =
      0;  // how many of the most probable tokens a completion tells at each of its own
  // What the first sample tells of the prompt, all of which is computed for it, whatever is there
  // already. With this, and max_tokens 0, the prompt is all that is computed.
  PromptWish of_prompt;
  // What a completion must be; null: anything. Tokens that cannot come next are never drawn, and a
  // stop token is drawn where the completion may end, and only there.
  std::shared_ptr<const TokenConstraint> constraint;
  // How long it may think; none: as long as it likes. Tokens that end a thought then are the
  // completion's like others, and their logp the model's.
  std::optional<ThoughtBudget> thought;
};

// Gives each request random numbers of its own: streams first, first + 1, … in the order of the
// requests, one per sample.
void SeparateStreams(std::vector<GenerationRequest>& requests, uint64_t first = 0);

using RequestId = size_t;

enum class FinishReason { kStop, kLength, kCancelled };

struct Completion {
  RequestId request = 0;  // what Submit returned; in Generate the index of the request
  int64_t sample = 0;     // 0 … samples-1
  std::vector<int32_t> tokens;
  std::vector<float>
      logp;  // of each token under the model's own distribution (temperature 1, nothing cut)
  std::vector<std::vector<TokenLogp>>
      top;             // of each token, where asked for; the most probable first
  int64_t cached = 0;  // tokens of the prompt that others had computed
  PromptTold prompt;   // where asked for, of the first sample
  // A completion that its last token ended is kStop or kLength, whatever the callback said of it.
  FinishReason finish = FinishReason::kLength;
};

}  // namespace darkhorse
