#include <fmt/format.h>

#include <array>

#include "base/utf8.h"
#include "text/new_characters.h"
#include "text/regex.h"

namespace darkhorse {

namespace {

// What stands inside a class for the property White_Space.
constexpr char kSpace[] = "\\p{Z}\\x{09}-\\x{0D}\\x{85}";

// What stands inside a class for \p{name}: PCRE2's own characters and those that came later.
std::string Category(const std::string& name) {
  std::string out = "\\p{" + name + "}";
  for (const NewCharacters& row : kNewCharacters) {
    if (std::string(row.category).starts_with(name)) {
      out += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", row.first, row.last);
    }
  }
  return out;
}

// Rewrites a pattern from left to right.
class Translator {
 public:
  Translator(const std::string& pattern, bool newer) : pattern_(pattern), newer_(newer) {}

  std::string Run() {
    while (pos_ < pattern_.size()) {
      const char c = pattern_[pos_];
      if (c == '\\' && pos_ + 1 < pattern_.size()) {
        Escape();
        continue;
      }
      if (in_class_ && c == '[' && At(pos_ + 1) == ':') {  // [:alpha:]
        const size_t close = pattern_.find(":]", pos_ + 2);
        Copy(close == std::string::npos ? 1 : close + 2 - pos_);
        continue;
      }
      Copy(1);
      if (c == '[' && !in_class_) {
        in_class_ = true;
        if (At(pos_) == '^') Copy(1);
        if (At(pos_) == ']') Copy(1);
      } else if (c == ']') {
        in_class_ = false;
      }
    }
    return std::move(out_);
  }

 private:
  char At(size_t pos) const { return pos < pattern_.size() ? pattern_[pos] : '\0'; }

  void Copy(size_t count) {
    out_ += pattern_.substr(pos_, count);
    pos_ += count;
  }

  void PutClass(const std::string& members) { out_ += in_class_ ? members : "[" + members + "]"; }

  void Escape() {
    const char escaped = At(pos_ + 1);
    if (escaped == 's') {
      PutClass(kSpace);
      pos_ += 2;
    } else if (escaped == 'S' && !in_class_) {
      out_ += std::string("[^") + kSpace + "]";
      pos_ += 2;
    } else if (newer_ && (escaped == 'p' || (escaped == 'P' && !in_class_))) {
      CategoryEscape(escaped == 'P');
    } else {
      Copy(2);
    }
  }

  // \p{Lu} and the like; \p{^Lu}, scripts and other properties stay as they are.
  void CategoryEscape(bool negated) {
    const size_t close = pattern_.find('}', pos_);
    const bool braced = At(pos_ + 2) == '{' && close != std::string::npos;
    const std::string name = braced ? pattern_.substr(pos_ + 3, close - pos_ - 3) : "";
    const std::string members = name.empty() || name.size() > 2 ? "" : Category(name);
    if (members.size() <= name.size() + 4) {  // nothing new
      Copy(2);
      return;
    }
    if (negated) {
      out_ += "[^" + members + "]";
    } else {
      PutClass(members);
    }
    pos_ = close + 1;
  }

  const std::string& pattern_;
  bool newer_;
  size_t pos_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

std::string TranslatePattern(const std::string& pattern, bool newer) {
  return Translator(pattern, newer).Run();
}

bool HasNewerCharacters(std::string_view text) {
  static const auto blocks = [] {  // of 256 characters
    std::array<bool, 0x1100> has{};
    for (const NewCharacters& row : kNewCharacters) {
      for (int block = row.first >> 8; block <= row.last >> 8; ++block) has[block] = true;
    }
    return has;
  }();
  for (size_t pos = 0; pos < text.size();) {
    if (static_cast<uint8_t>(text[pos]) < 0xE0) {  // below U+0800, where there are none
      ++pos;
      continue;
    }
    const auto character = static_cast<int>(NextUtf8(text, &pos));
    if (!blocks[character >> 8]) continue;
    for (const NewCharacters& row : kNewCharacters) {
      if (character >= row.first && character <= row.last) return true;
    }
  }
  return false;
}

}  // namespace darkhorse
