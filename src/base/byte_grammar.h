// A language of byte strings: rules that read bytes and call each other, as the functions of a
// recursive-descent parser do. Knows no format of its own.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace darkhorse {

// A rule is a machine of nodes. Between them lie edges that read a byte, calls that read what
// another rule reads, and skips that read nothing. Several may be open to the same byte: a text is
// in the language if any way through reads it.
//
// Each run of a rule counts, from 0: an edge or call of kOneMore adds one and may not be taken
// where that would pass the rule's maximum; one of kEnough may be taken from its minimum on only.
class ByteGrammar {
 public:
  using Node = int32_t;
  using Rule = int32_t;
  enum class Counting : uint8_t { kNot, kOneMore, kEnough };
  static constexpr int32_t kUnbounded = std::numeric_limits<int32_t>::max();
  // How many runs of rules may wait for each other while a text is read. What would need more, now
  // or before it can end, is not in the language.
  static constexpr int32_t kMaxDepth = 256;
  static constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

  struct Edge {
    uint8_t low, high;  // the bytes that it reads, inclusive
    Counting counting;
    Node to;
  };
  struct Call {
    Rule rule;
    Counting counting;
    Node back;  // where the caller goes on
  };
  struct Place {  // what a node is
    std::vector<Edge> edges;
    std::vector<Call> calls;
    std::vector<Node> skips;
    Rule rule;
    bool end = false;  // the rule may end here
    int32_t need = 0;  // runs of other rules that must wait before the rule can end; or kNever
  };
  struct Machine {  // what a rule is
    Node start;
    int32_t least = 0, most = kUnbounded;
  };

  Rule AddRule(int32_t least = 0, int32_t most = kUnbounded);
  Node AddNode(Rule rule);
  Node Start(Rule rule) const { return rules_[static_cast<size_t>(rule)].start; }

  void AddEdge(Node from, uint8_t low, uint8_t high, Node to, Counting counting = Counting::kNot);
  void AddByte(Node from, char byte, Node to, Counting counting = Counting::kNot) {
    AddEdge(from, static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), to, counting);
  }
  // Reads these bytes, at least one, and returns where they end; `to`: a new node.
  Node AddText(Node from, std::string_view text);
  void AddCall(Node from, Rule rule, Node back, Counting counting = Counting::kNot);
  // The same, and returns where the caller goes on: a new node.
  Node AddCall(Node from, Rule rule);
  void AddSkip(Node from, Node to);
  void SetEnd(Node node);

  // Ends the building: the language is that of `root`. Error: no text is in it, or a rule begins
  // with itself so that nothing is read between.
  void Finish(Rule root);

  Rule root() const { return root_; }
  const Place& place(Node node) const { return places_[static_cast<size_t>(node)]; }
  const Machine& machine(Rule rule) const { return rules_[static_cast<size_t>(rule)]; }
  size_t nodes() const { return places_.size(); }

 private:
  void FindNeeds();
  void CheckBeginnings() const;

  std::vector<Place> places_;
  std::vector<Machine> rules_;
  Rule root_ = -1;
};

}  // namespace darkhorse
