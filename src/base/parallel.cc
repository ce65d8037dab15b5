#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {
namespace {

// How long a thread looks for work, or for the end of work, before it sleeps: longer than the
// serial stretches between the loops of a forward pass, for a thread that sleeps comes too late for
// a loop of a few microseconds; no longer, for others may want the core.
constexpr double kPatience = 100e-6;  // seconds

thread_local bool t_in_loop = false;
thread_local int t_thread_index = 0;

// Time to wait awake. Looks at the clock once in a few pauses, which last from 20 ns to 50.
class Patience {
 public:
  // Pauses a moment; false once kPatience has passed.
  bool Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (++pauses_ % 16 != 0) return true;
    const double now = SteadySeconds();
    if (pauses_ == 16) since_ = now;
    return now - since_ < kPatience;
  }

 private:
  int pauses_ = 0;
  double since_ = 0;
};

class Pool {
 public:
  static Pool& Get() {
    static Pool* pool = new Pool;  // never destroyed: its threads outlive static destruction
    return *pool;
  }

  // False if another thread's loop is running.
  bool TryRun(int64_t count, int threads, void (*body)(const void*, int64_t), const void* context) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    while (static_cast<int>(workers_.size()) + 1 < threads) Spawn();
    body_ = body;
    context_ = context;
    count_ = count;
    limit_ = threads - 1;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1);  // odd: open
    generation_.notify_all();
    Work();
    generation_.fetch_add(1);  // even: closed; a thread that comes now turns back
    Patience patience;
    for (int inside; (inside = inside_.load()) != 0;) {
      if (!patience.Pause()) inside_.wait(inside);
    }
    if (error_) std::rethrow_exception(error_);
    return true;
  }

 private:
  void Work() {
    t_in_loop = true;
    try {
      for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
        body_(context_, i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
    }
    t_in_loop = false;
  }

  void Spawn() {
    const int index = static_cast<int>(workers_.size());
    const auto work = [this, index] {
      t_thread_index = index + 1;
      uint32_t seen = 0;
      for (;;) {
        uint32_t generation = generation_.load();
        for (Patience patience; generation == seen || generation % 2 == 0;
             generation = generation_.load()) {
          if (patience.Pause()) continue;
          generation_.wait(generation);
          patience = {};  // what it woke for may have closed, and the next loop be near
        }
        seen = generation;
        // Enter, then look again: either we see that the loop has closed, or its caller sees us
        // inside.
        inside_.fetch_add(1);
        if (generation_.load() == generation && index < limit_) Work();
        if (inside_.fetch_sub(1) == 1) inside_.notify_all();
      }
    };
    try {
      workers_.emplace_back(work);
    } catch (const std::system_error& error) {
      Fail("thread {} could not be started: {}; use fewer threads or raise the limit (ulimit -u)",
           index + 1, error.what());
    }
    workers_.back().detach();
  }

  std::mutex mutex_;
  std::vector<std::thread> workers_;
  std::atomic<uint32_t> generation_{0};
  std::atomic<int> inside_{0};  // workers that may be touching the loop below
  std::atomic<int64_t> next_{0};
  void (*body_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0;
  int limit_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

int DefaultThreads() {
  if (const char* value = std::getenv("OMP_NUM_THREADS")) {
    const int threads = std::atoi(value);
    if (threads >= 1) return threads;
  }
  return AvailableCores();
}

int& Threads() {
  static int threads = DefaultThreads();
  return threads;
}

}  // namespace

int AvailableCores() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) return std::max(1, CPU_COUNT(&cpus));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int NumThreads() { return Threads(); }

void SetNumThreads(int threads) {
  CHECK(threads >= 1);
  Threads() = threads;
}

bool InParallelLoop() { return t_in_loop; }

int ThreadIndex() { return t_thread_index; }

namespace internal {

void RunParallel(int64_t count, void (*body)(const void*, int64_t), const void* context) {
  const int threads = static_cast<int>(std::min<int64_t>(count, NumThreads()));
  if (threads > 1 && !t_in_loop && Pool::Get().TryRun(count, threads, body, context)) return;
  for (int64_t i = 0; i < count; ++i) body(context, i);
}

}  // namespace internal
}  // namespace darkhorse
