#include "infer/token_mask.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace darkhorse {
namespace {

using State = ByteGrammarReader::State;

// Fewer tokens than this are kept as a list.
constexpr size_t kFewTokens = 512;
// How much is remembered before all of it is forgotten: of a grammar places, and those with sets;
// sets of a completion; states of a reader, a kilobyte each.
constexpr size_t kMostPlaces = 4096, kMostSets = 512, kMostKnown = 256, kMostStates = 8192;
// What walks of the tree may take to find what they have not met before (ByteGrammarReader::found).
// Where a grammar is so ambiguous that this does not do, tokens that were met by then are allowed.
constexpr int64_t kMostFound = 200'000;

// Tries the tokens below a node of the tree that have at most `longest` bytes, from the state that
// the bytes up to it have led to. `meet` hears of each node that can be read, and with which state.
template <typename Meet>
void Walk(const TokenTree& tree, int32_t top, State from, ByteGrammarReader* reader, int64_t budget,
          size_t longest, const Meet& meet) {
  std::array<State, TokenTree::kLongest + 1> states;
  states[tree.node(top).depth] = from;
  const int32_t behind = tree.node(top).behind;
  for (int32_t at = top + 1; at < behind && reader->found() < budget;) {
    const TokenTree::Node& node = tree.node(at);
    const State state = reader->Next(states[node.depth - 1u], node.byte);
    if (state == ByteGrammarReader::kDead || node.depth > longest) {
      at = node.behind;
      continue;
    }
    states[node.depth] = state;
    meet(at, state);
    ++at;
  }
}

}  // namespace

TokenGrammar::TokenGrammar(std::shared_ptr<const TokenTree> tree,
                           std::shared_ptr<const ByteGrammar> grammar)
    : tree_(std::move(tree)), grammar_(std::move(grammar)), reader_(grammar_) {}

// A token adds no more to a count than it has bytes, so that beyond those it cannot tell how far
// the count is from its bounds.
TokenGrammar::Key TokenGrammar::KeyOf(ByteGrammar::Node node, int32_t count) const {
  const ByteGrammar::Machine& machine = grammar_->machine(grammar_->place(node).rule);
  constexpr auto kFar = static_cast<int32_t>(kCountedBytes) + 1;
  return {node, std::clamp(machine.least - count, 0, kFar),
          machine.most == ByteGrammar::kUnbounded ? kFar : std::min(machine.most - count, kFar)};
}

size_t TokenGrammar::Longest(ByteGrammar::Node node, int32_t count) const {
  const ByteGrammar::Machine& machine = grammar_->machine(grammar_->place(node).rule);
  const bool counts = machine.most != ByteGrammar::kUnbounded || count < machine.least;
  return counts ? kCountedBytes : TokenTree::kLongest;
}

std::shared_ptr<const TokenGrammar::Within> TokenGrammar::Find(ByteGrammar::Node node,
                                                               int32_t count) {
  const std::lock_guard lock(mutex_);
  const Key key = KeyOf(node, count);
  if (const auto found = found_.find(key); found != found_.end()) return found->second;
  if (sets_ > kMostSets || found_.size() > kMostPlaces) {
    found_.clear();
    sets_ = 0;
  }
  if (reader_.states() > kMostStates) reader_.Forget(ByteGrammarReader::kDead);
  auto within = std::make_shared<Within>();
  const State alone = reader_.Alone(node, count);
  const auto meet = [&](int32_t at, State state) {
    const TokenTree::Node& met = tree_->node(at);
    within->reach = std::max(within->reach, reader_.reach(state));
    if (reader_.MayEnd(state) && met.behind > at + 1) within->ends.push_back(at);
    for (int32_t token = met.token; token >= 0; token = tree_->Same(token))
      within->tokens.push_back(token);
  };
  Walk(*tree_, 0, alone, &reader_, reader_.found() + kMostFound, Longest(node, count), meet);
  if (within->tokens.size() >= kFewTokens) {
    auto set = std::make_unique<TokenSet>(tree_->vocabulary());
    for (const int32_t token : within->tokens) set->Add(token);
    within->set = std::move(set);
    within->tokens = {};
    ++sets_;
  }
  found_.emplace(key, within);
  return within;
}

