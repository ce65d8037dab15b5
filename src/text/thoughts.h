// Telling what a model thinks from what it answers.
#pragma once

#include <string>
#include <string_view>

#include "text/marked_text.h"
#include "text/tags.h"

namespace darkhorse {

struct ThoughtTags {
  std::string open{kThinkOpen};
  std::string close{kThinkClose};
};

// Whether a prompt ends within a thought that the template opened, so that the model's first word
// is one. With `continued`, where the prompt ends with a message that is to be continued, text may
// stand behind the tag, else white space alone.
bool EndsInThought(const MarkedText& prompt, const ThoughtTags& tags = {}, bool continued = false);

// Splits an answer, as it comes, into the thought it may begin with and the rest. The tags are left
// out, and the white space beside them.
class ThoughtSplitter {
 public:
  struct Piece {
    std::string thought;
    std::string content;
  };

  // inside: the prompt ended in a thought (EndsInThought). Otherwise there is one if the answer,
  // white space aside, begins with the opening tag.
  ThoughtSplitter(ThoughtTags tags, bool inside);

  // What is added to either now that the answer has grown. What may be a part of a tag waits, and
  // so does white space that may stand at an end.
  Piece Next(std::string_view text);
  // What still waits. A thought that was not closed has no trailing white space.
  Piece End();

  bool in_thought() const { return state_ == State::kThought; }

 private:
  enum class State { kBefore, kThought, kContent };

  void Thought(Piece* piece, bool end);

  ThoughtTags tags_;
  State state_;
  bool trim_ = false;  // white space that comes next is at the beginning of its part
  std::string held_;
};

}  // namespace darkhorse
