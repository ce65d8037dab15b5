#include "infer/engine.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "model/attention.h"
#include "model/cost.h"

namespace darkhorse {

void SeparateStreams(std::vector<GenerationRequest>& requests, uint64_t first) {
  for (GenerationRequest& request : requests) {
    request.stream = first;
    first += static_cast<uint64_t>(request.samples);
  }
}

EngineStep& EngineStep::operator+=(const EngineStep& other) {
  rows += other.rows;
  sampled += other.sampled;
  attended += other.attended;
  cached += other.cached;
  return *this;
}

double Flops(const ModelCost& cost, const EngineStep& step) {
  if (step.rows == 0) return 0;
  const auto rows = static_cast<double>(step.rows);
  const double context = static_cast<double>(step.attended) / rows;
  return rows * cost.ForwardFlopsPerToken(context) -
         static_cast<double>(step.rows - step.sampled) * cost.HeadFlopsPerToken();
}

namespace {

void Adjust(const GenerationRequest& request, const std::vector<int32_t>& completion,
            std::span<float> logits) {
  if (request.sampling.penalizes())
    PenalizeLogits(logits, request.sampling, request.prompt, completion);
  for (const auto& [token, bias] : request.logit_bias) logits[static_cast<size_t>(token)] += bias;
}

// The largest logits, ties by the lower id.
std::vector<TokenLogp> MostProbable(std::span<const float> logits, int64_t most) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<size_t>(order.size(), static_cast<size_t>(most));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float la = logits[static_cast<size_t>(a)];
                      const float lb = logits[static_cast<size_t>(b)];
                      return la != lb ? la > lb : a < b;
                    });
  std::vector<TokenLogp> top;
  for (size_t i = 0; i < count; ++i)
    top.push_back({order[i], logits[static_cast<size_t>(order[i])]});
  return top;
}

}  // namespace

struct Engine::Request {
  GenerationRequest asked;
  RequestId id;          // unique in this engine
  RequestId name;        // what its completions bear
  int64_t admitted = 0;  // samples that have or had a slot
  bool cancelled = false;
};

struct Engine::Sequence {
  std::shared_ptr<Request> request;
  Completion completion;
  std::unique_ptr<TokenMask> mask;  // null: anything may come
  int64_t slot = -1;
  int64_t computed = 0;  // tokens in the cache
  bool untold = false;   // its last token is still to be told
  bool done = false;

  int64_t length() const {
    return static_cast<int64_t>(request->asked.prompt.size() + completion.tokens.size());
  }
  int32_t token(int64_t position) const {
    const std::vector<int32_t>& prompt = request->asked.prompt;
    const auto i = static_cast<size_t>(position);
    return i < prompt.size() ? prompt[i] : completion.tokens[i - prompt.size()];
  }
};

// What one sequence does in the step being computed. Nothing of it counts before Commit.
struct Engine::Planned {
  Sequence* sequence;
  int64_t rows;
  int64_t last;  // of the batch's rows, its last
  bool sampled;  // a token follows the last row
  int32_t token = 0;
  float logp = 0;
  std::vector<TokenLogp> top = {};
  bool stuck = false;  // no token may come
};

// Where the beginning of a prompt lies already.
struct Engine::Source {
  int64_t slot = -1;
  int64_t tokens = 0;
  bool running = false;
};

struct Engine::Ended {
  RequestId id;
  Completion completion;
};

Engine::Engine(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
               int64_t capacity, int64_t prefill_rows, bool remember)
    : model_(model),
      weights_(weights),
      cache_(model.config(), form, slots, capacity, AttentionFormat(weights.layers.front())),
      prefill_rows_(prefill_rows),
      remember_(remember),
      held_(static_cast<size_t>(slots)) {
  CHECK(prefill_rows >= 1);
  running_.reserve(static_cast<size_t>(slots));  // a plan points into it
  for (int64_t slot = slots; slot-- > 0;) free_slots_.push_back(slot);
}

Engine::~Engine() = default;

