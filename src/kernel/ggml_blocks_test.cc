#include "kernel/ggml_blocks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"

namespace darkhorse {
namespace {

std::vector<std::byte> FromHex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// Blocks of random bytes and their numbers by the package `gguf`: tools/make_ggml_blocks_golden.py.
TEST(GgmlBlocksTest, NumbersAreThoseOfThePackageBitByBit) {
  const auto golden =
      nlohmann::json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/ggml_blocks.json"));
  int readable = 0;
  for (uint32_t id = 0; id < 256; ++id) {
    const GgmlTypeInfo* info = FindGgmlType(id);
    if (!info || !info->decode) continue;
    ++readable;
    const std::string name(info->name);
    ASSERT_TRUE(golden.contains(name)) << name;
    const std::vector<std::byte> blocks = FromHex(golden[name]["blocks"]);
    const std::vector<std::byte> expected = FromHex(golden[name]["numbers"]);
    const auto count = static_cast<int64_t>(blocks.size()) / info->bytes;
    std::vector<float> numbers(static_cast<size_t>(count * info->numbers));
    ASSERT_EQ(expected.size(), numbers.size() * sizeof(float)) << name;
    info->decode(blocks.data(), count, numbers.data());
    for (size_t i = 0; i < numbers.size(); ++i) {
      float value;
      std::memcpy(&value, expected.data() + i * sizeof(float), sizeof(value));
      EXPECT_EQ(std::memcmp(&numbers[i], &value, sizeof(value)), 0)
          << name << "[" << i << "]: " << numbers[i] << " where " << value << " is expected";
    }
  }
  EXPECT_EQ(readable, static_cast<int>(golden.size()));
}

TEST(GgmlBlocksTest, SizesOfTypes) {
  EXPECT_EQ(FindGgmlType(4), nullptr);   // retired
  EXPECT_EQ(FindGgmlType(15), nullptr);  // Q8_K exists in memory only
  EXPECT_EQ(FindGgmlType(97), nullptr);
  EXPECT_EQ(FindGgmlType(16)->name, "IQ2_XXS");
  EXPECT_EQ(FindGgmlType(16)->decode, nullptr);
  EXPECT_EQ(InfoOf(GgmlType::kQ4K).BytesOf(512), 288);
  EXPECT_EQ(InfoOf(GgmlType::kBf16).BytesOf(3), 6);
  EXPECT_EQ(ReadableGgmlTypes(),
            "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, "
            "IQ4_XS");
}

}  // namespace
}  // namespace darkhorse
