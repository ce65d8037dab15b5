#include "text/marked_text.h"

#include <algorithm>

namespace darkhorse {

MarkedText::MarkedText(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (origin == Origin::kInput && !bytes_.empty()) flips_.push_back(0);
}

size_t MarkedText::FlipsUpTo(size_t position) const {
  return static_cast<size_t>(std::upper_bound(flips_.begin(), flips_.end(), position) -
                             flips_.begin());
}

Origin MarkedText::OriginAt(size_t position) const {
  return FlipsUpTo(position) % 2 == 1 ? Origin::kInput : Origin::kTemplate;
}

bool MarkedText::HasInput() const { return !flips_.empty(); }

void MarkedText::Append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  const bool input = flips_.size() % 2 == 1;
  if (input != (origin == Origin::kInput)) flips_.push_back(bytes_.size());
  bytes_ += bytes;
}

void MarkedText::AppendPart(const MarkedText& other, size_t begin, size_t size) {
  if (size == 0) return;
  size_t flip = other.FlipsUpTo(begin);
  const bool input = flips_.size() % 2 == 1;
  if (input != (flip % 2 == 1)) flips_.push_back(bytes_.size());
  for (; flip < other.flips_.size() && other.flips_[flip] < begin + size; ++flip) {
    flips_.push_back(bytes_.size() + (other.flips_[flip] - begin));
  }
  bytes_.append(other.bytes_, begin, size);
}

MarkedText MarkedText::Part(size_t begin, size_t size) const {
  MarkedText part;
  part.AppendPart(*this, begin, size);
  return part;
}

std::vector<TextSegment> MarkedText::Segments() const {
  std::vector<TextSegment> segments;
  size_t begin = 0;
  bool input = false;
  const auto add = [&](size_t end) {
    if (begin < end) {
      segments.push_back({std::string_view(bytes_).substr(begin, end - begin), !input});
    }
    begin = end;
    input = !input;
  };
  for (const size_t flip : flips_) add(flip);
  add(bytes_.size());
  return segments;
}

}  // namespace darkhorse
