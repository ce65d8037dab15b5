#include "kernel/ggml_encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"

namespace darkhorse {
namespace {

std::string ToHex(const std::vector<std::byte>& bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    hex += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return hex;
}

std::vector<std::byte> Encode(GgmlType type, const std::vector<float>& in) {
  const auto count = static_cast<int64_t>(in.size());
  std::vector<std::byte> out(static_cast<size_t>(InfoOf(type).BytesOf(count)));
  EncodeGgml(type, in.data(), count, out.data());
  return out;
}

std::vector<float> Decode(GgmlType type, const std::vector<std::byte>& bytes) {
  const GgmlTypeInfo& info = InfoOf(type);
  const auto blocks = static_cast<int64_t>(bytes.size()) / info.bytes;
  std::vector<float> out(static_cast<size_t>(blocks * info.numbers));
  info.decode(bytes.data(), blocks, out.data());
  return out;
}

std::vector<float> Normals(int64_t count, double scale, double shift = 0) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) {
    out.push_back(static_cast<float>(
        shift + scale * RandomNormal(3, RandomStream::kInit, 0, static_cast<uint64_t>(i))));
  }
  return out;
}

double SquaredError(GgmlType type, const std::vector<float>& in) {
  const std::vector<float> out = Decode(type, Encode(type, in));
  double sum = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const double off = static_cast<double>(out[i]) - static_cast<double>(in[i]);
    sum += off * off;
  }
  return sum;
}

// tools/make_ggml_blocks_golden.py
TEST(GgmlEncodeTest, BlocksAreThoseOfThePackageByteByByte) {
  const auto golden =
      nlohmann::json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/ggml_encode.json"));
  const std::string hex = golden["numbers"];
  std::vector<float> numbers(hex.size() / 8);
  for (size_t i = 0; i < hex.size(); i += 2) {
    reinterpret_cast<uint8_t*>(numbers.data())[i / 2] =
        static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  for (const GgmlType type :
       {GgmlType::kF16, GgmlType::kBf16, GgmlType::kQ4_0, GgmlType::kQ5_0, GgmlType::kQ8_0}) {
    const std::string name(InfoOf(type).name);
    EXPECT_EQ(ToHex(Encode(type, numbers)), golden[name]) << name;
  }
}

// Of numbers that the format has, none is changed.
TEST(GgmlEncodeTest, WhatWasDecodedIsEncodedExactly) {
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBf16}) {
    const std::vector<std::byte> once = Encode(type, Normals(4096, 0.02));
    EXPECT_EQ(Encode(type, Decode(type, once)), once) << InfoOf(type).name;
  }
}

// Blocks of which each group has both ends of the range, one the largest scale and one the largest
// minimum: the plain cut into 15 steps is then exact, and nothing fits better.
TEST(GgmlEncodeTest, Q4KOfNumbersThatItHasIsExact) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto draw = [&](uint64_t i) {
      return static_cast<int>(RandomBits(seed, RandomStream::kInit, 0, i) >> 32);
    };
    std::vector<float> numbers;
    for (int group = 0; group < 8; ++group) {
      const int scale = group == 3 ? 63 : 1 + (draw(group) & 31);
      const int min = group == 5 ? 63 : draw(100 + group) & 63;
      for (int i = 0; i < 32; ++i) {
        const int q = i == 4 ? 0 : i == 9 ? 15 : draw(200 + 32 * group + i) & 15;
        numbers.push_back(0x1p-10f * static_cast<float>(scale * q) -
                          0x1p-9f * static_cast<float>(min));
      }
    }
    EXPECT_EQ(Decode(GgmlType::kQ4K, Encode(GgmlType::kQ4K, numbers)), numbers) << seed;
  }
}

TEST(GgmlEncodeTest, Q4KIsNoWorseThanQ4_0) {
  for (const double shift : {0.0, 0.05, -0.3}) {
    for (const double scale : {0.02, 1.0, 300.0}) {
      const std::vector<float> numbers = Normals(64 * 256, scale, shift * scale);
      EXPECT_LE(SquaredError(GgmlType::kQ4K, numbers), SquaredError(GgmlType::kQ4_0, numbers));
    }
  }
}

// A group's sixteen steps cover its range and 0, and stored scales and minima are right to 1/63 of
// the largest, half of it by rounding: no number is off by more than half a step of the widest
// group, what the two roundings move, and what the search gives up at the ends of the range, 1
// step.
TEST(GgmlEncodeTest, Q4KErrorsAreWithinSteps) {
  const std::vector<float> numbers = Normals(64 * 256, 0.02, 0.01);
  const std::vector<float> out = Decode(GgmlType::kQ4K, Encode(GgmlType::kQ4K, numbers));
  for (size_t block = 0; block < numbers.size(); block += 256) {
    float widest = 0, least = 0;
    for (size_t group = block; group < block + 256; group += 32) {
      const auto [low, high] =
          std::minmax_element(numbers.begin() + group, numbers.begin() + group + 32);
      widest = std::max(widest, *high - std::min(*low, 0.0f));
      least = std::min(least, *low);
    }
    const float step = widest / 15;
    const float bound = step / 2 + step + 15 * step / 126 + -least / 126;
    for (size_t i = block; i < block + 256; ++i) EXPECT_LE(std::abs(out[i] - numbers[i]), bound);
  }
}

TEST(GgmlEncodeTest, Q4KOfUnusualBlocks) {
  EXPECT_EQ(SquaredError(GgmlType::kQ4K, std::vector<float>(256)), 0);
  // All numbers of a group equal, above and below 0.
  for (const float value : {1.0f, -1.0f}) {
    const std::vector<float> numbers(256, value);
    // Scale or minimum of six bits are then the largest, 63, times an f16, which is right to 2^-11.
    EXPECT_LE(SquaredError(GgmlType::kQ4K, numbers), 256 * 0x1p-22);
  }
  for (const float tiny : {1e-38f, 1e-42f}) {
    std::vector<float> numbers = Normals(256, 1);
    for (float& x : numbers) x *= tiny;
    for (const float x : Decode(GgmlType::kQ4K, Encode(GgmlType::kQ4K, numbers))) EXPECT_EQ(x, 0);
  }
  std::vector<float> large = Normals(256, 1);
  for (float& x : large) x = std::clamp(x * 4e4f, -65504.0f, 65504.0f);
  for (const float x : Decode(GgmlType::kQ4K, Encode(GgmlType::kQ4K, large)))
    EXPECT_TRUE(std::isfinite(x));
}

}  // namespace
}  // namespace darkhorse
