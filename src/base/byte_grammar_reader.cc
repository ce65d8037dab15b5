#include "base/byte_grammar_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace darkhorse {
namespace {

using Counting = ByteGrammar::Counting;

// Ways that are followed at once; of more, those found last are let go. What is read stays a text
// of the language, for each way alone leads to an end.
constexpr size_t kMostRuns = 256;

size_t Mix(size_t hash, int32_t value) {
  return (hash ^ static_cast<size_t>(static_cast<uint32_t>(value))) * 0x9E3779B97F4A7C15ull ^
         (hash >> 29);
}

// The count behind an edge or call; negative: it may not be taken.
int32_t Counted(const ByteGrammar::Machine& machine, Counting counting, int32_t count) {
  switch (counting) {
    case Counting::kNot:
      return count;
    case Counting::kOneMore:
      if (count >= machine.most) return -1;
      // Where nobody will ask, all counts are the same.
      return machine.most == ByteGrammar::kUnbounded ? std::min(count + 1, machine.least)
                                                     : count + 1;
    case Counting::kEnough:
      return count >= machine.least ? 0 : -1;
  }
  return -1;
}

bool IsMereEnd(const ByteGrammar::Place& place) {
  return place.end && place.edges.empty() && place.calls.empty() && place.skips.empty();
}

}  // namespace

size_t ByteGrammarReader::Hash::operator()(const std::vector<int32_t>& key) const {
  size_t hash = key.size();
  for (const int32_t value : key) hash = Mix(hash, value);
  return hash;
}

size_t ByteGrammarReader::Hash::operator()(const std::array<int32_t, 3>& key) const {
  return Mix(Mix(Mix(1, key[0]), key[1]), key[2]);
}

ByteGrammarReader::ByteGrammarReader(std::shared_ptr<const ByteGrammar> grammar)
    : grammar_(std::move(grammar)) {
  CHECK(Close() == kDead);
}

ByteGrammarReader::State ByteGrammarReader::Alone(ByteGrammar::Node node, int32_t count) {
  Enter(node, count, -1);
  return Close();
}

ByteGrammarReader::State ByteGrammarReader::Behind(int32_t run) {
  const Run at = this->run(run);
  Enter(at.node, at.count, at.waiting);
  return Close();
}

int32_t ByteGrammarReader::Intern(ByteGrammar::Node node, int32_t count, int32_t waiting) {
  const auto [found, is_new] =
      run_ids_.try_emplace({node, count, waiting}, static_cast<int32_t>(runs_.size()));
  if (is_new) {
    const int32_t depth = waiting < 0 ? 0 : run(waiting).depth + 1;
    runs_.push_back({node, count, waiting, depth});
  }
  return found->second;
}

// Adds a run to the state that is being found, and all that it may become before the next byte.
void ByteGrammarReader::Enter(ByteGrammar::Node node, int32_t count, int32_t waiting) {
  std::vector<std::array<int32_t, 3>> entered = {{node, count, waiting}};
  while (!entered.empty()) {
    const auto [at, counted, behind] = entered.back();
    entered.pop_back();
    const ByteGrammar::Place& place = grammar_->place(at);
    const int32_t depth = behind < 0 ? 0 : run(behind).depth + 1;
    if (place.need == ByteGrammar::kNever || depth + place.need > ByteGrammar::kMaxDepth) continue;
    if (seen_.size() >= 4 * kMostRuns) return;
    const int32_t id = Intern(at, counted, behind);
    if (std::find(seen_.begin(), seen_.end(), id) != seen_.end()) continue;
    seen_.push_back(id);
    reach_ = std::max(reach_, depth + place.need);
    if (!place.edges.empty() && open_.size() < kMostRuns) open_.push_back(id);
    if (place.end) {
      if (behind < 0) {
        ends_ = true;
      } else {
        const Run& waits = run(behind);
        entered.push_back({waits.node, waits.count, waits.waiting});
      }
    }
    for (const ByteGrammar::Node skip : place.skips) entered.push_back({skip, counted, behind});
    for (const ByteGrammar::Call& call : place.calls) {
      const int32_t after = Counted(grammar_->machine(place.rule), call.counting, counted);
      if (after < 0) continue;
      const ByteGrammar::Place& back = grammar_->place(call.back);
      if (back.need == ByteGrammar::kNever || depth + back.need > ByteGrammar::kMaxDepth) continue;
      reach_ = std::max(reach_, depth + back.need);
      // Nobody has to wait who would only end.
      const int32_t waits = IsMereEnd(back) ? behind : Intern(call.back, after, behind);
      entered.push_back({grammar_->Start(call.rule), 0, waits});
    }
  }
}

// The state that has been entered.
ByteGrammarReader::State ByteGrammarReader::Close() {
  std::sort(open_.begin(), open_.end());
  std::vector<int32_t> key = open_;
  key.push_back(ends_ ? -1 : -2);
  const auto [found, is_new] =
      state_ids_.try_emplace(std::move(key), static_cast<State>(states_.size()));
  if (is_new) {
    states_.push_back({open_, ends_, reach_, std::make_unique<std::array<State, 256>>()});
    states_.back().next->fill(open_.empty() ? kDead : -1);
  } else {
    int32_t& reach = states_[static_cast<size_t>(found->second)].reach;
    reach = std::max(reach, reach_);
  }
  seen_.clear();
  open_.clear();
  ends_ = false;
  reach_ = 0;
  return found->second;
}

ByteGrammarReader::State ByteGrammarReader::FindNext(State state, uint8_t byte) {
  found_ += static_cast<int64_t>(runs(state).size());
  // Entering moves neither the states nor their runs; runs_ may move.
  for (const int32_t id : states_[static_cast<size_t>(state)].runs) {
    const Run at = run(id);
    const ByteGrammar::Place& place = grammar_->place(at.node);
    for (const ByteGrammar::Edge& edge : place.edges) {
      if (byte < edge.low || byte > edge.high) continue;
      const int32_t count = Counted(grammar_->machine(place.rule), edge.counting, at.count);
      if (count >= 0) Enter(edge.to, count, at.waiting);
    }
  }
  const State next = Close();
  (*states_[static_cast<size_t>(state)].next)[byte] = next;
  return next;
}

ByteGrammarReader::State ByteGrammarReader::Forget(State kept) {
  ByteGrammarReader fresh(grammar_);
  fresh.found_ = found_;
  std::vector<int32_t> moved(runs_.size(), -1);
  const auto move = [&](int32_t id) {
    // From the outermost that has not been moved yet.
    std::vector<int32_t> chain;
    for (; id >= 0 && moved[static_cast<size_t>(id)] < 0; id = run(id).waiting) chain.push_back(id);
    for (size_t i = chain.size(); i-- > 0;) {
      const Run& at = run(chain[i]);
      const int32_t waiting = at.waiting < 0 ? -1 : moved[static_cast<size_t>(at.waiting)];
      moved[static_cast<size_t>(chain[i])] = fresh.Intern(at.node, at.count, waiting);
    }
  };
  const Found& state = states_[static_cast<size_t>(kept)];
  for (const int32_t id : state.runs) {
    move(id);
    fresh.open_.push_back(moved[static_cast<size_t>(id)]);
  }
  fresh.ends_ = state.may_end;
  fresh.reach_ = state.reach;
  const State renamed = fresh.Close();
  *this = std::move(fresh);
  return renamed;
}

}  // namespace darkhorse
