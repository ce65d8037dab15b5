// Threads: one OpenMP pool for the process. Work is split over independent outputs, never over a
// reduction, so the number of threads cannot change a bit of any result.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>

namespace darkhorse {

// How many threads parallel loops use. Default: OMP_NUM_THREADS, else the cores this process may
// run on.
int NumThreads();
void SetNumThreads(int threads);  // >= 1

// Calls body(i) for every i in [0, count), in any order, on NumThreads() threads; one by one from a
// shared counter, so uneven items balance. Nested calls run serially. An exception thrown by body
// stops the loop and is rethrown here.
template <typename Body>
void ParallelFor(int64_t count, const Body& body) {
  if (count <= 0) return;
  const int threads = static_cast<int>(count < NumThreads() ? count : NumThreads());
  if (threads == 1 || omp_in_parallel()) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<int64_t> next{0};
  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    try {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
    } catch (...) {
#pragma omp critical(darkhorse_parallel_for)
      if (!error) error = std::current_exception();
      next.store(count, std::memory_order_relaxed);
    }
  }
  if (error) std::rethrow_exception(error);
}

// Splits [0, count) into chunks of at most `grain` and calls body(begin, end) for each. The chunk
// borders depend on count and grain only, never on the number of threads.
template <typename Body>
void ParallelForRange(int64_t count, int64_t grain, const Body& body) {
  ParallelFor((count + grain - 1) / grain, [&](int64_t chunk) {
    const int64_t begin = chunk * grain;
    const int64_t end = begin + grain < count ? begin + grain : count;
    body(begin, end);
  });
}

}  // namespace darkhorse
