#include "infer/engine.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernel/ops.h"
#include "model/cost.h"
#include "model/linear.h"

namespace darkhorse {

double Flops(const ModelCost& cost, const EngineStep& step) {
  if (step.rows == 0) return 0;
  const auto rows = static_cast<double>(step.rows);
  const double context = static_cast<double>(step.attended) / rows;
  return rows * cost.ForwardFlopsPerToken(context) -
         static_cast<double>(step.rows - step.sampled) * cost.HeadFlopsPerToken();
}

struct Engine::Sequence {
  Completion completion;
  int64_t slot = -1;
  int64_t computed = 0;  // tokens in the cache
  int64_t row = -1;      // its last row in the step being computed
  bool done = false;

  int64_t length(const GenerationRequest& request) const {
    return static_cast<int64_t>(request.prompt.size() + completion.tokens.size());
  }
  int32_t token(const GenerationRequest& request, int64_t position) const {
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    return position < prompt ? request.prompt[static_cast<size_t>(position)]
                             : completion.tokens[static_cast<size_t>(position - prompt)];
  }
};

Engine::Engine(const Transformer& model, const ModelWeights& weights, CacheForm form, int64_t slots,
               int64_t capacity, int64_t prefill_rows)
    : model_(model),
      weights_(weights),
      cache_(model.config(), form, slots, capacity),
      prefill_rows_(prefill_rows) {
  CHECK(prefill_rows >= 1);
}

Engine::~Engine() = default;

void Engine::Admit(const std::vector<GenerationRequest>& requests, std::vector<Sequence>& pending) {
  // pending is in reverse order. A sample whose sibling is still computing their prompt waits for
  // it, and those behind it with it: the wait is a few steps at most.
  while (!free_slots_.empty() && !pending.empty()) {
    Sequence& next = pending.back();
    const GenerationRequest& request = requests[next.completion.request];
    const int64_t shareable = static_cast<int64_t>(request.prompt.size()) -
                              1;  // the last token is computed to sample from
    const auto sibling = std::find_if(running_.begin(), running_.end(), [&](const Sequence& s) {
      return s.completion.request == next.completion.request;
    });
    if (sibling != running_.end() && shareable > 0) {
      if (sibling->computed < shareable) return;
      cache_.CopyPrefix(sibling->slot, free_slots_.back(), shareable);
      next.computed = shareable;
      stats_.shared_tokens += shareable;
    }
    next.slot = free_slots_.back();
    free_slots_.pop_back();
    running_.push_back(std::move(next));
    pending.pop_back();
  }
}

// Rows of a prompt to compute now, where `left` are to come and there is room for `room`; 0: none
// in this step. A latent cache's bits depend on the rows computed together, so its chunks depend on
// the prompt alone: as large as a step allows or not at all, and the last row, which a sibling has
// to compute by itself, always by itself.
int64_t Engine::PromptChunk(int64_t left, int64_t room) const {
  if (cache_.form() == CacheForm::kExpanded) return std::min(left, room);
  const int64_t chunk = std::min(left - 1, prefill_rows_);
  return chunk <= room ? chunk : 0;
}

TokenBatch Engine::PlanStep(const std::vector<GenerationRequest>& requests,
                            std::vector<Sequence*>& sampled) {
  TokenBatch batch;
  EngineStep& step = stats_.steps.emplace_back();
  int64_t prefill_left = prefill_rows_;
  for (Sequence& sequence : running_) {
    const GenerationRequest& request = requests[sequence.completion.request];
    const int64_t length = sequence.length(request);
    int64_t rows = length - sequence.computed;
    if (rows > 1) {
      rows = PromptChunk(rows, prefill_left);
      prefill_left -= rows;
      if (rows == 0) continue;
    }
    if (sequence.completion.tokens.empty()) stats_.prompt_tokens += rows;
    batch.segments.push_back({batch.rows(), rows, sequence.computed, sequence.slot});
    for (int64_t i = 0; i < rows; ++i)
      batch.tokens.push_back(sequence.token(request, sequence.computed + i));
    step.rows += rows;
    step.attended += rows * sequence.computed + rows * (rows + 1) / 2;
    sequence.computed += rows;
    step.cached += sequence.computed;
    if (sequence.computed == length) {
      sequence.row = batch.rows() - 1;
      sampled.push_back(&sequence);
    }
  }
  step.sampled = static_cast<int64_t>(sampled.size());
  return batch;
}

void Engine::SampleStep(const std::vector<GenerationRequest>& requests,
                        const std::vector<Sequence*>& sampled, ConstMatrix hidden,
                        const TokenCallback& on_token) {
  const int64_t count = static_cast<int64_t>(sampled.size());
  if (count == 0) return;
  const int64_t vocabulary = model_.config().vocab_size;
  std::vector<int32_t> rows;
  for (const Sequence* sequence : sampled) rows.push_back(static_cast<int32_t>(sequence->row));
  const Matrix last = arena_.NewMatrix(count, hidden.cols);
  const Matrix logits = arena_.NewMatrix(count, vocabulary);
  const Matrix probabilities = arena_.NewMatrix(count, vocabulary);
  GatherRows(hidden, rows, last);
  LinearForward(last, weights_.lm_head, logits);

  std::vector<int32_t> chosen(sampled.size());
  std::vector<float> logp(sampled.size());
  ParallelFor(count, [&](int64_t i) {
    const Sequence& sequence = *sampled[static_cast<size_t>(i)];
    const GenerationRequest& request = requests[sequence.completion.request];
    const Matrix row = probabilities.Rows(i, 1);
    const float temperature = request.sampling.temperature;
    const float inverse = temperature > 0 ? 1 / temperature : 1.0f;
    for (int64_t v = 0; v < vocabulary; ++v) row.data[v] = logits(i, v) * inverse;
    SoftmaxRows(row, row);
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
    Sequence& sequence = *sampled[i];
    const GenerationRequest& request = requests[sequence.completion.request];
    Completion& completion = sequence.completion;
    completion.tokens.push_back(chosen[i]);
    completion.logp.push_back(logp[i]);
    ++stats_.generated_tokens;
    const bool stop = std::find(request.stop_tokens.begin(), request.stop_tokens.end(),
                                chosen[i]) != request.stop_tokens.end();
    const bool full = static_cast<int64_t>(completion.tokens.size()) >= request.max_tokens ||
                      sequence.length(request) >= cache_.capacity() ||
                      sequence.length(request) >= model_.config().max_position_embeddings;
    sequence.done = stop || full;
    completion.finish = stop ? FinishReason::kStop : FinishReason::kLength;
    if (on_token && !on_token(completion) && !sequence.done) {
      sequence.done = true;
      completion.finish = FinishReason::kCancelled;
    }
  }
}

std::vector<Completion> Engine::Generate(const std::vector<GenerationRequest>& requests,
                                         const TokenCallback& on_token) {
  stats_ = {};
  running_.clear();
  running_.reserve(static_cast<size_t>(cache_.slots()));  // PlanStep hands out pointers
  free_slots_.clear();
  for (int64_t slot = cache_.slots(); slot-- > 0;) free_slots_.push_back(slot);

  std::vector<Completion> finished;
  std::vector<Sequence> pending;
  for (size_t r = 0; r < requests.size(); ++r) {
    const GenerationRequest& request = requests[r];
    request.sampling.Validate();
    if (request.prompt.empty())
      Fail("prompt {}: it has no tokens; give at least one (a beginning-of-sentence token will do)",
           r + 1);
    const int64_t room = std::min(cache_.capacity(), model_.config().max_position_embeddings);
    if (static_cast<int64_t>(request.prompt.size()) >= room) {
      Fail(
          "prompt {}: it has {} tokens, but prompt and completion together may have {}, the "
          "model's "
          "context; shorten it",
          r + 1, request.prompt.size(), room);
    }
    for (int64_t sample = 0; sample < request.samples; ++sample) {
      Sequence sequence;
      sequence.completion.request = r;
      sequence.completion.sample = sample;
      if (request.max_tokens > 0) {
        pending.push_back(std::move(sequence));
      } else {
        finished.push_back(std::move(sequence.completion));
      }
    }
  }
  std::reverse(pending.begin(), pending.end());

  while (!pending.empty() || !running_.empty()) {
    Admit(requests, pending);
    ArenaScope scope(arena_);
    std::vector<Sequence*> sampled;
    const TokenBatch batch = PlanStep(requests, sampled);
    const ConstMatrix hidden = model_.Forward(weights_, batch, &cache_, arena_, nullptr);
    SampleStep(requests, sampled, hidden, on_token);
    for (Sequence& sequence : running_) {
      if (!sequence.done) continue;
      free_slots_.push_back(sequence.slot);
      finished.push_back(std::move(sequence.completion));
    }
    std::erase_if(running_, [](const Sequence& sequence) { return sequence.done; });
  }
  std::sort(finished.begin(), finished.end(), [](const Completion& a, const Completion& b) {
    return a.request != b.request ? a.request < b.request : a.sample < b.sample;
  });
  return finished;
}

}  // namespace darkhorse