TokenMask::TokenMask(const TokenConstraint& constraint)
    : grammar_(constraint.grammar), reader_(grammar_->grammar()), state_(reader_.Start()) {
  Read(constraint.begun);
}

bool TokenMask::Read(std::string_view bytes) {
  for (const char byte : bytes) state_ = reader_.Next(state_, static_cast<uint8_t>(byte));
  allowed_ = nullptr;
  if (reader_.states() > kMostStates) {
    state_ = reader_.Forget(state_);
    known_.clear();
  }
  return !dead();
}

std::shared_ptr<const TokenSet> TokenMask::AllowedBy(int32_t run, int64_t budget) {
  const ByteGrammarReader::Run at = reader_.run(run);
  const auto [node, least, most] = grammar_->KeyOf(at.node, at.count);
  const Key key = {node, least, most, at.waiting};
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  const TokenTree& tree = grammar_->tree();
  auto allowed = std::make_shared<TokenSet>(tree.vocabulary());
  const auto add = [&](int32_t met, State) {
    for (int32_t token = tree.node(met).token; token >= 0; token = tree.Same(token))
      allowed->Add(token);
  };
  const auto within = grammar_->Find(at.node, at.count);
  const size_t longest = grammar_->Longest(at.node, at.count);
  if (at.depth + within->reach > ByteGrammar::kMaxDepth) {
    // So deep, what a rule accepts does depend on who waits.
    Walk(tree, 0, reader_.Behind(run), &reader_, budget, longest, add);
  } else {
    if (within->set) allowed->Add(*within->set);
    for (const int32_t token : within->tokens) allowed->Add(token);
    if (at.waiting >= 0 && !within->ends.empty()) {
      const State behind = reader_.Behind(at.waiting);
      for (const int32_t end : within->ends)
        Walk(tree, end, behind, &reader_, budget, longest, add);
    }
  }
  if (known_.size() >= kMostKnown) known_.clear();
  known_.emplace(key, allowed);
  return allowed;
}

const TokenSet& TokenMask::Allowed() {
  if (allowed_) return *allowed_;
  const auto runs = reader_.runs(state_);
  const int64_t budget = reader_.found() + kMostFound;
  if (runs.size() == 1) {
    allowed_ = AllowedBy(runs.front(), budget);
    return *allowed_;
  }
  auto all = std::make_shared<TokenSet>(grammar_->tree().vocabulary());
  const std::vector<int32_t> each(runs.begin(), runs.end());  // the reader's move
  for (const int32_t run : each) all->Add(*AllowedBy(run, budget));
  allowed_ = std::move(all);
  return *allowed_;
}

bool TokenMask::Restrict(std::span<float> logits, std::span<const int32_t> ends) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  std::vector<std::pair<size_t, float>> kept;
  for (const int32_t end : ends) {
    const auto id = static_cast<size_t>(end);
    if (id < logits.size()) kept.emplace_back(id, may_end() ? logits[id] : kNone);
  }
  const std::vector<uint64_t>& words = Allowed().words();
  for (size_t begin = 0; begin < logits.size(); begin += TokenSet::kBits) {
    const size_t at = begin / TokenSet::kBits;
    const uint64_t word = at < words.size() ? words[at] : 0;
    if (word == ~uint64_t{0}) continue;
    const size_t behind = std::min(begin + TokenSet::kBits, logits.size());
    for (size_t id = begin; id < behind; ++id) {
      if ((word >> (id - begin) & 1) == 0) logits[id] = kNone;
    }
  }
  for (const auto& [id, logit] : kept) logits[id] = logit;
  return std::any_of(logits.begin(), logits.end(), [](float logit) { return logit != kNone; });
}

}  // namespace darkhorse
