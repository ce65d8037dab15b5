#include "kernel/f8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"

namespace darkhorse {
namespace {

// All numbers by PyTorch: tools/make_f8_golden.py.
template <typename F8>
void ExpectAll(const char* name) {
  const auto golden = nlohmann::json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/f8.json"));
  ASSERT_EQ(golden[name].size(), 256u);
  for (int bits = 0; bits < 256; ++bits) {
    const float number = ToFloat(F8{static_cast<uint8_t>(bits)});
    const std::string expected = golden[name][static_cast<size_t>(bits)];
    if (expected == "nan") {
      EXPECT_TRUE(std::isnan(number)) << bits;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(number), std::stoul(expected, nullptr, 16)) << bits;
    }
  }
}

TEST(F8Test, NumbersAreThoseOfPyTorch) {
  ExpectAll<F8E4m3>("float8_e4m3fn");
  ExpectAll<F8E8m0>("float8_e8m0fnu");
}

}  // namespace
}  // namespace darkhorse
