// Reading byte by byte what a grammar allows. All ways through the grammar are followed at once; a
// set of them is a state, and what follows it is remembered, so that what was read before costs a
// look into a table.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/byte_grammar.h"

namespace darkhorse {

class ByteGrammarReader {
 public:
  using State = int32_t;
  static constexpr State kDead = 0;  // no text of the language begins like this

  // A run of a rule at a node, and the one that waits for it.
  struct Run {
    ByteGrammar::Node node;
    int32_t count;
    int32_t waiting;  // -1: none
    int32_t depth;    // runs that wait
  };

  explicit ByteGrammarReader(std::shared_ptr<const ByteGrammar> grammar);

  const ByteGrammar& grammar() const { return *grammar_; }

  // Before the first byte.
  State Start() { return Alone(grammar_->Start(grammar_->root()), 0); }
  // Within a rule that nobody waits for.
  State Alone(ByteGrammar::Node node, int32_t count);
  // Where the run that waits goes on, once the one that it waits for has ended.
  State Behind(int32_t run);
  State Next(State state, uint8_t byte) {
    const State next = (*states_[static_cast<size_t>(state)].next)[byte];
    return next >= 0 ? next : FindNext(state, byte);
  }

  // Whether the text so far is in the language; of Alone, whether the rule may have ended here.
  bool MayEnd(State state) const { return states_[static_cast<size_t>(state)].may_end; }
  // Whether a further byte may follow.
  bool MayGoOn(State state) const { return !states_[static_cast<size_t>(state)].runs.empty(); }
  // The runs that read the next byte.
  std::span<const int32_t> runs(State state) const {
    return states_[static_cast<size_t>(state)].runs;
  }
  const Run& run(int32_t run) const { return runs_[static_cast<size_t>(run)]; }
  // How deep any run was that was looked at on the way into the state, with what it needed.
  int32_t reach(State state) const { return states_[static_cast<size_t>(state)].reach; }

  // What has been remembered.
  size_t states() const { return states_.size(); }
  int64_t found() const { return found_; }  // what it took: runs that were led on
  // Forgets all but the way to one state, and returns its new number. Others have none any more,
  // and no runs.
  State Forget(State kept);

 private:
  struct Found {
    std::vector<int32_t> runs;  // ascending
    bool may_end = false;
    int32_t reach = 0;
    std::unique_ptr<std::array<State, 256>> next;  // -1: not known yet
  };
  struct Hash {
    size_t operator()(const std::vector<int32_t>& key) const;
    size_t operator()(const std::array<int32_t, 3>& key) const;
  };

  State FindNext(State state, uint8_t byte);
  void Enter(ByteGrammar::Node node, int32_t count, int32_t waiting);
  int32_t Intern(ByteGrammar::Node node, int32_t count, int32_t waiting);
  State Close();

  std::shared_ptr<const ByteGrammar> grammar_;
  std::vector<Run> runs_;
  std::unordered_map<std::array<int32_t, 3>, int32_t, Hash> run_ids_;
  std::vector<Found> states_;
  std::unordered_map<std::vector<int32_t>, State, Hash> state_ids_;
  int64_t found_ = 0;
  // Of the state that is being found.
  std::vector<int32_t> seen_, open_;
  bool ends_ = false;
  int32_t reach_ = 0;
};

}  // namespace darkhorse
