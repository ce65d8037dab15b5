#include "base/error.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"

namespace darkhorse {

std::string Printable(std::string_view text, size_t longest) {
  size_t end = std::min(text.size(), longest);
  // A byte of the form 10xxxxxx goes on with the character before it.
  while (end < text.size() && end > 0 && (text[end] & 0xC0) == 0x80) --end;
  const bool cut = end < text.size();
  const std::string line = EscapedLine(text.substr(0, end));
  return cut ? line + "..." : line;
}

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "darkhorse: internal error at %s:%d: %s\n", file, line, what);
  std::abort();
}

}  // namespace darkhorse
