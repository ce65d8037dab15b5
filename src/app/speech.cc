#include "app/speech.h"

#include <cstdio>

#include "base/utf8.h"

namespace darkhorse {

void WriteNow(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Speech::Say(const std::string& piece) {
  answer_ += piece;
  if (options_.splits) {
    Show(splitter_.Next(piece));
  } else if (options_.shown) {
    WriteNow(spoken_.Next(EscapedForTerminal(piece)));
  }
}

const std::string& Speech::End() {
  if (options_.splits) {
    Show(splitter_.End());
    Dim(false);
    if (options_.shown) WriteNow("\n");
  } else if (options_.shown) {
    WriteNow(spoken_.End() + "\n");
  }
  return answer_;
}

void Speech::Show(const ThoughtSplitter::Piece& piece) {
  thought_ += piece.thought;
  content_ += piece.content;
  if (!options_.shown) return;
  if (!piece.thought.empty()) {
    Dim(true);
    WriteNow(EscapedForTerminal(piece.thought));
  }
  if (piece.content.empty()) return;
  if (!thought_.empty() && content_.size() == piece.content.size()) WriteNow("\n\n");
  Dim(false);
  WriteNow(EscapedForTerminal(piece.content));
}

void Speech::Dim(bool dim) {
  if (options_.shown && options_.color && dim != dim_) WriteNow(dim ? "\x1b[2m" : "\x1b[0m");
  dim_ = dim;
}

}  // namespace darkhorse
