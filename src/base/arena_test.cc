#include "base/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

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

// A step like the one before takes the same memory, and one that is larger goes on behind it.
TEST(Arena, LaterStepsStayInTheirBlocks) {
  const int64_t large = int64_t{3} << 20;
  Arena arena;
  std::vector<float*> first;
  for (int step = 0; step < 3; ++step) {
    ArenaScope scope(arena);
    std::vector<float*> taken = {arena.Floats(1), arena.Floats(large), arena.Floats(large)};
    if (step == 0) first = taken;
    EXPECT_EQ(taken, first);
  }
  EXPECT_EQ(arena.peak_bytes(), 4 * (2 * large + 16));
  const int64_t held = arena.capacity_bytes();
  EXPECT_GT(held, 5 * large * 4);
  ArenaScope scope(arena);
  for (int i = 0; i < 5; ++i) arena.Floats(large);
  EXPECT_EQ(arena.capacity_bytes(), held);
}

// Where what is held is much of the machine's memory, blocks have little beyond what is needed.
TEST(Arena, PromisesLittleMoreThanThereIs) {
  const int64_t floats = int64_t{1} << 20;
  setenv("DARKHORSE_MEMORY", std::to_string(16 * floats).c_str(), 1);
  Arena arena;
  for (int i = 0; i < 8; ++i) arena.Floats(floats);
  unsetenv("DARKHORSE_MEMORY");
  EXPECT_LE(arena.capacity_bytes(), arena.peak_bytes() / 2 * 3);
}

}  // namespace
}  // namespace darkhorse
