// Generation with continuous batching: token ids in, token ids out. Sequences of unequal length
// share each step; one that ends frees its slot for the next at once. A prompt that several samples
// share is computed once, as long as one of them is in a slot when the next takes its own. The
// engine knows nothing of text.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/arena.h"
#include "infer/sampler.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace darkhorse {

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  int64_t samples = 1;          // completions of this prompt
  int64_t max_tokens = 256;     // per completion; less where the cache's capacity ends first
  SamplingParams sampling;
  uint64_t seed = 0;
  uint64_t stream =
      0;  // with seed names the random numbers: sample i draws from (seed, stream + i, position)
  std::vector<int32_t> stop_tokens;  // generation ends with (and includes) any of these
};

enum class FinishReason { kStop, kLength, kCancelled };

struct Completion {
  size_t request = 0;  // index of the request
  int64_t sample = 0;  // 0 … samples-1
  std::vector<int32_t> tokens;
  std::vector<float>
      logp;  // of each token under the model's own distribution (temperature 1, nothing cut)
  FinishReason finish = FinishReason::kLength;
};

// Called after each token of any completion; returning false cancels that completion.
// What it throws leaves the engine usable. Null: none.
using TokenCallback = std::function<bool(const Completion& so_far)>;

// One forward pass: what a roofline needs to know of it.
struct EngineStep {
  int64_t rows = 0;      // tokens computed
  int64_t sampled = 0;   // of them, those that a token was sampled from
  int64_t attended = 0;  // tokens that they attended to, themselves included, summed over rows
  int64_t cached = 0;    // tokens of cache read, each once a sequence
};

// Operations of a pass: the products and attention of its rows, the head of those sampled from. A
// multiply-add counts 2; decoding from latents takes more than this counts.
double Flops(const ModelCost& cost, const EngineStep& step);

// How much a Generate call did.
struct GenerationStats {
  std::vector<EngineStep> steps;
  int64_t prompt_tokens = 0;  // rows computed for prompts
  int64_t generated_tokens = 0;
  int64_t shared_tokens = 0;  // prompt rows copied instead of computed
};

class Engine {
 public:
  // slots: sequences at once. capacity: tokens of a sequence, prompt included. The weights may be
  // packed (infer/packed.h). prefill_rows: prompt rows computed in one step beside the decoding
  // ones.
  Engine(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
         int64_t capacity, int64_t prefill_rows = 1024);

  // All completions, ordered by request, then sample. The bits of one depend on its request and
  // sample alone, and with a latent cache on prefill_rows: not on the other requests, the slots or
  // the threads. Error: an empty prompt, one beyond the capacity, a token outside the vocabulary.
  std::vector<Completion> Generate(const std::vector<GenerationRequest>& requests,
                                   const TokenCallback& on_token = {});

  ~Engine();

  const GenerationStats& stats() const { return stats_; }

 private:
  struct Sequence;
  void Admit(const std::vector<GenerationRequest>& requests, std::vector<Sequence>& pending);
  int64_t PromptChunk(int64_t left, int64_t room) const;
  TokenBatch PlanStep(const std::vector<GenerationRequest>& requests,
                      std::vector<Sequence*>& sampled);
  void SampleStep(const std::vector<GenerationRequest>& requests,
                  const std::vector<Sequence*>& sampled, ConstMatrix hidden,
                  const TokenCallback& on_token);

  const Transformer& model_;
  const ModelWeights& weights_;
  KvCache cache_;
  int64_t prefill_rows_;
  Arena arena_;
  std::vector<Sequence> running_;
  std::vector<int64_t> free_slots_;
  GenerationStats stats_;
};

}  // namespace darkhorse