void Engine::Check(const GenerationRequest& request, const std::string& name) const {
  Validate(request.sampling);
  if (request.prompt.empty())
    Fail("{}: it has no tokens; give at least one (a beginning-of-sentence token will do)", name);
  const int64_t room = std::min(cache_.capacity(), model_.config().max_position_embeddings);
  if (static_cast<int64_t>(request.prompt.size()) >= room) {
    Fail("{}: it has {} tokens, but prompt and completion together may have {}; shorten it", name,
         request.prompt.size(), room);
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
  if (request.max_tokens <= 0) {
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

// The slot that holds most of a prompt's beginning, of several one that is free.
Engine::Source Engine::LongestCommon(const std::vector<int32_t>& prompt) const {
  Source best;
  const auto consider = [&](int64_t slot, bool running, int64_t shareable, const auto& token) {
    const int64_t most = std::min(shareable, static_cast<int64_t>(prompt.size()) - 1);
    int64_t common = 0;
    while (common < most && token(common) == prompt[static_cast<size_t>(common)]) ++common;
    common = Shareable(common, common + 1);
    if (common > best.tokens) best = {slot, common, running};
  };
  for (const int64_t slot : free_slots_) {
    const std::vector<int32_t>& held = held_[static_cast<size_t>(slot)];
    consider(slot, false, static_cast<int64_t>(held.size()),
             [&](int64_t i) { return held[static_cast<size_t>(i)]; });
  }
  for (const Sequence& sequence : running_) {
    const auto prompt_size = static_cast<int64_t>(sequence.request->asked.prompt.size());
    consider(sequence.slot, true, Shareable(sequence.computed, prompt_size),
             [&](int64_t i) { return sequence.token(i); });
  }
  return best;
}

// Gives a request's next sample a slot, which begins with what the source has of its prompt.
void Engine::Begin(const std::shared_ptr<Request>& request, const Source& source) {
  // In place where that loses nothing. Else in the slot whose content was used longest ago, which
  // may be the same one.
  const bool in_place =
      source.slot >= 0 && !source.running &&
      source.tokens == static_cast<int64_t>(held_[static_cast<size_t>(source.slot)].size());
  const auto taken = in_place    ? std::find(free_slots_.begin(), free_slots_.end(), source.slot)
                     : remember_ ? free_slots_.begin()
                                 : std::prev(free_slots_.end());
  const int64_t slot = *taken;
  free_slots_.erase(taken);
  held_[static_cast<size_t>(slot)] = {};
  if (source.tokens > 0 && source.slot != slot) cache_.CopyPrefix(source.slot, slot, source.tokens);
  stats_.shared_tokens += source.tokens;
  Sequence sequence;
  sequence.computed = source.tokens;
  sequence.request = request;
  sequence.completion.request = request->name;
  sequence.completion.sample = request->admitted++;
  sequence.completion.cached = source.tokens;
  sequence.slot = slot;
  if (request->asked.constraint)
    sequence.mask = std::make_unique<TokenMask>(*request->asked.constraint);
  running_.push_back(std::move(sequence));
}

void Engine::Admit() {
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
    } else if (remember_) {
      source = LongestCommon(next->asked.prompt);
    }
    Begin(next, source);
    if (next->admitted == next->asked.samples) waiting_.pop_front();
  }
}

// Rows to compute now of each sequence; 0: none in this step. Those that decode have their one. Of
// the rows for prompts the oldest gets half, so that none waits for ever, and the shortest the
// rest, so that none waits long for one that takes long. A latent cache's bits depend on the rows
// computed together, so its chunks depend on the prompt alone: as large as a step allows or not at
// all, in order, and the last row, which a sibling has to compute by itself, always by itself.
std::vector<int64_t> Engine::PromptRows() const {
  std::vector<int64_t> rows, order;
  int64_t room = prefill_rows_;
  const auto left = [&](int64_t i) {
    const Sequence& sequence = running_[static_cast<size_t>(i)];
    return sequence.length() - sequence.computed;
  };
  for (int64_t i = 0; i < running(); ++i) {
    rows.push_back(left(i) == 1 ? 1 : 0);
    if (left(i) > 1) order.push_back(i);
  }
  const auto give = [&](int64_t i, int64_t most) {
    int64_t& given = rows[static_cast<size_t>(i)];
    const int64_t more = std::min({left(i) - given, most, room});
    given += more;
    room -= more;
  };
  if (cache_.form() == CacheForm::kLatent) {
    for (const int64_t i : order) {
      const int64_t chunk = std::min(left(i) - 1, prefill_rows_);
      if (chunk <= room) give(i, chunk);
    }
    return rows;
  }
  if (!order.empty()) give(order.front(), (room + 1) / 2);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return left(a) < left(b); });
  for (const int64_t i : order) give(i, room);
  return rows;
}

