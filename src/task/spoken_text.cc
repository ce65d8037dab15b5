#include "task/spoken_text.h"

#include <algorithm>

#include "base/utf8.h"
#include "task/markup.h"

namespace darkhorse {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kNormal = "\x1b[0m";

// Bytes at the end of `text` that a character or `tag` begins with but does not end.
size_t Unfinished(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  const size_t tail = text.size() - ValidUtf8Prefix(text);
  return tail < 4 ? tail : 0;  // more is not a cut character but a broken one
}

}  // namespace

std::string SpokenText::Advance(std::string_view text, bool last) {
  std::string out;
  while (shown_ < text.size()) {
    const std::string_view rest = text.substr(shown_);
    const std::string_view tag = dim_ ? kThinkClose : kThinkOpen;
    const size_t at = rest.find(tag);
    if (at == std::string_view::npos) {
      const size_t count = rest.size() - (last ? 0 : Unfinished(rest, tag));
      out += rest.substr(0, count);
      shown_ += count;
      break;
    }
    // The tags are part of the thoughts.
    out += rest.substr(0, at);
    if (color_ && !dim_) out += kDim;
    out += tag;
    if (color_ && dim_) out += kNormal;
    shown_ += at + tag.size();
    dim_ = !dim_;
  }
  return out;
}

std::string SpokenText::End(std::string_view text) {
  std::string out = Advance(text, /*last=*/true);
  if (color_ && dim_) out += kNormal;
  return out;
}

}  // namespace darkhorse
