// What a model says in a chat, shown as it is said, thoughts dimmed.
#pragma once

#include <optional>
#include <string>

#include "text/stream.h"
#include "text/thoughts.h"

namespace darkhorse {

// Text on stdout at once, as it is.
void WriteNow(const std::string& text);

// One answer: shown, and kept in the parts that a conversation remembers.
class Speech {
 public:
  struct Options {
    bool splits = true;  // else thoughts are tags in what is said, and are left there
    bool in_thought = false;
    bool color = false;
    bool shown = true;
  };
  explicit Speech(const Options& options)
      : options_(options), spoken_(options.color), splitter_({}, options.in_thought) {}

  void Say(const std::string& piece);
  // A piece of a thought that came apart from the rest.
  void Think(const std::string& piece) { Show({.thought = piece, .content = ""}); }
  // The whole answer, but for what was thought apart.
  const std::string& End();
  const std::string& thought() const { return thought_; }
  const std::string& content() const { return content_; }

 private:
  void Show(const ThoughtSplitter::Piece& piece);
  void Dim(bool dim);

  Options options_;
  bool dim_ = false;
  SpokenText spoken_;  // of models whose thoughts are tags in what they say
  ThoughtSplitter splitter_;
  std::string answer_, thought_, content_;
};

}  // namespace darkhorse
