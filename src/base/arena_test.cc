#include "base/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace darkhorse {
namespace {

TEST(Arena, GivesDisjointAlignedBuffersAndReusesReleasedOnes) {
  Arena arena;
  float* a = arena.Floats(100);
  const auto mark = arena.Here();
  float* b = arena.Floats(1);
  EXPECT_GE(b, a + 100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 64, 0u);
  float* big = arena.Floats(int64_t{1} << 20);
  big[(1 << 20) - 1] = 1;
  const int64_t capacity = arena.capacity_bytes();
  arena.Release(mark);
  EXPECT_EQ(arena.Floats(1), b);
  arena.Floats(int64_t{1} << 20);
  EXPECT_EQ(arena.capacity_bytes(), capacity);
}

TEST(Arena, ScopeReleases) {
  Arena arena;
  float* first;
  {
    ArenaScope scope(arena);
    first = arena.Zeros(10);
  }
  EXPECT_EQ(arena.Floats(10), first);
}

TEST(Arena, ZerosAreZeroWhereOtherNumbersWere) {
  Arena arena;
  arena.Floats(16);  // so that the block is kept
  const auto mark = arena.Here();
  float* used = arena.Floats(1000);
  std::fill_n(used, 1000, 7.0f);
  arena.Release(mark);
  const float* zeros = arena.Zeros(1000);
  ASSERT_EQ(zeros, used);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(zeros[i], 0.0f) << i;
}

TEST(Arena, SecondStepTakesOneBlockOfThePeak) {
  Arena arena;
  const int64_t large = int64_t{3} << 20;
  for (int step = 0; step < 3; ++step) {
    ArenaScope scope(arena);
    arena.Floats(1);
    for (int i = 0; i < 3; ++i) {
      ArenaScope inner(arena);
      float* a = arena.Floats(large);
      float* b = arena.Floats(large);
      a[large - 1] = b[large - 1] = 1;
      EXPECT_TRUE(step == 0 || b == a + large);
    }
  }
  EXPECT_EQ(arena.peak_bytes(), 4 * (2 * large + 16));
  EXPECT_EQ(arena.capacity_bytes(), arena.peak_bytes() / 2 * 3);
}

// And steps that are a little larger take no other, where there is memory enough.
TEST(Arena, LargerStepsStayInTheBlock) {
  const int64_t floats = int64_t{1} << 20;
  const auto held = [&](Arena& arena) {
    const auto step = [&](int64_t count) {
      ArenaScope scope(arena);
      arena.Floats(16);
      arena.Floats(count);  // in another block at first
      return arena.capacity_bytes();
    };
    step(floats);
    const int64_t bytes = step(floats);
    const bool roomy = bytes > 4 * (floats + 16);
    EXPECT_EQ(step(floats / 4 * 5) == bytes, roomy);
    EXPECT_GT(step(floats * 2), bytes);
    return bytes;
  };
  Arena roomy, narrow;
  EXPECT_EQ(held(roomy), 4 * (floats + 16) / 2 * 3);
  setenv("DARKHORSE_MEMORY", std::to_string(4 * floats * 2).c_str(), 1);
  EXPECT_EQ(held(narrow), 4 * (floats + 16));
  unsetenv("DARKHORSE_MEMORY");
}

}  // namespace
}  // namespace darkhorse
