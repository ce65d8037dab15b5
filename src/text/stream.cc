#include "text/stream.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/tags.h"

namespace darkhorse {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kNormal = "\x1b[0m";

// Bytes at the end of `text` that begin a valid character without ending it.
size_t UnfinishedCharacter(std::string_view text) {
  for (size_t n = 1; n <= std::min<size_t>(3, text.size()); ++n) {
    const std::string_view tail = text.substr(text.size() - n);
    const auto first = static_cast<uint8_t>(tail[0]);
    if ((first & 0xC0) == 0x80) continue;  // what it continues lies before
    if (Utf8Length(tail[0]) <= n) return 0;
    // A continuation that would make it valid, if any does: 0x80 everywhere but behind these two.
    std::string whole(tail);
    if (n == 1) whole += first == 0xE0 || first == 0xF0 ? '\xA0' : '\x80';
    whole.resize(Utf8Length(tail[0]), '\x80');
    return IsValidUtf8(whole) ? n : 0;
  }
  return 0;
}

// Bytes at the end of `text` that `tag` begins with but does not end.
size_t UnfinishedTag(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

bool IsHiddenFromPeople(const Tokenizer& tokenizer, int32_t id) {
  return tokenizer.IsSpecial(id) && !IsTag(tokenizer.TokenBytes(id));
}

std::string TextStream::Next(int32_t id) {
  if (for_people_ && IsHiddenFromPeople(tokenizer_, id)) return {};
  std::string text = std::move(held_) + std::string(tokenizer_.TokenBytes(id));
  const size_t whole = text.size() - UnfinishedCharacter(text);
  held_ = text.substr(whole);
  text.resize(whole);
  return text;
}

std::string TextStream::End() { return std::exchange(held_, {}); }

StoppedText::StoppedText(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) Fail("an empty stop string would end every text before it begins");
    longest_ = std::max(longest_, stop.size());
  }
}

bool StoppedText::Append(std::string_view piece) {
  if (stopped_) return false;
  // A stop that has not been found ends in the piece, so it begins at most this far before it.
  const size_t begin = text_.size() - std::min(text_.size(), longest_ > 0 ? longest_ - 1 : 0);
  text_ += piece;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, text_.find(stop, begin));
  stopped_ = first != std::string::npos;
  if (stopped_) text_.resize(first);
  return !stopped_;
}

size_t StoppedText::certain() const {
  if (stopped_) return text_.size();
  for (size_t n = std::min(text_.size(), longest_ > 0 ? longest_ - 1 : 0); n > 0; --n) {
    const std::string_view tail = std::string_view(text_).substr(text_.size() - n);
    for (const std::string& stop : stops_) {
      if (stop.size() > n && stop.starts_with(tail)) return text_.size() - n;
    }
  }
  return text_.size();
}

std::vector<int32_t> StopTokens(const Tokenizer& tokenizer, std::vector<int32_t> tokens,
                                const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (const auto id = tokenizer.TokenId(stop)) tokens.push_back(*id);
  }
  return tokens;
}

std::string SpokenText::Next(std::string_view piece) {
  held_ += piece;
  std::string out;
  for (;;) {
    const std::string_view tag = dim_ ? kThinkClose : kThinkOpen;
    const size_t at = held_.find(tag);
    if (at == std::string::npos) {
      const size_t count = held_.size() - UnfinishedTag(held_, tag);
      out += held_.substr(0, count);
      held_.erase(0, count);
      return out;
    }
    out += held_.substr(0, at);
    if (color_ && !dim_) out += kDim;
    out += tag;
    if (color_ && dim_) out += kNormal;
    held_.erase(0, at + tag.size());
    dim_ = !dim_;
  }
}

std::string SpokenText::End() {
  std::string out = std::exchange(held_, {});
  if (color_ && dim_) out += kNormal;
  dim_ = false;
  return out;
}

}  // namespace darkhorse