TokenBatch Engine::PlanStep(std::vector<Planned>& plan) {
  TokenBatch batch;
  const std::vector<int64_t> to_compute = PromptRows();
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = running_[i];
    const int64_t rows = to_compute[i], left = sequence.length() - sequence.computed;
    if (rows == 0) continue;
    batch.segments.push_back({batch.rows(), rows, sequence.computed, sequence.slot});
    for (int64_t row = 0; row < rows; ++row)
      batch.tokens.push_back(sequence.token(sequence.computed + row));
    plan.push_back({&sequence, rows, batch.rows() - 1, /*sampled=*/rows == left});
  }
  return batch;
}

void Engine::SampleStep(std::vector<Planned>& plan, ConstMatrix hidden) {
  std::vector<Planned*> sampled;
  std::vector<int32_t> rows;
  for (Planned& planned : plan) {
    if (!planned.sampled) continue;
    sampled.push_back(&planned);
    rows.push_back(static_cast<int32_t>(planned.last));
  }
  const int64_t count = static_cast<int64_t>(sampled.size());
  if (count == 0) return;
  const int64_t vocabulary = model_.config().vocab_size;
  const Matrix last = arena_.NewMatrix(count, hidden.cols);
  const Matrix logits = arena_.NewMatrix(count, vocabulary);
  const Matrix probabilities = arena_.NewMatrix(count, vocabulary);
  GatherRows(hidden, rows, last);
  LinearForward(last, weights_.lm_head, logits);

  std::vector<int32_t> chosen(sampled.size());
  std::vector<float> logp(sampled.size());
  ParallelFor(count, [&](int64_t i) {
    Planned& planned = *sampled[static_cast<size_t>(i)];
    const Sequence& sequence = *planned.sequence;
    const GenerationRequest& request = sequence.request->asked;
    const Matrix row = probabilities.Rows(i, 1);
    const float temperature = request.sampling.temperature;
    const float inverse = temperature > 0 ? 1 / temperature : 1.0f;
    std::copy_n(logits.Row(i), vocabulary, row.data);
    const std::span<float> adjusted(row.data, static_cast<size_t>(vocabulary));
    Adjust(request, sequence.completion.tokens, adjusted);
    planned.stuck = sequence.mask && !sequence.mask->Restrict(adjusted, request.stop_tokens);
    for (int64_t v = 0; v < vocabulary; ++v) row.data[v] *= inverse;
    SoftmaxRows(row, row);
    if (request.never) {
      for (const int32_t token : *request.never) row.data[token] = 0;
    }
    const double u =
        RandomUniform(request.seed, RandomStream::kSample,
                      request.stream + static_cast<uint64_t>(sequence.completion.sample),
                      static_cast<uint64_t>(sequence.completion.tokens.size()));
    chosen[static_cast<size_t>(i)] =
        SampleToken({row.data, static_cast<size_t>(vocabulary)}, request.sampling, u);
  });
  LogSoftmaxRows(logits, chosen.data(), logp.data(), nullptr);

  for (size_t i = 0; i < sampled.size(); ++i) {
    if (!std::isfinite(logp[i])) {
      Fail("the model's logits are not finite; take an earlier checkpoint or a sound copy");
    }
    sampled[i]->token = chosen[i];
    sampled[i]->logp = logp[i];
  }
  ParallelFor(count, [&](int64_t i) {
    Planned& planned = *sampled[static_cast<size_t>(i)];
    const int64_t most = planned.sequence->request->asked.top_logp;
    if (most <= 0) return;
    planned.top = MostProbable({logits.Row(i), static_cast<size_t>(vocabulary)}, most);
    // Of all tokens the logarithm of the sum is the same.
    const float normalizer = logits(i, planned.token) - planned.logp;
    for (auto& [token, top] : planned.top)
      top = token == planned.token ? planned.logp : top - normalizer;
  });
}

