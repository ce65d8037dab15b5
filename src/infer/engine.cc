#include "infer/engine.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "infer/engine_state.h"
#include "model/attention.h"
#include "model/cost.h"

namespace darkhorse {

EngineStep& EngineStep::operator+=(const EngineStep& other) {
  rows += other.rows;
  sampled += other.sampled;
  attended += other.attended;
  cached += other.cached;
  guessed += other.guessed;
  accepted += other.accepted;
  return *this;
}

double Flops(const ModelCost& cost, const EngineStep& step) {
  if (step.rows == 0) return 0;
  const auto rows = static_cast<double>(step.rows);
  const double context = static_cast<double>(step.attended) / rows;
  return rows * cost.ForwardFlopsPerToken(context) -
         static_cast<double>(step.rows - step.sampled) * cost.HeadFlopsPerToken();
}

Engine::Engine(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
               int64_t capacity, int64_t prefill_rows, bool remember,
               std::unique_ptr<Proposer> proposer, int64_t cache_tokens)
    : model_(model),
      weights_(weights),
      cache_(model.config(), form, slots, capacity, AttentionFormat(weights.layers.front()),
             cache_tokens),
      budget_(slots, capacity, cache_tokens),
      prefill_rows_(prefill_rows),
      remember_(remember),
      proposer_(std::move(proposer)),
      held_(static_cast<size_t>(slots)),
      held_adapter_(static_cast<size_t>(slots)) {
  CHECK(prefill_rows >= 1);
  running_.reserve(static_cast<size_t>(slots));  // a plan points into it
  for (int64_t slot = slots; slot-- > 0;) free_slots_.push_back(slot);
}

Engine::~Engine() = default;

int64_t Engine::Room() const {
  return std::min(cache_.capacity(), model_.config().max_position_embeddings);
}

int64_t Engine::Longest(const GenerationRequest& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  return prompt + std::min(request.max_tokens, Room() - prompt);
}

void Engine::Check(const GenerationRequest& request, const std::string& name) const {
  Validate(request.sampling);
  if (request.prompt.empty())
    Fail("{}: it has no tokens; give at least one (a beginning-of-sentence token will do)", name);
  const int64_t room_to_begin = Room() - (request.max_tokens > 0 ? 1 : 0);
  if (static_cast<int64_t>(request.prompt.size()) > room_to_begin) {
    Fail("{}: it has {} tokens, but prompt and completion together may have {}; shorten it", name,
         request.prompt.size(), Room());
  }
  for (const int32_t token : request.prompt) {
    if (token >= 0 && token < model_.config().vocab_size) continue;
    Fail("{}: token id {} is outside the model's vocabulary of {}; use the model's own tokenizer",
         name, token, model_.config().vocab_size);
  }
  for (const auto& [token, bias] : request.logit_bias) {
    if (token >= 0 && token < model_.config().vocab_size) continue;
    Fail("logit_bias: token id {} is outside the model's vocabulary of {}", token,
         model_.config().vocab_size);
  }
  if (request.constraint && request.stop_tokens.empty()) {
    Fail(
        "{}: its answer must be of a given form, but the model knows no token that ends one; give "
        "its config an eos_token_id",
        name);
  }
}

void Engine::Enqueue(GenerationRequest request, RequestId id, RequestId name) {
  if (request.max_tokens <= 0 && !request.of_prompt.any()) {
    for (int64_t sample = 0; sample < request.samples; ++sample)
      ended_.push_back({id, {.request = name, .sample = sample}});
  } else if (request.samples > 0) {
    waiting_.push_back(std::make_shared<Request>(Request{std::move(request), id, name}));
  }
}

RequestId Engine::Submit(GenerationRequest request) {
  CHECK(!generating_);
  Check(request);
  const RequestId id = next_id_++;
  Enqueue(std::move(request), id, id);
  return id;
}

// Of so many computed tokens of a sequence with so long a prompt, how many another may begin with.
// A latent cache's bits depend on the rows computed together, so only whole chunks of a prompt are
// what they would be in another.
int64_t Engine::Shareable(int64_t computed, int64_t prompt) const {
  if (cache_.form() == CacheForm::kExpanded) return computed;
  return std::min(computed, prompt - 1) / prefill_rows_ * prefill_rows_;
}

// The slot that holds most of these tokens' beginning, of several one that is free. The last of
// them is left to compute.
Engine::Source Engine::LongestCommon(std::span<const int32_t> tokens, int32_t adapter) const {
  Source best;
  const auto consider = [&](int64_t slot, bool running, int64_t shareable, const auto& token) {
    const int64_t most = std::min(shareable, static_cast<int64_t>(tokens.size()) - 1);
    int64_t common = 0;
    while (common < most && token(common) == tokens[static_cast<size_t>(common)]) ++common;
    common = Shareable(common, common + 1);
    if (common > best.tokens) best = {slot, common, running};
  };
  for (const int64_t slot : free_slots_) {
    if (held_adapter_[static_cast<size_t>(slot)] != adapter) continue;
    const std::vector<int32_t>& held = held_[static_cast<size_t>(slot)];
    consider(slot, false, static_cast<int64_t>(held.size()),
             [&](int64_t i) { return held[static_cast<size_t>(i)]; });
  }
  for (const Sequence& sequence : running_) {
    if (sequence.request->asked.adapter != adapter) continue;
    const auto prompt_size = static_cast<int64_t>(sequence.request->asked.prompt.size());
    consider(sequence.slot, true, Shareable(sequence.computed, prompt_size),
             [&](int64_t i) { return sequence.token(i); });
  }
  return best;
}

void Engine::ReleaseSlot(int64_t slot) {
  cache_.Release(slot);
  budget_.Release(slot);
  held_[static_cast<size_t>(slot)] = {};
}

// Lets go of what free slots hold, the longest unused first and two of them not at all, until so
// many pages are left.
bool Engine::MakeRoom(int64_t pages, int64_t spared, int64_t also_spared) {
  for (const int64_t slot : free_slots_) {
    if (budget_.left() >= pages) return true;
    if (slot != spared && slot != also_spared) ReleaseSlot(slot);
  }
  return budget_.left() >= pages;
}

// A slot that begins with what the source has, and has room for so many tokens; -1: there is none
// now. A source that leaves no room where nothing runs is given up.
int64_t Engine::TakeSlot(Source* source, int64_t tokens) {
  // In place where that loses nothing. Else in the slot whose content was used longest ago, which
  // may be the same one.
  const auto choose = [&] {
    const bool in_place =
        source->slot >= 0 && !source->running &&
        source->tokens == static_cast<int64_t>(held_[static_cast<size_t>(source->slot)].size());
    return in_place    ? std::find(free_slots_.begin(), free_slots_.end(), source->slot)
           : remember_ ? free_slots_.begin()
                       : std::prev(free_slots_.end());
  };
  auto taken = choose();
  if (*taken != source->slot) ReleaseSlot(*taken);
  if (budget_.limited() && !MakeRoom(budget_.Needs(*taken, tokens), *taken, source->slot)) {
    if (!running_.empty()) return -1;
    *source = {};
    taken = choose();
    CHECK(MakeRoom(budget_.Needs(*taken, tokens), *taken, *taken));
  }
  const int64_t slot = *taken;
  if (budget_.limited()) budget_.Hold(slot, tokens);
  free_slots_.erase(taken);
  held_[static_cast<size_t>(slot)] = {};  // it goes on from here
  if (source->tokens > 0 && source->slot != slot)
    cache_.CopyPrefix(source->slot, slot, source->tokens);
  if (proposer_) proposer_->Begun(slot, source->tokens > 0 ? source->slot : -1, source->tokens);
  return slot;
}

// Gives a request's next sample a slot, which begins with what the source has of its prompt.
// False: there is no room now.
bool Engine::Begin(const std::shared_ptr<Request>& request, Source source) {
  const GenerationRequest& asked = request->asked;
  const int64_t first = std::min(static_cast<int64_t>(asked.prompt.size()) + 1, Longest(asked));
  const bool grows = cache_.form() == CacheForm::kExpanded;
  const int64_t slot = TakeSlot(&source, grows ? first : Longest(asked));
  if (slot < 0) return false;
  stats_.shared_tokens += source.tokens;
  Sequence sequence;
  sequence.computed = source.tokens;
  sequence.request = request;
  sequence.completion.request = request->name;
  sequence.completion.sample = request->admitted++;
  sequence.completion.cached = source.tokens;
  sequence.slot = slot;
  sequence.MakeMask();
  running_.push_back(std::move(sequence));
  return true;
}

// Gives the sequence that gave way first a slot again. False: there is no room now.
bool Engine::Resume() {
  Sequence& sequence = gave_way_.front();
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < sequence.length(); ++i) tokens.push_back(sequence.token(i));
  Source source;
  if (remember_) source = LongestCommon(tokens, sequence.request->asked.adapter);
  const int64_t slot = TakeSlot(&source, sequence.length());
  if (slot < 0) return false;
  sequence.slot = slot;
  sequence.computed = source.tokens;
  running_.push_back(std::move(sequence));
  gave_way_.pop_front();
  return true;
}

