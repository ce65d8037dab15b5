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

Engine::Engine(const Transformer& model, const ModelWeights& weights, const EngineOptions& options,
               std::unique_ptr<Proposer> proposer)
    : model_(model),
      weights_(weights),
      cache_(model.config(), options.form, options.slots, options.capacity,
             AttentionFormat(weights.layers.front()), options.cache_tokens),
      budget_(options.slots, options.capacity, options.cache_tokens),
      prefill_rows_(options.prefill_rows),
      remember_(options.remember),
      proposer_(std::move(proposer)),
      held_(static_cast<size_t>(options.slots)),
      held_how_(static_cast<size_t>(options.slots)) {
  CHECK(options.prefill_rows >= 1);
  running_.reserve(static_cast<size_t>(options.slots));  // a plan points into it
  for (int64_t slot = options.slots; slot-- > 0;) free_slots_.push_back(slot);
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

void Engine::Enqueue(GenerationRequest request, RequestId id, RequestId name, uint64_t party) {
  if (request.max_tokens <= 0 && !request.of_prompt.any()) {
    for (int64_t sample = 0; sample < request.samples; ++sample)
      ended_.push_back({id, {.request = name, .sample = sample}});
  } else if (request.samples > 0) {
    const auto [of, is_new] = waiting_.try_emplace(party);
    if (is_new) of->second.turn = next_turn_++;
    of->second.waiting.push_back(
        std::make_shared<Request>(Request{std::move(request), id, name, party}));
  }
}

RequestId Engine::Submit(GenerationRequest request, uint64_t party) {
  CHECK(!generating_);
  Check(request);
  const RequestId id = next_id_++;
  Enqueue(std::move(request), id, id, party);
  return id;
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
  bool found = false;
  for (auto& [party, of] : waiting_)
    found |= std::erase_if(of.waiting, [&](const auto& r) { return r->id == id; }) > 0;
  std::erase_if(waiting_, [](const auto& party) { return party.second.waiting.empty(); });
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
                                         const TokenCallback& on_token, const StepCallback& on_step,
                                         const EndedCallback& on_ended) {
  CHECK(idle());
  for (size_t r = 0; r < requests.size(); ++r) Check(requests[r], fmt::format("prompt {}", r + 1));
  const RequestId first = next_id_;
  for (size_t r = 0; r < requests.size(); ++r) Enqueue(requests[r], next_id_++, r, 0);
  std::vector<Completion> finished;
  const auto keep = [&](Completion completion) {
    finished.push_back(std::move(completion));
    if (on_ended) on_ended(finished.back());
  };
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
