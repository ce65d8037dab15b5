// Text that grows token by token, as it is shown: only whole characters, thoughts dimmed.
#pragma once

#include <string>
#include <string_view>

namespace darkhorse {

class SpokenText {
 public:
  // color: ANSI codes around <think> … </think>.
  explicit SpokenText(bool color) : color_(color) {}

  // What to print now that the text has grown to `text`. A character cut in half, or what may
  // become a tag, waits.
  std::string Next(std::string_view text) { return Advance(text, /*last=*/false); }
  // The rest.
  std::string End(std::string_view text);

 private:
  std::string Advance(std::string_view text, bool last);

  bool color_;
  bool dim_ = false;
  size_t shown_ = 0;  // bytes of the text
};

}  // namespace darkhorse
