#include "base/buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <numeric>
#include <utility>
#include <vector>

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

// Touching a number costs one small page, however large the buffer.
TEST(FloatBuffer, SparseOnesCostWhatIsUsed) {
  const int64_t floats = 16 << 20;
  FloatBuffer buffer = FloatBuffer::Sparse(floats);
  buffer[floats / 2] = 1;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  std::vector<unsigned char> there(bytes / page);
  ASSERT_EQ(mincore(buffer.data(), bytes, there.data()), 0);
  EXPECT_EQ(
      std::accumulate(there.begin(), there.end(), 0, [](int n, int x) { return n + (x & 1); }), 1);
}

TEST(FloatBuffer, MoreThanThereIsIsAnError) { EXPECT_THROW(FloatBuffer(int64_t{1} << 58), Error); }

}  // namespace
}  // namespace darkhorse
