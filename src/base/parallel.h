// Threads: one pool for the process. Work is split over independent outputs, never over a
// reduction, so the number of threads cannot change a bit of any result.
//
// The pool is our own because a transformer's step is hundreds of loops of tens of microseconds.
// libgomp waits at the end of each loop until every thread has arrived. When other programs run
// too, some thread has lost its core, and all others spin until it is back (docs/LOG.md: 100 times
// slower under load). Here the caller takes items like any other thread and waits only for items
// that have begun: a thread that never woke costs nothing.
#pragma once

#include <cstdint>
#include <type_traits>

namespace darkhorse {

// The cores this process may run on.
int AvailableCores();

// How many threads parallel loops use, the caller among them. Default: OMP_NUM_THREADS if set, else
// the cores this process may run on.
int NumThreads();
void SetNumThreads(int threads);  // >= 1

// Inside the body of a loop that several threads share: true, and which of the NumThreads() threads
// runs it (0: the caller). Elsewhere: false, 0.
bool InParallelLoop();
int ThreadIndex();

namespace internal {
// Calls body(context, i) for every i in [0, count).
void RunParallel(int64_t count, void (*body)(const void* context, int64_t i), const void* context);
}  // namespace internal

// Calls body(i) for every i in [0, count), in any order, on up to NumThreads() threads. Each thread
// takes the next i from a shared counter, so uneven items balance. A call from inside a loop is
// serial, and so is a call while another thread's loop runs. An exception thrown by body stops the
// loop and is rethrown here.
template <typename Body>
void ParallelFor(int64_t count, const Body& body) {
  internal::RunParallel(
      count, [](const void* context, int64_t i) { (*static_cast<const Body*>(context))(i); },
      &body);
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