void Engine::Admit() {
  while (!free_slots_.empty() && !gave_way_.empty()) {
    if (!Resume()) return;
  }
  // A sample whose sibling is still computing their prompt waits for it, and those behind it with
  // it: the wait is a few steps at most.
  while (!free_slots_.empty() && !waiting_.empty()) {
    const std::shared_ptr<Request> next = waiting_.front();
    const int64_t shareable = static_cast<int64_t>(next->asked.prompt.size()) -
                              1;  // the last token is computed to sample from
    const auto sibling = std::find_if(running_.begin(), running_.end(),
                                      [&](const Sequence& s) { return s.request == next; });
    Source source;
    if (sibling != running_.end() && shareable > 0) {
      if (sibling->computed < shareable) return;
      source = {sibling->slot, shareable, /*running=*/true};
    } else if (remember_ && !(next->asked.of_prompt.any() && next->admitted == 0)) {
      source = LongestCommon(next->asked.prompt, next->asked.adapter);
    }
    if (!Begin(next, source)) return;
    if (next->admitted == next->asked.samples) waiting_.pop_front();
  }
}

// The sequence admitted last leaves its slot. What was told of it stays told.
void Engine::GiveWay() {
  CHECK(running_.size() > 1);
  Sequence& sequence = running_.back();
  free_slots_.push_back(sequence.slot);
  ReleaseSlot(sequence.slot);
  sequence.slot = -1;
  if (sequence.completion.tokens.empty()) sequence.completion.prompt = {};  // told again
  gave_way_.push_front(std::move(sequence));
  running_.pop_back();
  ++stats_.preempted;
}

