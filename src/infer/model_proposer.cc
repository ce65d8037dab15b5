#include "infer/model_proposer.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "infer/draw.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "model/attention.h"

namespace darkhorse {
namespace {

// Of one sequence in a pass that catches up.
constexpr int64_t kRowsAtOnce = 512;

int64_t Size(std::span<const int32_t> tokens) { return static_cast<int64_t>(tokens.size()); }

// None where the logits are no numbers: a guess is no reason to fail.
std::optional<int32_t> GuessNext(const Proposal& proposal, ConstMatrix logits, Matrix scratch) {
  std::vector<int32_t> said = *proposal.completion;
  said.insert(said.end(), proposal.tokens.begin(), proposal.tokens.end());
  try {
    return Draw(*proposal.request, proposal.sample, said, nullptr, logits, scratch)->token;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

void ModelProposer::Propose(std::span<Proposal> proposals) {
  ArenaScope scope(arena_);
  Matrix hidden = Begin(proposals);
  std::vector<Proposal*> going;
  std::vector<int32_t> rows;  // of `hidden`, those of `going`
  for (size_t i = 0; i < proposals.size(); ++i) {
    if (proposals[i].most == 0) continue;
    going.push_back(&proposals[i]);
    rows.push_back(static_cast<int32_t>(i));
  }
  while (!going.empty()) {
    const auto count = static_cast<int64_t>(going.size());
    const Matrix states = arena_.NewMatrix(count, hidden.cols);
    const Matrix logits = arena_.NewMatrix(count, head().out());
    const Matrix whole = arena_.NewMatrix(count, vocabulary_);  // of the model to be guessed
    const Matrix scratch = arena_.NewMatrix(count, vocabulary_);
    GatherRows(hidden, rows, states);
    LinearForward(states, head(), logits);
    const int64_t shared = std::min(vocabulary_, logits.cols);
    std::vector<std::optional<int32_t>> tokens(going.size());
    ParallelFor(count, [&](int64_t i) {
      std::fill_n(whole.Row(i), vocabulary_, -std::numeric_limits<float>::infinity());
      std::copy_n(logits.Row(i), shared, whole.Row(i));
      const auto at = static_cast<size_t>(i);
      tokens[at] = GuessNext(*going[at], whole.Rows(i, 1), scratch.Rows(i, 1));
    });
    std::vector<Proposal*> further;
    rows.clear();
    for (size_t i = 0; i < going.size(); ++i) {
      if (!tokens[i]) continue;
      going[i]->tokens.push_back(*tokens[i]);
      if (Size(going[i]->tokens) == going[i]->most) continue;
      further.push_back(going[i]);
      rows.push_back(static_cast<int32_t>(i));
    }
    going = std::move(further);
    if (going.empty()) return;
    const Matrix behind = arena_.NewMatrix(static_cast<int64_t>(going.size()), hidden.cols);
    GatherRows(states, rows, behind);
    hidden = GoOn(going, behind);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  }
}

DraftProposer::DraftProposer(const Transformer& draft, const ModelWeights& weights,
                             const Transformer& model, CacheForm form, int64_t slots,
                             int64_t capacity)
    : ModelProposer(model.config().vocab_size),
      draft_(draft),
      weights_(weights),
      cost_(draft.cost().ForwardFlopsPerToken(0) / model.cost().ForwardFlopsPerToken(0)),
      cache_(draft.config(), form, slots,
             std::min(capacity, draft.config().max_position_embeddings),
             AttentionFormat(weights.layers.front())),
      held_(static_cast<size_t>(slots)) {}

// Whether the draft has all of these tokens, and room for them and a guess.
bool DraftProposer::Knows(std::span<const int32_t> text, int64_t most) const {
  return Size(text) + most <= cache_.capacity() && std::ranges::all_of(text, [&](int32_t token) {
           return token < draft_.config().vocab_size;
         });
}

Matrix DraftProposer::Begin(std::span<Proposal> proposals) {
  const Matrix last =
      arena_.NewMatrix(static_cast<int64_t>(proposals.size()), draft_.config().hidden_size);
  std::vector<std::vector<int32_t>> texts(proposals.size());
  for (size_t i = 0; i < proposals.size(); ++i) {
    Proposal& proposal = proposals[i];
    std::vector<int32_t>& text = texts[i];
    text = proposal.request->prompt;
    text.insert(text.end(), proposal.completion->begin(), proposal.completion->end());
    if (!Knows(text, proposal.most)) proposal.most = 0;
    // What the cache has of it, but for the last token.
    std::vector<int32_t>& held = held_[static_cast<size_t>(proposal.slot)];
    const auto end = text.begin() + std::min(Size(held), Size(text) - 1);
    held.resize(
        static_cast<size_t>(std::mismatch(text.begin(), end, held.begin()).first - text.begin()));
  }
  while (true) {
    ArenaScope scope(arena_);
    TokenBatch batch;
    std::vector<size_t> of;
    for (size_t i = 0; i < proposals.size(); ++i) {
      std::vector<int32_t>& held = held_[static_cast<size_t>(proposals[i].slot)];
      const int64_t rows = std::min(Size(texts[i]) - Size(held), kRowsAtOnce);
      if (proposals[i].most == 0 || rows == 0) continue;
      batch.segments.push_back({batch.rows(), rows, Size(held), proposals[i].slot});
      const auto from = texts[i].begin() + Size(held);
      batch.tokens.insert(batch.tokens.end(), from, from + rows);
      of.push_back(i);
    }
    if (of.empty()) return last;
    const ConstMatrix hidden = draft_.Forward(weights_, batch, &cache_, arena_, nullptr);
    for (size_t s = 0; s < of.size(); ++s) {
      const Segment& segment = batch.segments[s];
      std::vector<int32_t>& held = held_[static_cast<size_t>(segment.slot)];
      held.insert(held.end(), batch.tokens.begin() + segment.row,
                  batch.tokens.begin() + segment.row + segment.rows);
      std::copy_n(hidden.Row(segment.row + segment.rows - 1), hidden.cols,
                  last.Row(static_cast<int64_t>(of[s])));
    }
  }
}

Matrix DraftProposer::GoOn(std::span<Proposal*> proposals, ConstMatrix) {
  TokenBatch batch;
  for (const Proposal* proposal : proposals) {
    std::vector<int32_t>& held = held_[static_cast<size_t>(proposal->slot)];
    batch.segments.push_back({batch.rows(), 1, Size(held), proposal->slot});
    batch.tokens.push_back(proposal->tokens.back());
    held.push_back(proposal->tokens.back());
  }
  return draft_.Forward(weights_, batch, &cache_, arena_, nullptr);
}

namespace {

// Of the cache: one layer.
ModelConfig OneLayer(ModelConfig config) {
  config.num_hidden_layers = 1;
  return config;
}

}  // namespace

MtpProposer::MtpProposer(const Transformer& model, const ModelWeights& weights, CacheForm form,
                         int64_t slots, int64_t capacity)
    : ModelProposer(model.config().vocab_size),
      model_(model),
      weights_(weights),
      config_(model.config()),
      cache_(OneLayer(model.config()), form, slots, capacity,
             AttentionFormat(weights.mtp.at(0).layer)),
      slots_(static_cast<size_t>(slots)) {
  config_.num_hidden_layers = 0;  // the module comes behind so many
}

// A layer and the head, as if all layers were alike.
double MtpProposer::cost() const {
  const double all = model_.cost().ForwardFlopsPerToken(0);
  const double head = model_.cost().HeadFlopsPerToken();
  const auto layers = static_cast<double>(model_.config().num_hidden_layers);
  return ((all - head) / layers + head) / all;
}

double MtpProposer::Bytes(const ModelConfig& config, CacheForm form, int64_t slots,
                          int64_t capacity, Format format) {
  return KvCache::Bytes(OneLayer(config), form, slots, capacity, format);
}

void MtpProposer::Computed(int64_t slot, int64_t position, ConstMatrix hidden,
                           std::span<const int32_t> next) {
  Slot& to = slots_[static_cast<size_t>(slot)];
  CHECK(position == to.computed + Size(to.next) && hidden.rows == Size(next));
  for (int64_t row = 0; row < hidden.rows; ++row)
    to.hidden.insert(to.hidden.end(), hidden.Row(row), hidden.Row(row) + hidden.cols);
  to.next.insert(to.next.end(), next.begin(), next.end());
}

// The last position that is shared was computed with the token that came next where it came from:
// one row of a guess's context that is not quite right.
void MtpProposer::Begun(int64_t slot, int64_t from, int64_t tokens) {
  if (tokens > 0) {
    ArenaScope scope(arena_);
    CatchUp({&from, 1});
    CHECK(slots_[static_cast<size_t>(from)].computed >= tokens);
    if (from != slot) cache_.CopyPrefix(from, slot, tokens);
  }
  slots_[static_cast<size_t>(slot)] = {.computed = tokens};
}

// States [rows, hidden], in the arena, behind those and their next tokens.
Matrix MtpProposer::Forward(std::span<const Rows> rows) {
  TokenBatch batch;
  for (const Rows& part : rows) {
    batch.segments.push_back({batch.rows(), Size(part.next), part.position, part.slot});
    batch.tokens.insert(batch.tokens.end(), part.next.begin(), part.next.end());
  }
  const Matrix previous = arena_.NewMatrix(batch.rows(), config_.hidden_size);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int64_t row = 0; row < rows[i].hidden.rows; ++row)
      std::copy_n(rows[i].hidden.Row(row), previous.cols,
                  previous.Row(batch.segments[i].row + row));
  }
  const PassContext pass{config_, model_.rope().table(batch.positions()),
                         batch,   RowPositions(batch, config_, arena_),
                         &cache_, arena_,
                         nullptr};
  MtpSaved saved;
  saved.next = batch.tokens;
  MtpForward(pass, weights_, /*depth=*/0, previous, &saved);
  return saved.out;
}

// Computes what waits in these slots.
void MtpProposer::CatchUp(std::span<const int64_t> slots) {
  while (true) {
    ArenaScope scope(arena_);
    std::vector<Rows> rows;
    for (const int64_t slot : slots) {
      Slot& of = slots_[static_cast<size_t>(slot)];
      const int64_t count = std::min(Size(of.next), kRowsAtOnce);
      if (count == 0) continue;
      rows.push_back({slot, of.computed, ConstMatrix(of.hidden.data(), count, config_.hidden_size),
                      std::span(of.next).first(static_cast<size_t>(count))});
    }
    if (rows.empty()) return;
    const ConstMatrix out = Forward(rows);
    int64_t row = 0;
    for (const Rows& part : rows) {
      Slot& of = slots_[static_cast<size_t>(part.slot)];
      const int64_t count = part.hidden.rows;
      row += count;
      of.last.assign(out.Row(row - 1), out.Row(row - 1) + out.cols);
      of.computed += count;
      of.next.erase(of.next.begin(), of.next.begin() + count);
      of.hidden.erase(of.hidden.begin(), of.hidden.begin() + count * config_.hidden_size);
    }
  }
}

Matrix MtpProposer::Begin(std::span<Proposal> proposals) {
  std::vector<int64_t> slots;
  for (const Proposal& proposal : proposals) slots.push_back(proposal.slot);
  const Matrix last = arena_.NewMatrix(static_cast<int64_t>(proposals.size()), config_.hidden_size);
  CatchUp(slots);
  for (size_t i = 0; i < slots.size(); ++i)
    std::ranges::copy(slots_[static_cast<size_t>(slots[i])].last,
                      last.Row(static_cast<int64_t>(i)));
  return last;
}

// What is written for guesses lies behind what is computed, and is written over.
Matrix MtpProposer::GoOn(std::span<Proposal*> proposals, ConstMatrix hidden) {
  std::vector<Rows> rows;
  for (size_t i = 0; i < proposals.size(); ++i) {
    const Proposal& proposal = *proposals[i];
    const int64_t position =
        slots_[static_cast<size_t>(proposal.slot)].computed + Size(proposal.tokens) - 1;
    rows.push_back({proposal.slot, position, hidden.Rows(static_cast<int64_t>(i), 1),
                    std::span(proposal.tokens).last(1)});
  }
  return Forward(rows);
}

}  // namespace darkhorse