EngineStep Engine::Commit(std::vector<Planned>& plan) {
  EngineStep step;
  for (Planned& planned : plan) {
    Sequence& sequence = *planned.sequence;
    const GenerationRequest& request = sequence.request->asked;
    Completion& completion = sequence.completion;
    step.rows += planned.rows;
    step.sampled += planned.sampled;
    step.attended += planned.rows * sequence.computed + planned.rows * (planned.rows + 1) / 2;
    sequence.computed += planned.rows;
    step.cached += sequence.computed;
    if (completion.tokens.empty()) stats_.prompt_tokens += planned.rows;
    if (!planned.sampled) continue;
    if (planned.stuck) {
      sequence.done = true;
      continue;
    }
    completion.tokens.push_back(planned.token);
    completion.logp.push_back(planned.logp);
    if (request.top_logp > 0) completion.top.push_back(std::move(planned.top));
    ++stats_.generated_tokens;
    const bool stop = std::find(request.stop_tokens.begin(), request.stop_tokens.end(),
                                planned.token) != request.stop_tokens.end();
    const bool full = static_cast<int64_t>(completion.tokens.size()) >= request.max_tokens ||
                      sequence.length() >= cache_.capacity() ||
                      sequence.length() >= model_.config().max_position_embeddings;
    const bool lost = !stop && sequence.mask && !sequence.mask->Read(planned.token);
    sequence.untold = true;
    sequence.done = stop || full || lost;
    completion.finish = stop ? FinishReason::kStop : FinishReason::kLength;
  }
  stats_.work += step;
  return step;
}

void Engine::Remember(const Sequence& sequence) {
  const auto prompt = static_cast<int64_t>(sequence.request->asked.prompt.size());
  std::vector<int32_t>& tokens = held_[static_cast<size_t>(sequence.slot)];
  const int64_t shareable = Shareable(sequence.computed, prompt);
  for (int64_t i = 0; i < shareable; ++i) tokens.push_back(sequence.token(i));
}

// Moves what has ended out of its slot.
void Engine::FreeEnded() {
  for (Sequence& sequence : running_) {
    const bool cancelled = sequence.request->cancelled;
    if (!sequence.done && !cancelled) continue;
    sequence.done = true;
    free_slots_.push_back(sequence.slot);
    if (remember_) Remember(sequence);
    if (!cancelled) ended_.push_back({sequence.request->id, std::move(sequence.completion)});
  }
  std::erase_if(running_, [](const Sequence& sequence) { return sequence.done; });
}

void Engine::Deliver(const EngineSink& sink) {
  // Callbacks may submit, which leaves running_ alone, and cancel, which only marks there. What one
  // hears is marked as told before the call: it may throw.
  for (Sequence& sequence : running_) {
    if (!std::exchange(sequence.untold, false) || sequence.request->cancelled) continue;
    if (sink.on_token && !sink.on_token(sequence.completion) && !sequence.done) {
      sequence.done = true;
      sequence.completion.finish = FinishReason::kCancelled;
    }
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
    ArenaScope scope(arena_);
    std::vector<Planned> plan;
    const TokenBatch batch = PlanStep(plan);
    SampleStep(plan, model_.Forward(weights_, batch, &cache_, arena_, nullptr));
    const EngineStep step = Commit(plan);
    if (sink.on_step) sink.on_step(step);
    Deliver(sink);
  }
  return !idle();
}

bool Engine::Cancel(RequestId id) {
  CHECK(!generating_);
  bool found = std::erase_if(waiting_, [&](const auto& r) { return r->id == id; }) > 0;
  found |= std::erase_if(ended_, [&](const Ended& ended) { return ended.id == id; }) > 0;
  for (Sequence& sequence : running_) {
    if (sequence.request->id == id) found |= !std::exchange(sequence.request->cancelled, true);
  }
  if (!stepping_) FreeEnded();
  return found;
}

bool Engine::idle() const { return waiting_.empty() && running_.empty() && ended_.empty(); }
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