// Room for the rows of the next step.
void Engine::MakeRoomToGrow() {
  if (!budget_.limited()) return;
  const auto after = [&](const Sequence& sequence, int64_t rows) {
    const int64_t guesses = proposer_ ? Proposer::kMost : 0;
    return std::min(sequence.computed + rows + guesses, Longest(sequence.request->asked));
  };
  for (;;) {
    const std::vector<int64_t> rows = PromptRows();
    int64_t pages = 0;
    for (size_t i = 0; i < running_.size(); ++i)
      pages += budget_.Needs(running_[i].slot, after(running_[i], rows[i]));
    if (!MakeRoom(pages, -1, -1)) {
      GiveWay();
      continue;
    }
    for (size_t i = 0; i < running_.size(); ++i)
      budget_.Hold(running_[i].slot, after(running_[i], rows[i]));
    return;
  }
}

void Engine::Remember(const Sequence& sequence) {
  const auto prompt = static_cast<int64_t>(sequence.request->asked.prompt.size());
  std::vector<int32_t>& tokens = held_[static_cast<size_t>(sequence.slot)];
  // Of one that was cancelled more may have been computed than was told; what is remembered is what
  // would be had each token come by itself.
  const int64_t computed = std::min(sequence.computed, sequence.length() - 1);
  const int64_t shareable = Shareable(computed, prompt);
  for (int64_t i = 0; i < shareable; ++i) tokens.push_back(sequence.token(i));
  held_adapter_[static_cast<size_t>(sequence.slot)] = sequence.request->asked.adapter;
}

// Moves what has ended out of its slot.
void Engine::FreeEnded() {
  for (Sequence& sequence : running_) {
    const bool cancelled = sequence.request->cancelled;
    if ((!sequence.done || !sequence.untold.empty()) && !cancelled) continue;
    free_slots_.push_back(sequence.slot);
    if (remember_) Remember(sequence);
    if (!cancelled) ended_.push_back({sequence.request->id, std::move(sequence.completion)});
    sequence.slot = -1;
  }
  std::erase_if(running_, [](const Sequence& sequence) { return sequence.slot < 0; });
}

