// What an engine knows of the requests it works on, for its own files (engine.cc, engine_slots.cc,
// engine_step.cc).
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "infer/acceptance.h"
#include "infer/draw.h"
#include "infer/engine.h"

namespace darkhorse {

struct Engine::Request {
  GenerationRequest asked;
  RequestId id;          // unique in this engine
  RequestId name;        // what its completions bear
  uint64_t party;        // whose it is
  int64_t admitted = 0;  // samples that have or had a slot
  bool cancelled = false;
};

struct Engine::Party {
  uint64_t turn;                                 // when it came or was last given a slot
  std::deque<std::shared_ptr<Request>> waiting;  // those with samples that had no slot yet
};

struct Engine::Sequence {
  std::shared_ptr<Request> request;
  Completion completion;            // as far as it has been told
  std::deque<Drawn> untold;         // what comes next of it
  std::unique_ptr<TokenMask> mask;  // has read all that was drawn; null: anything may come
  int64_t slot = -1;
  int64_t computed = 0;                         // tokens in the cache
  bool done = false;                            // nothing comes after what is untold
  FinishReason finish = FinishReason::kLength;  // of the last token drawn
  Acceptance acceptance;                        // of its guesses

  int64_t prompt() const { return static_cast<int64_t>(request->asked.prompt.size()); }
  // Of what has been told.
  int64_t length() const { return prompt() + static_cast<int64_t>(completion.tokens.size()); }
  int32_t token(int64_t position) const {
    const std::vector<int32_t>& prompt = request->asked.prompt;
    const auto i = static_cast<size_t>(position);
    return i < prompt.size() ? prompt[i] : completion.tokens[i - prompt.size()];
  }
  // Whether it has still to tell of its prompt, so that all of that is to be computed.
  bool tells_prompt() const {
    return request->asked.of_prompt.any() && completion.sample == 0 && completion.tokens.empty();
  }
  // A mask that has read what has been told.
  void MakeMask() {
    if (!request->asked.constraint) return;
    mask = std::make_unique<TokenMask>(*request->asked.constraint);
    for (const int32_t token : completion.tokens) mask->Read(token);
  }
};

// What one sequence does in the step being computed. Nothing of it counts before Commit.
struct Engine::Planned {
  Sequence* sequence;
  int64_t first = 0;                // of the batch's rows, its first
  int64_t rows = 0;                 // tokens of the sequence and, behind them, guessed ones
  int64_t sampled = 0;              // its last rows, those that a token may be drawn behind
  std::vector<int32_t> guess = {};  // what the rows after the first sampled one hold; where none
                                    // are computed, at most one token that is only to be judged
  PromptTold told = {};             // of the prompt, these rows
  std::vector<Drawn> drawn = {};
  int64_t right = 0;                            // tokens of the guess that were drawn
  bool wrong = false;                           // the next one was not
  bool done = false;                            // nothing comes after what was drawn
  FinishReason finish = FinishReason::kLength;  // of the last one drawn
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

}  // namespace darkhorse
