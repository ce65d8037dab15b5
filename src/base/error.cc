#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace darkhorse {

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "darkhorse: internal error at %s:%d: %s\n", file, line, what);
  std::abort();
}

}  // namespace darkhorse
