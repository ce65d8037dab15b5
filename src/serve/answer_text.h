// The text of one completion as it grows, told in pieces that nothing later takes back: what is
// thought apart from what is said and from the tools that are called, ended where a stop string
// stands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/stream.h"
#include "text/thoughts.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace darkhorse {

class AnswerText {
 public:
  struct Options {
    bool splits = true;                   // a chat's answer; else all is content
    bool in_thought = false;              // it begins within a thought
    std::vector<std::string> stops;       // of the content; a thought may hold them
    std::optional<ToolCallFormat> calls;  // what the content may hold besides; none: no calls
    std::vector<std::string> tools;       // their names
    std::vector<int32_t> shown;           // tokens that are text although people do not see them
  };
  struct Piece {
    std::string thought, content;
    std::vector<ToolCall> calls;
  };

  AnswerText(const Tokenizer& tokenizer, Options options);

  // One more token. What it adds may wait for those that follow.
  Piece Next(int32_t token);
  // One more token that has no text: it ended the answer.
  void EndToken() { CountToken(); }
  // What still waits. Nothing follows.
  Piece End();

  // A stop string has been found. Further tokens add nothing.
  bool stopped() const { return stopped_; }
  int64_t tokens() const { return tokens_; }
  int64_t thought_tokens() const { return thought_tokens_; }  // tags included
  bool in_thought() const { return splitter_ && splitter_->in_thought(); }

 private:
  void CountToken();
  Piece Split(const std::string& text);
  // Takes calls out of content.
  void TakeCalls(Piece* piece, bool end);
  // Passes content through the stops.
  std::string Pass(std::string content, bool end);

  const Tokenizer tokenizer_;
  const std::vector<int32_t> shown_;
  TextStream stream_;
  std::optional<ThoughtSplitter> splitter_;
  std::optional<ToolCallReader> calls_;
  StoppedText content_;
  size_t told_ = 0;  // bytes of content_
  bool stopped_ = false;
  int64_t tokens_ = 0, thought_tokens_ = 0;
};

}  // namespace darkhorse
