#include "base/error.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace darkhorse {

std::string Printable(std::string_view text, size_t longest) {
  size_t end = std::min(text.size(), longest);
  // A byte of the form 10xxxxxx goes on with the character before it.
  while (end < text.size() && end > 0 && (text[end] & 0xC0) == 0x80) --end;
  std::string out(text.substr(0, end));
  std::replace_if(
      out.begin(), out.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return end < text.size() ? out + "..." : out;
}

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "darkhorse: internal error at %s:%d: %s\n", file, line, what);
  std::abort();
}

}  // namespace darkhorse
