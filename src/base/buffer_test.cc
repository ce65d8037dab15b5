#include "base/buffer.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "base/error.h"

namespace darkhorse {
namespace {

TEST(FloatBuffer, IsZeroedAlignedAndMoves) {
  FloatBuffer buffer(1000);
  ASSERT_EQ(buffer.size(), 1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  for (const float x : buffer) ASSERT_EQ(x, 0.0f);
  buffer[999] = 5;
  const float* at = buffer.data();
  FloatBuffer moved = std::move(buffer);
  EXPECT_EQ(moved.data(), at);
  EXPECT_EQ(moved[999], 5.0f);
  EXPECT_EQ(FloatBuffer(0).size(), 0);
}

TEST(FloatBuffer, MoreThanThereIsIsAnError) { EXPECT_THROW(FloatBuffer(int64_t{1} << 58), Error); }

}  // namespace
}  // namespace darkhorse
