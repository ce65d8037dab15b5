// Generation with continuous batching: token ids in, token ids out. Sequences of unequal length
// share each step; one that ends frees its slot for the next at once. A prompt that several samples
// share is computed once, as long as one of them is in a slot when the next takes its own; an
// engine that remembers computes no beginning of a prompt again that any slot still holds. The
// engine knows nothing of text.
//
// Two ways to use it. Generate answers a list of requests and returns. Submit, Step and Cancel
// serve requests that come and go: each Step is one forward pass for all that are in a slot.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "infer/sampler.h"
#include "infer/token_mask.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace darkhorse {

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
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
  // What a completion must be; null: anything. Tokens that cannot come next are never drawn, and a
  // stop token is drawn where the completion may end, and only there.
  std::shared_ptr<const TokenConstraint> constraint;
};

// Gives each request random numbers of its own: streams first, first + 1, … in the order of the
// requests, one per sample.
void SeparateStreams(std::vector<GenerationRequest>& requests, uint64_t first = 0);

using RequestId = size_t;

// A token and its log-probability under the model's own distribution.
struct TokenLogp {
  int32_t token;
  float logp;
  bool operator==(const TokenLogp&) const = default;
};

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
  // A completion that its last token ended is kStop or kLength, whatever the callback said of it.
  FinishReason finish = FinishReason::kLength;
};

// One forward pass, or the sum of several: what a roofline needs to know of it.
struct EngineStep {
  int64_t rows = 0;      // tokens computed
  int64_t sampled = 0;   // of them, those that a token was sampled from
  int64_t attended = 0;  // tokens that they attended to, themselves included, summed over rows
  int64_t cached = 0;    // tokens of cache read, each once per sequence

  EngineStep& operator+=(const EngineStep& other);
};

// Operations of a pass, or of several: the products and attention of its rows, the head of those
// sampled from. A multiply-add counts 2; decoding from latents takes more than this counts.
double Flops(const ModelCost& cost, const EngineStep& step);

// Called after each token of any completion; returning false cancels that completion.
using TokenCallback = std::function<bool(const Completion& so_far)>;
// Called once per completion, when it has ended.
using FinishedCallback = std::function<void(Completion)>;
// Called once per forward pass, before the callbacks of its tokens.
using StepCallback = std::function<void(const EngineStep&)>;

// Who hears of what a step does; any may be null. They may Submit and Cancel, but not Step.
struct EngineSink {
  TokenCallback on_token;
  FinishedCallback on_finished;
  StepCallback on_step;
};

// How much an engine has done since it was made.
struct GenerationStats {
  EngineStep work;            // summed over the passes
  int64_t prompt_tokens = 0;  // rows computed for prompts
  int64_t generated_tokens = 0;
  int64_t shared_tokens = 0;  // prompt rows that were there already
};

// How large an engine has to be. Slots for so many requests of `samples` each, of which `most` may
// run at once:
inline int64_t SlotsFor(int64_t requests, int64_t samples, int64_t most) {
  return std::min(most, requests * samples);
}
// The capacity that leaves a completion of the longest prompt its max_tokens, or what the model's
// context has left of them; max_tokens may be anything.
inline int64_t CapacityFor(int64_t longest_prompt, int64_t max_tokens, int64_t context) {
  return longest_prompt + std::min(max_tokens, context - longest_prompt);
}

class Engine {
 public:
  // slots: sequences at once. capacity: tokens of a sequence, prompt included. The weights may be
  // packed (model/packed_weights.h). prefill_rows: prompt rows computed in one step beside the
  // decoding ones. remember: what a slot holds stays when its sequence has ended, until another
  // needs the slot, and serves prompts that begin alike; the weights must never change.
  Engine(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
         int64_t capacity, int64_t prefill_rows = 1024, bool remember = false);
  ~Engine();

  // The bits of a completion depend on its request and sample alone, and with a latent cache on
  // prefill_rows: not on the other requests, their order, what is cancelled, what is remembered,
  // the slots or the threads.

  // Error: what Submit would say of this request. Any thread may ask, while another steps.
  void Check(const GenerationRequest& request) const { Check(request, "the prompt"); }

  // Queues a request behind those that wait. Its completions, as many as it has samples, come to
  // the sinks of later Steps. Error: an empty prompt, one beyond the capacity, a token outside the
  // vocabulary, a constraint without a token to stop with; UsageError: impossible sampling.
  RequestId Submit(GenerationRequest request);

  // One forward pass: admits what waits into free slots, computes the next rows of every sequence,
  // samples. Returns whether work remains. What a callback throws passes through; it has then heard
  // of that token or completion, and the next Step tells the rest. An Error of the pass itself
  // leaves everything as it was before.
  bool Step(const EngineSink& sink);

  // Ends a request: the sinks hear nothing more of it, its slots are free for the next Step. False
  // where all its completions have been handed out, or none was ever asked for.
  bool Cancel(RequestId id);

  // Whether nothing waits, runs or is still to be handed out.
  bool idle() const;
  // Completions that are in a slot.
  int64_t running() const;

  // All completions, ordered by request, then sample: submits all and steps until idle. The engine
  // must be idle, and its callbacks may neither Submit nor Cancel. Errors as Submit's, naming the
  // request. What a callback throws cancels all of them and leaves the engine idle.
  std::vector<Completion> Generate(const std::vector<GenerationRequest>& requests,
                                   const TokenCallback& on_token = {},
                                   const StepCallback& on_step = {});

  const ModelConfig& config() const { return model_.config(); }
  const GenerationStats& stats() const { return stats_; }

 private:
  struct Request;
  struct Sequence;
  struct Planned;
  struct Ended;
  void Check(const GenerationRequest& request, const std::string& name) const;
  void Enqueue(GenerationRequest request, RequestId id, RequestId name);
  struct Source;
  void Admit();
  void Begin(const std::shared_ptr<Request>& request, const Source& source);
  Source LongestCommon(const std::vector<int32_t>& prompt) const;
  int64_t Shareable(int64_t computed, int64_t prompt) const;
  void Remember(const Sequence& sequence);
  std::vector<int64_t> PromptRows() const;
  TokenBatch PlanStep(std::vector<Planned>& plan);
  void SampleStep(std::vector<Planned>& plan, ConstMatrix hidden);
  EngineStep Commit(std::vector<Planned>& plan);
  void Deliver(const EngineSink& sink);
  void FreeEnded();

  const Transformer& model_;
  const ModelWeights& weights_;
  KvCache cache_;
  int64_t prefill_rows_;
  bool remember_;
  Arena arena_;
  RequestId next_id_ = 0;
  bool stepping_ = false, generating_ = false;
  std::deque<std::shared_ptr<Request>> waiting_;  // those with samples that had no slot yet
  std::vector<Sequence> running_;                 // one per slot in use, in order of admission
  std::vector<int64_t> free_slots_;               // the one freed last at the end
  // By slot: of those that are free, the tokens that another sequence may begin with.
  std::vector<std::vector<int32_t>> held_;
  std::deque<Ended> ended_;  // completions to hand out
  GenerationStats stats_;
};

}  // namespace darkhorse
