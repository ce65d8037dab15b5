// Text that grows token by token: decoded, stopped and shown as it comes. Each step costs what its
// piece costs, whatever came before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace darkhorse {

// Whether a token is left out of text for people: a special one, but no tag of a thought or an
// answer (text/tags.h), which belong to what was said.
bool IsHiddenFromPeople(const Tokenizer& tokenizer, int32_t id);

// Decodes one id after the other. What Next and End returned, joined, is Tokenizer::Decode of all
// ids; with for_people, of those that are not hidden.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, bool for_people = false)
      : tokenizer_(tokenizer), for_people_(for_people) {}

  // The text that this id adds. Bytes that begin a character which later ones may complete wait;
  // bytes that are not UTF-8 do not.
  std::string Next(int32_t id);
  // What still waits; the stream begins anew.
  std::string End();

 private:
  Tokenizer tokenizer_;
  bool for_people_;
  std::string held_;
};

// A text that ends before the first place where one of several strings stands.
class StoppedText {
 public:
  // Error: an empty stop, which would end every text before it begins.
  explicit StoppedText(std::vector<std::string> stops);

  // Appends a piece and returns whether the text goes on. Where it has ended, nothing is appended
  // any more.
  bool Append(std::string_view piece);
  // So far, without the stop.
  const std::string& text() const { return text_; }
  // How many bytes of it stand whatever follows: the others may be the beginning of a stop.
  size_t certain() const;

 private:
  std::vector<std::string> stops_;
  size_t longest_ = 0;
  std::string text_;
  bool stopped_ = false;
};

// The ids that end a completion: the model's, and those stops that are a token each. Of a special
// token no text may show.
std::vector<int32_t> StopTokens(const Tokenizer& tokenizer, std::vector<int32_t> tokens,
                                const std::vector<std::string>& stops);

// Text as a terminal shows it, thoughts dimmed, their tags (text/tags.h) included.
class SpokenText {
 public:
  // color: with ANSI codes; else the text is as it was.
  explicit SpokenText(bool color) : color_(color) {}

  // What to print now that the text has grown by `piece`. What may become a tag waits.
  std::string Next(std::string_view piece);
  // What still waits, and the normal colour again.
  std::string End();

 private:
  bool color_;
  bool dim_ = false;
  std::string held_;
};

}  // namespace darkhorse
