// What a step computes, and what is drawn from it.
#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "infer/engine_state.h"
#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// Of a sequence whose guesses do not pay, and cost something to make, one in so many tokens is made
// all the same, to see whether they would pay by now.
constexpr size_t kTokensOfATrial = 16;

}  // namespace

// Rows to compute now of each sequence; 0: none in this step. Those that decode have their one. Of
// the rows for prompts the oldest gets three quarters, so that one that takes long takes hardly
// longer beside others, and the shortest the rest, so that none waits long for it. A first chunk
// comes whole and by itself, or not in this step.
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
    const Sequence& sequence = running_[static_cast<size_t>(i)];
    int64_t& given = rows[static_cast<size_t>(i)];
    int64_t more = std::min({left(i) - given, most, room});
    const int64_t chunk = FirstChunk(sequence.prompt());
    if (sequence.computed < chunk) more = given == 0 && chunk <= room ? chunk : 0;
    given += more;
    room -= more;
  };
  if (!order.empty()) give(order.front(), room - room / 4);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return left(a) < left(b); });
  for (const int64_t i : order) give(i, room);
  return rows;
}

// Guesses for the sequences that decode, by their index; none where they do not pay. One that is
// made only to be judged is behind no row: `rows` says how many of a guess are to be computed.
void Engine::Guess(std::vector<int64_t>& rows, std::vector<std::vector<int32_t>>& guesses) const {
  if (!proposer_) return;
  const auto decodes = [](const Sequence& sequence) {
    return sequence.length() - sequence.computed == 1 && !sequence.completion.tokens.empty();
  };
  const int64_t decoding = std::count_if(running_.begin(), running_.end(), decodes);
  const double row_cost = Acceptance::RowCost(model_.cost().ForwardFlopsPerToken(0) / 2);
  std::vector<size_t> of;
  std::vector<Proposal> proposals;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Sequence& sequence = running_[i];
    if (!decodes(sequence)) continue;
    const GenerationRequest& asked = sequence.request->asked;
    const std::vector<int32_t>& said = sequence.completion.tokens;
    // A token behind the last guess must have its place, too.
    const int64_t room =
        std::min(asked.max_tokens - static_cast<int64_t>(said.size()), Room() - sequence.length()) -
        1;
    const int64_t worth = sequence.acceptance.Worth(decoding, std::min(room, Proposer::kMost),
                                                    proposer_->cost(), row_cost);
    const bool trial = proposer_->cost() == 0 || said.size() % kTokensOfATrial == 0;
    if (room < 1 || (worth == 0 && !trial)) continue;
    rows[i] = worth;
    of.push_back(i);
    proposals.push_back({.request = &asked,
                         .sample = sequence.completion.sample,
                         .completion = &said,
                         .slot = sequence.slot,
                         .most = std::max<int64_t>(worth, 1)});
  }
  if (proposals.empty()) return;
  proposer_->Propose(proposals);
  for (size_t p = 0; p < of.size(); ++p) guesses[of[p]] = std::move(proposals[p].tokens);
}

