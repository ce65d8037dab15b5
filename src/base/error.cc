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
  std::string out;
  for (text = text.substr(0, end); !text.empty();) {
    const size_t valid = ValidUtf8Prefix(text);
    for (size_t at = 0; at < valid;) {
      const size_t begin = at;
      out += CommandsTerminal(NextUtf8(text, &at)) ? "?" : text.substr(begin, at - begin);
    }
    if (valid < text.size()) out += '?';
    text.remove_prefix(std::min(valid + 1, text.size()));
  }
  return cut ? out + "..." : out;
}

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "darkhorse: internal error at %s:%d: %s\n", file, line, what);
  std::abort();
}

}  // namespace darkhorse
