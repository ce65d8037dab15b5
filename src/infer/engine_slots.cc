// Who has a slot: what begins, with what of it is there already, and what gives way.
#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "base/error.h"
#include "infer/engine_state.h"

namespace darkhorse {

// Of a prompt of so many tokens, how many have to be computed together, before all else of it. From
// latents a prompt's first chunk attends in another order of sums than what follows
// (model/mla.cc); behind it a row's bits do not depend on the rows beside it. The prompt's last row
// is apart, for a sibling has to compute it by itself.
int64_t Engine::FirstChunk(int64_t prompt) const {
  if (cache_.form() == CacheForm::kExpanded) return 0;
  return std::clamp<int64_t>(prompt - 1, 1, prefill_rows_);
}

Engine::Computed Engine::HowComputed(const Sequence& sequence) const {
  return {sequence.request->asked.adapter, FirstChunk(sequence.prompt())};
}

// The slot that holds most of the beginning of these tokens, of which so many are a prompt; of
// several one that is free. The last of them is left to compute.
Engine::Source Engine::LongestCommon(std::span<const int32_t> tokens, int64_t prompt,
                                     int32_t adapter) const {
  Source best;
  const Computed wanted = {adapter, FirstChunk(prompt)};
  const auto consider = [&](int64_t slot, bool running, const Computed& how, int64_t computed,
                            const auto& token) {
    if (how != wanted) return;
    const int64_t most = std::min(computed, static_cast<int64_t>(tokens.size()) - 1);
    int64_t common = 0;
    while (common < most && token(common) == tokens[static_cast<size_t>(common)]) ++common;
    if (common >= wanted.first_chunk && common > best.tokens) best = {slot, common, running};
  };
  for (const int64_t slot : free_slots_) {
    const std::vector<int32_t>& held = held_[static_cast<size_t>(slot)];
    consider(slot, false, held_how_[static_cast<size_t>(slot)], static_cast<int64_t>(held.size()),
             [&](int64_t i) { return held[static_cast<size_t>(i)]; });
  }
  for (const Sequence& sequence : running_) {
    consider(sequence.slot, true, HowComputed(sequence), sequence.computed,
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
// now. A source that leaves no room where nothing runs is taken itself.
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
    taken = source->slot >= 0 ? std::ranges::find(free_slots_, source->slot) : choose();
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
  const int64_t slot = TakeSlot(&source, first);
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
  if (remember_ && !sequence.tells_prompt())
    source = LongestCommon(tokens, sequence.prompt(), sequence.request->asked.adapter);
  const int64_t slot = TakeSlot(&source, sequence.length());
  if (slot < 0) return false;
  sequence.slot = slot;
  sequence.computed = source.tokens;
  running_.push_back(std::move(sequence));
  gave_way_.pop_front();
  return true;
}

// Whose turn it is. A party that asks for much gets no more slots than another that waits.
std::map<uint64_t, Engine::Party>::iterator Engine::NextParty() {
  const auto rank = [this](const auto& party) {
    const auto slots = std::ranges::count_if(
        running_, [&](const Sequence& s) { return s.request->party == party.first; });
    return std::pair(slots, party.second.turn);
  };
  return std::ranges::min_element(waiting_, {}, rank);
}

void Engine::Admit() {
  while (!free_slots_.empty() && !gave_way_.empty()) {
    if (!Resume()) return;
  }
  // A sample whose sibling is still computing their prompt waits for it, and those behind it with
  // it: the wait is a few steps at most.
  while (!free_slots_.empty() && !waiting_.empty()) {
    const auto party = NextParty();
    const std::shared_ptr<Request> next = party->second.waiting.front();
    const int64_t shareable = static_cast<int64_t>(next->asked.prompt.size()) -
                              1;  // the last token is computed to sample from
    const auto sibling = std::find_if(running_.begin(), running_.end(),
                                      [&](const Sequence& s) { return s.request == next; });
    Source source;
    if (sibling != running_.end() && shareable > 0) {
      if (sibling->computed < shareable) return;
      source = {sibling->slot, shareable, /*running=*/true};
    } else if (remember_ && !(next->asked.of_prompt.any() && next->admitted == 0)) {
      source = LongestCommon(next->asked.prompt, shareable + 1, next->asked.adapter);
    }
    if (!Begin(next, source)) return;
    party->second.turn = next_turn_++;
    if (next->admitted == next->asked.samples) party->second.waiting.pop_front();
    if (party->second.waiting.empty()) waiting_.erase(party);
  }
}

// The sequence admitted last leaves its slot. What was told of it stays told.
void Engine::GiveWay() {
  CHECK(running_.size() > 1);
  Sequence& sequence = running_.back();
  free_slots_.push_back(sequence.slot);
  ReleaseSlot(sequence.slot);
  sequence.slot = -1;
  if (sequence.tells_prompt()) sequence.completion.prompt = {};  // told again
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
  std::vector<int32_t>& tokens = held_[static_cast<size_t>(sequence.slot)];
  // Of one that was cancelled more may have been computed than was told; what is remembered is what
  // would be had each token come by itself.
  const int64_t computed = std::min(sequence.computed, sequence.length() - 1);
  for (int64_t i = 0; i < computed; ++i) tokens.push_back(sequence.token(i));
  held_how_[static_cast<size_t>(sequence.slot)] = HowComputed(sequence);
}

}  // namespace darkhorse
