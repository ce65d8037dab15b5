#include "base/byte_grammar.h"

#include <algorithm>

#include "base/error.h"

namespace darkhorse {

ByteGrammar::Rule ByteGrammar::AddRule(int32_t least, int32_t most) {
  CHECK(0 <= least && least <= most);
  const auto rule = static_cast<Rule>(rules_.size());
  rules_.push_back({0, least, most});
  rules_.back().start = AddNode(rule);
  return rule;
}

ByteGrammar::Node ByteGrammar::AddNode(Rule rule) {
  places_.push_back({{}, {}, {}, rule});
  return static_cast<Node>(places_.size() - 1);
}

void ByteGrammar::AddEdge(Node from, uint8_t low, uint8_t high, Node to, Counting counting) {
  CHECK(low <= high && place(from).rule == place(to).rule);
  places_[static_cast<size_t>(from)].edges.push_back({low, high, counting, to});
}

ByteGrammar::Node ByteGrammar::AddText(Node from, std::string_view text) {
  CHECK(!text.empty());
  for (const char byte : text) {
    const Node next = AddNode(place(from).rule);
    AddByte(from, byte, next);
    from = next;
  }
  return from;
}

void ByteGrammar::AddCall(Node from, Rule rule, Node back, Counting counting) {
  CHECK(place(from).rule == place(back).rule);
  places_[static_cast<size_t>(from)].calls.push_back({rule, counting, back});
}

ByteGrammar::Node ByteGrammar::AddCall(Node from, Rule rule) {
  const Node back = AddNode(place(from).rule);
  AddCall(from, rule, back);
  return back;
}

void ByteGrammar::AddSkip(Node from, Node to) {
  CHECK(place(from).rule == place(to).rule);
  places_[static_cast<size_t>(from)].skips.push_back(to);
}

void ByteGrammar::SetEnd(Node node) { places_[static_cast<size_t>(node)].end = true; }

void ByteGrammar::Finish(Rule root) {
  root_ = root;
  FindNeeds();
  if (place(Start(root)).need > kMaxDepth / 2) {
    if (place(Start(root)).need == kNever) Fail("no finite text can satisfy it");
    Fail("what satisfies it nests too deep");
  }
  CheckBeginnings();
}

// From above, until nothing falls any more. What a rule counts is not looked at.
void ByteGrammar::FindNeeds() {
  for (Place& place : places_) place.need = place.end ? 0 : kNever;
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = places_.rbegin(); it != places_.rend(); ++it) {
      int32_t need = it->need;
      for (const Edge& edge : it->edges) need = std::min(need, place(edge.to).need);
      for (const Node skip : it->skips) need = std::min(need, place(skip).need);
      for (const Call& call : it->calls) {
        const int32_t inner = place(Start(call.rule)).need;
        if (inner != kNever) need = std::min(need, std::max(inner + 1, place(call.back).need));
      }
      changed |= need < it->need;
      it->need = need;
    }
  }
}

// A rule that calls itself before anything was read would wait for itself for ever.
void ByteGrammar::CheckBeginnings() const {
  std::vector<bool> empty(rules_.size());  // rules that read the empty text
  std::vector<std::vector<Rule>> first(rules_.size());
  const auto walk = [&](size_t rule) {
    std::vector<Node> open = {rules_[rule].start};
    bool may_be_empty = false;
    first[rule].clear();
    for (size_t i = 0; i < open.size(); ++i) {
      const auto reach = [&](Node node) {
        if (std::find(open.begin(), open.end(), node) == open.end()) open.push_back(node);
      };
      const Place& at = place(open[i]);
      may_be_empty |= at.end;
      for (const Node skip : at.skips) reach(skip);
      for (const Call& call : at.calls) {
        first[rule].push_back(call.rule);
        if (empty[static_cast<size_t>(call.rule)]) reach(call.back);
      }
    }
    return may_be_empty;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      const bool may_be_empty = walk(rule);
      changed |= may_be_empty != empty[rule];
      empty[rule] = may_be_empty;
    }
  }
  // Rules are taken off once all that they begin with are; those in a circle stay.
  std::vector<size_t> waits(rules_.size());
  std::vector<std::vector<size_t>> waiting(rules_.size());
  std::vector<size_t> ready;
  for (size_t rule = 0; rule < rules_.size(); ++rule) {
    waits[rule] = first[rule].size();
    for (const Rule inner : first[rule]) waiting[static_cast<size_t>(inner)].push_back(rule);
    if (waits[rule] == 0) ready.push_back(rule);
  }
  for (size_t i = 0; i < ready.size(); ++i) {
    for (const size_t rule : waiting[ready[i]]) {
      if (--waits[rule] == 0) ready.push_back(rule);
    }
  }
  if (ready.size() < rules_.size()) Fail("it begins with itself, with nothing to read between");
}

}  // namespace darkhorse
