#include "task/math_text.h"

#include "base/ascii.h"
#include "task/markup.h"

namespace darkhorse {

std::string TidyMath(std::string_view written) {
  std::string text(written);
  for (const std::string_view size : {"\\left", "\\right", "\\big", "\\Big", "\\bigl", "\\bigr",
                                      "\\Bigl", "\\Bigr", "\\displaystyle"}) {
    for (size_t at = text.find(size); at != text.npos; at = text.find(size, at)) {
      const size_t end = at + size.size();
      if (end < text.size() && IsAsciiLetter(text[end])) {
        at = end;
      } else {
        text.erase(at, size.size());
      }
    }
  }
  for (size_t at = text.find("\\,"); at != text.npos; at = text.find("\\,", at + 1)) {
    const auto digit = [&](size_t i) {
      return i < text.size() && text[i] >= '0' && text[i] <= '9';
    };
    if (at > 0 && digit(at - 1) && digit(at + 2) && digit(at + 3) && digit(at + 4) &&
        !digit(at + 5))
      text.replace(at, 2, 1, ',');  // 10\,000
  }
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"\\!", ""},
      {"\\:", " "},
      {"\\quad", " "},
      {"\\qquad", " "},
      {"\\cfrac", "\\frac"},
      {"\\lbrace", "\\{"},
      {"\\rbrace", "\\}"},
      {"\\mbox{", "\\text{"},
      {"\\textrm{", "\\text{"},
      {"\\mathrm{", "\\text{"},
      {"\\degree", kDegree},
      {"^{\\circ}", kDegree},
      {"^\\circ", kDegree},
      {"⋅", "*"},
  };
  for (const auto& [from, to] : kNames) ReplaceAll(text, from, to);
  return text;
}

}  // namespace darkhorse
