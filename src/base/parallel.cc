#include "base/parallel.h"

#include "base/error.h"

namespace darkhorse {
namespace {
int g_threads = 0;
}

int NumThreads() { return g_threads > 0 ? g_threads : omp_get_max_threads(); }

void SetNumThreads(int threads) {
  CHECK(threads >= 1);
  g_threads = threads;
}

}  // namespace darkhorse
