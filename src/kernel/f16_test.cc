#include "kernel/f16.h"

#include <gtest/gtest.h>

#include <cmath>

namespace darkhorse {
namespace {

float Number(uint32_t bits) { return ToFloat(F16{static_cast<uint16_t>(bits)}); }

TEST(F16Test, WidensAsDefined) {
  EXPECT_EQ(Number(0x3c00), 1.0f);
  EXPECT_EQ(Number(0xc000), -2.0f);
  EXPECT_EQ(Number(0x0001), 0x1p-24f);
  EXPECT_EQ(Number(0x03ff), 0x3ffp-24f);
  EXPECT_EQ(Number(0x0400), 0x1p-14f);
  EXPECT_EQ(Number(0x7bff), 65504.0f);
  EXPECT_EQ(Number(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(Number(0x7c01)));
  EXPECT_TRUE(std::signbit(Number(0x8000)));
}

// All numbers of f16, what lies halfway between two, and both sides of that.
TEST(F16Test, RoundsToTheNearestEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    for (const float sign : {1.0f, -1.0f}) {
      const uint32_t s = sign < 0 ? 0x8000 : 0;
      const float x = Number(bits);
      const float next = bits == 0x7bff ? 65536.0f : Number(bits + 1);
      const float half = x + (next - x) / 2;
      ASSERT_EQ(RoundToF16(sign * x).bits, s | bits);
      ASSERT_EQ(RoundToF16(sign * half).bits, s | (bits + bits % 2));
      ASSERT_EQ(RoundToF16(sign * std::nextafter(half, 0.0f)).bits, s | bits);
      ASSERT_EQ(RoundToF16(sign * std::nextafter(half, INFINITY)).bits, s | (bits + 1));
    }
  }
  EXPECT_EQ(RoundToF16(1e30f).bits, 0x7c00);
  EXPECT_EQ(RoundToF16(-INFINITY).bits, 0xfc00);
  EXPECT_TRUE(std::isnan(ToFloat(RoundToF16(NAN))));
}

}  // namespace
}  // namespace darkhorse
