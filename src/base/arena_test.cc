#include "base/arena.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace darkhorse
