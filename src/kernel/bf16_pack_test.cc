// The tiles of kernel/gemm_bf16.h, number by number: in a product, a NaN would not betray which it
// was, nor a denormal that it was kept.
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <vector>

#include "kernel/gemm_bf16.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

// Numbers of every exponent and sign, denormals, infinities and NaN among them, that rounding
// leaves, that lie halfway, and just beside.
TestMatrix EveryRounding(int64_t rows, int64_t cols) {
  TestMatrix x(rows, cols);
  const uint32_t lower[] = {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff, 0x4000};
  uint32_t at = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c, at += 37) {
      const uint32_t bits = (at & 0xffff) << 16 | lower[at % std::size(lower)];
      std::memcpy(&x(r, c), &bits, sizeof(bits));
    }
  }
  return x;
}

// Where kernel/bf16_loops.h puts element (i, k) of a left operand [*, depth], and (k, j) of a right
// one [depth, *].
size_t InLeft(int64_t i, int64_t k, int64_t depth) {
  return static_cast<size_t>(i / 16 * ((depth + 31) / 32 * 512) + k / 32 * 512 + i % 16 * 32 +
                             k % 32);
}
size_t InRight(int64_t k, int64_t j, int64_t depth) {
  return static_cast<size_t>(j / 16 * ((depth + 31) / 32 * 512) + k / 32 * 512 + k % 32 / 2 * 32 +
                             j % 16 * 2 + k % 2);
}

// The tiles that round(x, tiles) makes, where position(row, col) says where a number lies.
template <typename Round, typename Position>
void ExpectRounded(const char* name, const TestMatrix& x, const Round& round,
                   const Position& position) {
  std::vector<Bf16> tiles(static_cast<size_t>(TilesSize(x.rows(), x.cols())), Bf16{0x7fff});
  round(x.view(), tiles.data());
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.cols(); ++c) {
      ASSERT_EQ(tiles[position(r, c)].bits, RoundToBf16(x(r, c)).bits)
          << name << " of " << r << ", " << c;
    }
  }
}

TEST(Bf16TilesTest, HoldWhatRoundToBf16Gives) {
  const TestMatrix x = EveryRounding(333, 203);  // whole tiles, and parts of them
  Everywhere([&] {
    ExpectRounded("RoundRows", x, RoundRows,
                  [&](int64_t row, int64_t col) { return InLeft(row, col, x.cols()); });
    ExpectRounded("RoundForNT", x, RoundForNT,
                  [&](int64_t row, int64_t col) { return InRight(col, row, x.cols()); });
    ExpectRounded("RoundForNN", x, RoundForNN,
                  [&](int64_t row, int64_t col) { return InRight(row, col, x.rows()); });
  });
}

}  // namespace
}  // namespace darkhorse