TokenBatch Engine::PlanStep(std::vector<Planned>& plan) {
  TokenBatch batch;
  const std::vector<int64_t> to_compute = PromptRows();
  std::vector<int64_t> guessed(running_.size());
  std::vector<std::vector<int32_t>> guesses(running_.size());
  Guess(guessed, guesses);
  // Rows that take the same adapter lie together, for their products are computed together.
  std::vector<size_t> order(running_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto adapter = [&](size_t i) { return running_[i].request->asked.adapter; };
  std::ranges::stable_sort(order, {}, adapter);
  for (const size_t i : order) {
    Sequence& sequence = running_[i];
    const int64_t known = to_compute[i], left = sequence.length() - sequence.computed;
    if (known == 0) continue;
    Planned planned{.sequence = &sequence, .first = batch.rows()};
    for (int64_t row = 0; row < known; ++row)
      batch.tokens.push_back(sequence.token(sequence.computed + row));
    planned.guess = std::move(guesses[i]);
    guessed[i] = std::min(guessed[i], static_cast<int64_t>(planned.guess.size()));
    batch.tokens.insert(batch.tokens.end(), planned.guess.begin(),
                        planned.guess.begin() + guessed[i]);
    planned.rows = batch.rows() - planned.first;
    CHECK(budget_.Needs(sequence.slot, sequence.computed + planned.rows) == 0 ||
          !budget_.limited());
    const bool follows = sequence.request->asked.max_tokens > 0;
    planned.sampled = known == left && follows ? 1 + guessed[i] : 0;
    batch.segments.push_back({.row = planned.first,
                              .rows = planned.rows,
                              .position = sequence.computed,
                              .slot = sequence.slot,
                              .adapter = adapter(i)});
    plan.push_back(std::move(planned));
  }
  return batch;
}

// Guesses follow only what has been said, so all rows of a sequence that has said nothing are its
// prompt's.
void Engine::ReadPrompts(std::vector<Planned>& plan, ConstMatrix hidden) {
  for (Planned& planned : plan) {
    const Sequence& sequence = *planned.sequence;
    const GenerationRequest& request = sequence.request->asked;
    const Completion& completion = sequence.completion;
    if (!sequence.tells_prompt()) continue;
    planned.told.hidden_sum = completion.prompt.hidden_sum;  // which goes on
    ReadPrompt(request.prompt, sequence.computed, hidden.Rows(planned.first, planned.rows),
               request.of_prompt, request.top_logp, weights_.lm_head, arena_, &planned.told);
  }
}

// Draws from the rows of one sequence in order: a guessed row is the model's next one if the token
// drawn before it is the guess. `logits`: a row for each.
void Engine::DrawRows(Planned& planned, ConstMatrix logits, Matrix scratch) const {
  const Sequence& sequence = *planned.sequence;
  const GenerationRequest& request = sequence.request->asked;
  std::vector<int32_t> tokens = sequence.completion.tokens;
  while (!planned.done) {
    const auto row = static_cast<int64_t>(planned.drawn.size());
    std::optional<Drawn> drawn = Draw(request, sequence.completion.sample, tokens,
                                      sequence.mask.get(), logits.Rows(row, 1), scratch);
    if (!drawn) {
      planned.done = true;
      planned.finish = FinishReason::kLength;
      return;
    }
    const int32_t token = drawn->token;
    tokens.push_back(token);
    planned.drawn.push_back(*std::move(drawn));
    const bool stop = std::find(request.stop_tokens.begin(), request.stop_tokens.end(), token) !=
                      request.stop_tokens.end();
    const bool full = static_cast<int64_t>(tokens.size()) >= request.max_tokens ||
                      static_cast<int64_t>(request.prompt.size() + tokens.size()) >= Room();
    const bool lost = !stop && sequence.mask && !sequence.mask->Read(token);
    planned.done = stop || full || lost;
    planned.finish = stop ? FinishReason::kStop : FinishReason::kLength;
    const auto guess = static_cast<size_t>(row);
    if (planned.done || guess == planned.guess.size()) return;
    planned.wrong = token != planned.guess[guess];
    if (planned.wrong) return;
    ++planned.right;
    if (row + 1 == planned.sampled) return;
  }
}

void Engine::DrawStep(std::vector<Planned>& plan, ConstMatrix hidden) {
  std::vector<std::pair<Planned*, int64_t>> sampled;  // and the first of its rows among those drawn
  std::vector<int32_t> rows;
  for (Planned& planned : plan) {
    if (planned.sampled == 0) continue;
    sampled.emplace_back(&planned, static_cast<int64_t>(rows.size()));
    for (int64_t row = planned.rows - planned.sampled; row < planned.rows; ++row)
      rows.push_back(static_cast<int32_t>(planned.first + row));
  }
  if (rows.empty()) return;
  const auto count = static_cast<int64_t>(sampled.size());
  const int64_t vocabulary = model_.config().vocab_size;
  const Matrix last = arena_.NewMatrix(static_cast<int64_t>(rows.size()), hidden.cols);
  const Matrix logits = arena_.NewMatrix(last.rows, vocabulary);
  const Matrix scratch = arena_.NewMatrix(count, vocabulary);
  GatherRows(hidden, rows, last);
  LinearForward(last, weights_.lm_head, logits);
  try {
    ParallelFor(count, [&](int64_t i) {
      const auto [planned, first] = sampled[static_cast<size_t>(i)];
      DrawRows(*planned, logits.Rows(first, planned->sampled), scratch.Rows(i, 1));
    });
  } catch (...) {
    // Masks that have read on are as they were.
    for (const auto& [planned, first] : sampled) planned->sequence->MakeMask();
    throw;
  }
}

// Of the rows of a sequence that stay in the cache, as long as the token behind is known.
void Engine::TellProposer(const Planned& planned, int64_t kept, ConstMatrix hidden) const {
  const Sequence& sequence = *planned.sequence;
  const int64_t length = sequence.length();
  const int64_t known = length + static_cast<int64_t>(planned.drawn.size());
  std::vector<int32_t> next;
  for (int64_t at = sequence.computed + 1; at <= sequence.computed + kept && at < known; ++at) {
    next.push_back(at < length ? sequence.token(at)
                               : planned.drawn[static_cast<size_t>(at - length)].token);
  }
  const auto rows = static_cast<int64_t>(next.size());
  proposer_->Computed(sequence.slot, sequence.computed, hidden.Rows(planned.first, rows), next);
}

EngineStep Engine::Commit(std::vector<Planned>& plan, ConstMatrix hidden) {
  EngineStep step;
  for (Planned& planned : plan) {
    Sequence& sequence = *planned.sequence;
    step.rows += planned.rows;
    step.sampled += planned.sampled;
    step.attended += planned.rows * sequence.computed + planned.rows * (planned.rows + 1) / 2;
    step.cached += sequence.computed + planned.rows;
    if (sequence.completion.tokens.empty()) stats_.prompt_tokens += planned.rows;
    const int64_t guessed = std::max<int64_t>(planned.sampled - 1, 0);
    const int64_t accepted = std::min(planned.right, guessed);
    const int64_t kept = planned.rows - (guessed - accepted);  // the others will be written over
    if (proposer_) TellProposer(planned, kept, hidden);
    step.guessed += guessed;
    step.accepted += accepted;
    sequence.computed += kept;
    sequence.completion.prompt.Append(std::move(planned.told));
    if (planned.sampled == 0) {
      sequence.done = sequence.computed == sequence.length();  // nothing is asked for behind it
      continue;
    }
    sequence.acceptance.Judge(planned.right, planned.wrong);
    sequence.done = planned.done;
    sequence.finish = planned.finish;
    std::move(planned.drawn.begin(), planned.drawn.end(), std::back_inserter(sequence.untold));
  }
  stats_.work += step;
  return step;
}

}  // namespace darkhorse
