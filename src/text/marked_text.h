// Text that remembers where each byte came from: a template, which may write control tokens, or its
// input, which may not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace darkhorse {

enum class Origin { kTemplate, kInput };

class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  void Append(std::string_view bytes, Origin origin);
  void Append(const MarkedText& other) { AppendPart(other, 0, other.size()); }
  void AppendPart(const MarkedText& other, size_t begin, size_t size);
  MarkedText Part(size_t begin, size_t size) const;

  Origin OriginAt(size_t position) const;
  bool HasInput() const;

  // Neighbouring pieces differ in origin; none is empty. Valid as long as this text is unchanged.
  std::vector<TextSegment> Segments() const;

 private:
  // How many flips lie at or before `position`: an odd number means input.
  size_t FlipsUpTo(size_t position) const;

  std::string bytes_;
  // Ascending positions at which the origin turns; before the first it is the template.
  std::vector<size_t> flips_;
};

}  // namespace darkhorse
