#include "text/thoughts.h"

#include <algorithm>
#include <utility>

namespace darkhorse {

namespace {

constexpr std::string_view kSpaces = " \t\r\n";

// The last place where `tag` stands and the template wrote all of it, or npos.
size_t LastTrusted(const MarkedText& text, std::string_view tag) {
  if (tag.empty()) return std::string::npos;
  size_t last = std::string::npos;
  for (const TextSegment& segment : text.Segments()) {
    if (!segment.trusted) continue;
    const size_t found = segment.text.rfind(tag);
    if (found == std::string_view::npos) continue;
    last = static_cast<size_t>(segment.text.data() - text.bytes().data()) + found;
  }
  return last;
}

// How many bytes at the end of `text` may be the beginning of `tag`.
size_t Unfinished(std::string_view text, std::string_view tag) {
  for (size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (text.ends_with(tag.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

bool EndsInThought(const MarkedText& prompt, const ThoughtTags& tags, bool continued) {
  const size_t open = LastTrusted(prompt, tags.open);
  if (open == std::string::npos) return false;
  const std::string_view rest = std::string_view(prompt.bytes()).substr(open + tags.open.size());
  if (rest.find(tags.close) != std::string_view::npos) return false;
  return continued || rest.find_first_not_of(kSpaces) == std::string_view::npos;
}

ThoughtSplitter::ThoughtSplitter(ThoughtTags tags, bool inside)
    : tags_(std::move(tags)), state_(inside ? State::kThought : State::kBefore), trim_(inside) {}

// Moves what is certain of a thought out of held_.
void ThoughtSplitter::Thought(Piece* piece, bool end) {
  const auto drop_spaces = [&] {
    held_.erase(0, std::min(held_.find_first_not_of(kSpaces), held_.size()));
    trim_ = held_.empty();
  };
  if (trim_) drop_spaces();
  const size_t close = held_.find(tags_.close);
  const bool closed = close != std::string::npos;
  size_t size = closed ? close : held_.size() - (end ? 0 : Unfinished(held_, tags_.close));
  const size_t last = size == 0 ? std::string::npos : held_.find_last_not_of(kSpaces, size - 1);
  size = last == std::string::npos ? 0 : last + 1;
  piece->thought += held_.substr(0, size);
  if (!closed) {
    held_.erase(0, size);
    if (end) held_.clear();
    return;
  }
  held_.erase(0, close + tags_.close.size());
  state_ = State::kContent;
  trim_ = true;
}

ThoughtSplitter::Piece ThoughtSplitter::Next(std::string_view text) {
  held_ += text;
  Piece piece;
  if (state_ == State::kBefore) {
    const size_t first = std::min(held_.find_first_not_of(kSpaces), held_.size());
    const std::string_view rest = std::string_view(held_).substr(first);
    if (rest.starts_with(tags_.open)) {
      held_.erase(0, first + tags_.open.size());
      state_ = State::kThought;
      trim_ = true;
    } else if (std::string_view(tags_.open).starts_with(rest)) {
      return piece;
    } else {
      state_ = State::kContent;
    }
  }
  if (state_ == State::kThought) Thought(&piece, /*end=*/false);
  if (state_ != State::kContent) return piece;
  if (trim_) {
    held_.erase(0, std::min(held_.find_first_not_of(kSpaces), held_.size()));
    trim_ = held_.empty();
  }
  piece.content = std::exchange(held_, {});
  return piece;
}

ThoughtSplitter::Piece ThoughtSplitter::End() {
  Piece piece;
  if (state_ == State::kThought) {
    Thought(&piece, /*end=*/true);
  } else if (state_ == State::kBefore) {
    piece.content = held_;
  }
  held_.clear();
  return piece;
}

}  // namespace darkhorse
