#include "base/base64.h"

#include <gtest/gtest.h>

#include <vector>

namespace darkhorse {
namespace {

// RFC 4648, section 10.
TEST(Base64, IsTheStandards) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64("\xff\xef\xbe"), "/+++");
}

TEST(Base64, OfFloatsIsTheirBytes) {
  // 1 is 00 00 80 3f, -2 is 00 00 00 c0.
  EXPECT_EQ(Base64OfFloats(std::vector<float>{1, -2}), "AACAPwAAAMA=");
}

}  // namespace
}  // namespace darkhorse
