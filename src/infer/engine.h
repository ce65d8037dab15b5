// Generation with continuous batching: token ids in, token ids out. Sequences of unequal length
// share each step; one that ends frees its slot for the next at once. A prompt that several samples
// share is computed once, as long as one of them is in a slot when the next takes its own; an
// engine that remembers computes no beginning of a prompt again that any slot still holds. The
// engine knows nothing of text.
//
// With a proposer a pass has, of each sequence that decodes, guessed tokens as further rows. A
// token is drawn behind each of these rows in order, exactly as it would be had the sequence come
// to it token by token, until one is not the guess of the next row. So guesses change no bit of
// what is generated, and spare a pass where they are right.
//
// Two ways to use it. Generate answers a list of requests and returns. Submit, Step and Cancel
// serve requests that come and go: each Step is one forward pass for all that are in a slot.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "infer/cache_budget.h"
#include "infer/proposer.h"
#include "infer/request.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace darkhorse {

// One forward pass, or the sum of several: what a roofline needs to know of it.
struct EngineStep {
  int64_t rows = 0;      // tokens computed
  int64_t sampled = 0;   // of them, those that a token could be sampled from
  int64_t attended = 0;  // tokens that they attended to, themselves included, summed over rows
  int64_t cached = 0;    // tokens of cache read, each once per sequence
  int64_t guessed = 0;   // of the rows, those of guessed tokens,
  int64_t accepted = 0;  // and of those, which were right

  EngineStep& operator+=(const EngineStep& other);
};

// Operations of a pass, or of several: the products and attention of its rows, the head of those
// sampled from. A multiply-add counts 2; decoding from latents takes more than this counts.
double Flops(const ModelCost& cost, const EngineStep& step);

// Called after each token of any completion; returning false cancels that completion.
using TokenCallback = std::function<bool(const Completion& so_far)>;
// Called once per completion, when it has ended.
using FinishedCallback = std::function<void(Completion)>;
// The same, of one that is kept.
using EndedCallback = std::function<void(const Completion&)>;
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
  int64_t preempted = 0;      // times that a sequence gave way, to be computed again
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

// How large an engine is, and what it keeps.
struct EngineOptions {
  CacheForm form = CacheForm::kExpanded;
  int64_t slots = 1;            // sequences at once
  int64_t capacity = 1;         // tokens of a sequence, prompt included
  int64_t prefill_rows = 1024;  // rows of prompts computed in one step beside the decoding ones
  // What a slot holds stays when its sequence has ended, until another needs the slot, and serves
  // prompts that begin alike; the weights must never change.
  bool remember = false;
  // What all slots may hold together, at least the capacity; 0: no limit. Where they would hold
  // more, what is remembered goes first; then the sequence admitted last gives way, and is computed
  // again once there is room.
  int64_t cache_tokens = 0;
};

class Engine {
 public:
  // The weights may be packed (model/packed_weights.h). proposer: null: one token of each sequence
  // in a step.
  Engine(const Transformer& model, const ModelWeights& weights, const EngineOptions& options,
         std::unique_ptr<Proposer> proposer = nullptr);
  ~Engine();

  // The bits of a completion depend on its request and sample alone, and with a latent cache on
  // prefill_rows: not on the other requests, their order, what is cancelled, what is remembered,
  // what gave way, the slots, the threads or the proposer.

  // Error: what Submit would say of this request. Any thread may ask, while another steps.
  void Check(const GenerationRequest& request) const { Check(request, "the prompt"); }

  // Queues a request behind those of its party that wait. Its completions, as many as it has
  // samples, come to the sinks of later Steps. Parties take turns: a slot goes to the one that has
  // the fewest, of several to the one that has waited longest for one. Error: an empty prompt, one
  // beyond the capacity, a token outside the vocabulary, a constraint without a token to stop with;
  // UsageError: impossible sampling.
  RequestId Submit(GenerationRequest request, uint64_t party = 0);

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
                                   const StepCallback& on_step = {},
                                   const EndedCallback& on_ended = {});

  const ModelConfig& config() const { return model_.config(); }
  const GenerationStats& stats() const { return stats_; }

 private:
  struct Request;
  struct Party;
  struct Sequence;
  struct Planned;
  struct Ended;
  // Two that are computed alike have the same bits where they have the same tokens.
  struct Computed {
    int32_t adapter = 0;
    int64_t first_chunk = 0;  // FirstChunk of their prompts
    bool operator==(const Computed&) const = default;
  };
  void Check(const GenerationRequest& request, const std::string& name) const;
  int64_t Room() const;  // tokens that a prompt and its completion may have together
  int64_t Longest(const GenerationRequest& request) const;  // of those, with this one
  void Enqueue(GenerationRequest request, RequestId id, RequestId name, uint64_t party);
  struct Source;
  void Admit();
  std::map<uint64_t, Party>::iterator NextParty();
  bool Begin(const std::shared_ptr<Request>& request, Source source);
  bool Resume();
  int64_t TakeSlot(Source* source, int64_t tokens);
  void ReleaseSlot(int64_t slot);
  bool MakeRoom(int64_t pages, int64_t spared, int64_t also_spared);
  void MakeRoomToGrow();
  void GiveWay();
  Source LongestCommon(std::span<const int32_t> tokens, int64_t prompt, int32_t adapter) const;
  int64_t FirstChunk(int64_t prompt) const;
  Computed HowComputed(const Sequence& sequence) const;
  void Remember(const Sequence& sequence);
  std::vector<int64_t> PromptRows() const;
  void Guess(std::vector<int64_t>& rows, std::vector<std::vector<int32_t>>& guesses) const;
  TokenBatch PlanStep(std::vector<Planned>& plan);
  void ReadPrompts(std::vector<Planned>& plan, ConstMatrix hidden);
  void DrawRows(Planned& planned, ConstMatrix logits, Matrix scratch) const;
  void DrawStep(std::vector<Planned>& plan, ConstMatrix hidden);
  EngineStep Commit(std::vector<Planned>& plan, ConstMatrix hidden);
  void TellProposer(const Planned& planned, int64_t kept, ConstMatrix hidden) const;
  void TellNext(Sequence& sequence, const EngineSink& sink);
  void Deliver(const EngineSink& sink);
  void FreeEnded();

  const Transformer& model_;
  const ModelWeights& weights_;
  KvCache cache_;
  CacheBudget budget_;
  int64_t prefill_rows_;
  bool remember_;
  std::unique_ptr<Proposer> proposer_;  // null: nothing is guessed
  Arena arena_;
  RequestId next_id_ = 0;
  bool stepping_ = false, generating_ = false;
  std::map<uint64_t, Party> waiting_;  // those that wait for a slot
  uint64_t next_turn_ = 0;
  std::vector<Sequence> running_;    // one per slot in use, in order of admission
  std::deque<Sequence> gave_way_;    // in order of admission
  std::vector<int64_t> free_slots_;  // the one freed last at the end
  // By slot: of those that are free, the tokens that another sequence may begin with.
  std::vector<std::vector<int32_t>> held_;
  std::vector<Computed> held_how_;
  std::deque<Ended> ended_;  // completions to hand out
  GenerationStats stats_;
};

}  // namespace darkhorse
