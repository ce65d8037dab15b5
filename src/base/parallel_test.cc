#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

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