// Tells one token more of a sequence. It counts as told before the callback, which may throw.
void Engine::TellNext(Sequence& sequence, const EngineSink& sink) {
  Completion& completion = sequence.completion;
  Drawn drawn = std::move(sequence.untold.front());
  sequence.untold.pop_front();
  completion.tokens.push_back(drawn.token);
  completion.logp.push_back(drawn.logp);
  if (sequence.request->asked.top_logp > 0) completion.top.push_back(std::move(drawn.top));
  ++stats_.generated_tokens;
  const bool last = sequence.done && sequence.untold.empty();
  if (last) completion.finish = sequence.finish;
  if (!sink.on_token || sink.on_token(completion) || last) return;
  sequence.untold.clear();
  sequence.done = true;
  completion.finish = FinishReason::kCancelled;
}

void Engine::Deliver(const EngineSink& sink) {
  // Callbacks may submit, which leaves running_ alone, and cancel, which only marks there.
  for (Sequence& sequence : running_) {
    while (!sequence.untold.empty() && !sequence.request->cancelled) TellNext(sequence, sink);
  }
  FreeEnded();
  while (!ended_.empty()) {
    Completion completion = std::move(ended_.front().completion);
    ended_.pop_front();
    if (sink.on_finished) sink.on_finished(std::move(completion));
  }
  FreeEnded();  // of what was cancelled meanwhile
}

bool Engine::Step(const EngineSink& sink) {
  CHECK(!stepping_);
  stepping_ = true;
  const struct Leave {
    bool& stepping;
    ~Leave() { stepping = false; }
  } leave{stepping_};
  Deliver(sink);  // what a callback that threw kept from being told
  Admit();
  if (!running_.empty()) {
    MakeRoomToGrow();
    ArenaScope scope(arena_);
    std::vector<Planned> plan;
    const TokenBatch batch = PlanStep(plan);
    const ConstMatrix hidden = model_.Forward(weights_, batch, &cache_, arena_, nullptr);
    ReadPrompts(plan, hidden);
    DrawStep(plan, hidden);
    const EngineStep step = Commit(plan, hidden);
    if (sink.on_step) sink.on_step(step);
    Deliver(sink);
  }
  return !idle();
}

bool Engine::Cancel(RequestId id) {
  CHECK(!generating_);
  bool found = std::erase_if(waiting_, [&](const auto& r) { return r->id == id; }) > 0;
  found |= std::erase_if(gave_way_, [&](const Sequence& s) { return s.request->id == id; }) > 0;
  found |= std::erase_if(ended_, [&](const Ended& ended) { return ended.id == id; }) > 0;
  for (Sequence& sequence : running_) {
    if (sequence.request->id == id) found |= !std::exchange(sequence.request->cancelled, true);
  }
  if (!stepping_) FreeEnded();
  return found;
}

bool Engine::idle() const {
  return waiting_.empty() && running_.empty() && gave_way_.empty() && ended_.empty();
}
int64_t Engine::running() const { return static_cast<int64_t>(running_.size()); }

std::vector<Completion> Engine::Generate(const std::vector<GenerationRequest>& requests,
                                         const TokenCallback& on_token,
                                         const StepCallback& on_step) {
  CHECK(idle());
  for (size_t r = 0; r < requests.size(); ++r) Check(requests[r], fmt::format("prompt {}", r + 1));
  const RequestId first = next_id_;
  for (size_t r = 0; r < requests.size(); ++r) Enqueue(requests[r], next_id_++, r);
  std::vector<Completion> finished;
  const auto keep = [&](Completion completion) { finished.push_back(std::move(completion)); };
  generating_ = true;
  try {
    while (Step({on_token, keep, on_step})) {
    }
    generating_ = false;
  } catch (...) {
    generating_ = false;
    for (RequestId id = first; id < next_id_; ++id) Cancel(id);
    throw;
  }
  std::sort(finished.begin(), finished.end(), [](const Completion& a, const Completion& b) {
    return a.request != b.request ? a.request < b.request : a.sample < b.sample;
  });
  return finished;
}

}  // namespace darkhorse
