#include "base/error.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace darkhorse {

std::string WithoutControls(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "darkhorse: internal error at %s:%d: %s\n", file, line, what);
  std::abort();
}

}  // namespace darkhorse
