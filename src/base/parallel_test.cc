#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace darkhorse {
namespace {

class Parallel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    before_ = NumThreads();
    SetNumThreads(GetParam());
  }
  void TearDown() override { SetNumThreads(before_); }
  int before_ = 1;
};

TEST_P(Parallel, EveryIndexOnceOverManyShortLoops) {
  for (int64_t count = 0; count < 400; ++count) {
    std::vector<int> hits(static_cast<size_t>(count));
    ParallelFor(count, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
    for (const int hit : hits) ASSERT_EQ(hit, 1);
  }
}

TEST_P(Parallel, RangesTileTheCount) {
  std::vector<int> hits(1000);
  ParallelForRange(1000, 7, [&](int64_t begin, int64_t end) {
    ASSERT_LE(end - begin, 7);
    for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
  });
  for (const int hit : hits) ASSERT_EQ(hit, 1);
}

TEST_P(Parallel, RethrowsAndWorksAgainAfterwards) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(ParallelFor(100,
                             [](int64_t i) {
                               if (i == 57) throw std::runtime_error("57");
                             }),
                 std::runtime_error);
    std::atomic<int> sum{0};
    ParallelFor(100, [&](int64_t) { ++sum; });
    ASSERT_EQ(sum, 100);
  }
}

TEST_P(Parallel, NestedAndConcurrentLoopsComplete) {
  std::atomic<int> sum{0};
  const auto work = [&] {
    for (int round = 0; round < 50; ++round) {
      ParallelFor(8, [&](int64_t) { ParallelFor(5, [&](int64_t) { ++sum; }); });
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(sum, 2 * 50 * 8 * 5);
}

// Holds every item of a loop until as many as there are threads have begun, so that each runs on a
// thread of its own. False if they do not come within ten seconds.
class Meeting {
 public:
  explicit Meeting(int threads) : missing_(threads) {}
  bool Wait() {
    const double end = SteadySeconds() + 10;
    for (--missing_; missing_ > 0;) {
      if (SteadySeconds() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  std::atomic<int> missing_;
};

// Arenas of threads that run at once would be shared if two had one index.
TEST_P(Parallel, ThreadsThatRunAtOnceHaveTheIndicesBelowTheirNumber) {
  const int threads = GetParam();
  for (int round = 0; round < 20; ++round) {
    EXPECT_FALSE(InParallelLoop());
    EXPECT_EQ(ThreadIndex(), 0);
    Meeting meeting(threads);
    std::vector<int> index(static_cast<size_t>(threads), -1);
    std::vector<char> in_loop(index.size(), 0), nested_in_loop(index.size(), 0);
    std::atomic<int> met{0};
    const auto caller = std::this_thread::get_id();
    int index_of_caller = -1;
    ParallelFor(threads, [&](int64_t item) {
      const auto i = static_cast<size_t>(item);
      met += meeting.Wait();
      index[i] = ThreadIndex();
      in_loop[i] = InParallelLoop();
      ParallelFor(2, [&](int64_t) {  // serial: the same thread
        nested_in_loop[i] = InParallelLoop() && ThreadIndex() == index[i];
      });
      if (std::this_thread::get_id() == caller) index_of_caller = index[i];
    });
    ASSERT_EQ(met, threads);
    EXPECT_EQ(index_of_caller, 0);
    std::sort(index.begin(), index.end());
    for (int i = 0; i < threads; ++i) EXPECT_EQ(index[static_cast<size_t>(i)], i);
    if (threads == 1) continue;  // then no loop is shared
    EXPECT_EQ(in_loop, std::vector<char>(index.size(), 1));
    EXPECT_EQ(nested_in_loop, std::vector<char>(index.size(), 1));
  }
  EXPECT_FALSE(InParallelLoop());
}

TEST_P(Parallel, AnExceptionOfAnyThreadReachesTheCaller) {
  const int threads = GetParam();
  for (int thrower = 0; thrower < threads; ++thrower) {
    Meeting meeting(threads);
    std::string message;
    try {
      ParallelFor(threads, [&](int64_t) {
        meeting.Wait();
        if (ThreadIndex() == thrower) throw std::runtime_error(std::to_string(thrower));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, std::to_string(thrower));
    EXPECT_FALSE(InParallelLoop());
  }
}

// Two seconds' work for the other threads, if nothing stops them.
TEST_P(Parallel, AnExceptionStopsTheLoop) {
  constexpr int kItems = 2000;
  const int threads = GetParam();
  Meeting meeting(threads);  // else the loop may be over before another thread comes
  std::atomic<int> done{0};
  EXPECT_THROW(ParallelFor(kItems * threads,
                           [&](int64_t i) {
                             if (i < threads) meeting.Wait();
                             if (i == 0) throw std::runtime_error("0");
                             std::this_thread::sleep_for(std::chrono::milliseconds(1));
                             ++done;
                           }),
               std::runtime_error);
  EXPECT_LT(done, kItems);
}

// In a child, which has no threads yet: a stack that there is no room for.
TEST(ParallelThreads, OneThatCannotStartIsAnErrorThatNamesTheCure) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more address space than the limit leaves";
#endif
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto start_many = [] {
    const rlimit limit{int64_t{1} << 30, int64_t{1} << 30};
    setrlimit(RLIMIT_AS, &limit);
    SetNumThreads(1000);
    try {
      ParallelFor(1000, [](int64_t) {});
    } catch (const Error& error) {
      std::fputs(error.what(), stderr);
      std::_Exit(2);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(start_many(), testing::ExitedWithCode(2), "could not be started.*use fewer threads");
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace darkhorse
