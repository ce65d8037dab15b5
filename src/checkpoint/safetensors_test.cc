#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/scratch_testing.h"
#include "checkpoint/number_formats.h"

namespace darkhorse {
namespace {

// A file of a header and `data` zero bytes.
std::string FileOf(const std::string& header, size_t data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(data, '\0');
}

std::string ParseMessage(const std::string& file) {
  return MessageOf([&] { ParseSafetensors(std::as_bytes(std::span(file)), "f"); });
}

std::string Message(const std::string& header, size_t data) {
  return ParseMessage(FileOf(header, data));
}

std::string Tensor(const std::string& name, const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}

TEST(SafetensorsTest, RoundTripKeepsOrderBitsAndMetadata) {
  const ScratchDirectory dir;
  const std::vector<float> z = {1.5f, -0.0f, std::numeric_limits<float>::quiet_NaN(), 4, 5, 6};
  const std::vector<float> a = {7};
  {
    SafetensorsWriter writer(
        dir / "f",
        {{"z", DType::kF32, {2, 3}}, {"empty", DType::kF32, {0, 3}}, {"a", DType::kF32, {1}}},
        {{"format", "pt"}});
    writer.Append(z);
    writer.Append({});
    writer.Append(a);
    EXPECT_FALSE(FileExists(dir / "f"));
    writer.Commit();
  }
  const SafetensorsFile file(dir / "f");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "z");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.Find("nothing"), nullptr);
  std::vector<float> out(6);
  ReadFloats(*file.Find("z"), "f", out);
  EXPECT_EQ(std::memcmp(out.data(), z.data(), 24), 0);
  EXPECT_EQ(file.Find("empty")->size(), 0);
  // The data begin at a multiple of 8.
  EXPECT_EQ((file.tensors()[0].bytes.data() - MappedFile(dir / "f").bytes().data()) % 8, 0);
}

TEST(SafetensorsTest, WritesBf16RoundedToNearestEven) {
  const ScratchDirectory dir;
  std::vector<float> values(70000, 1.0f);
  values[0] = 1.00390625f;  // 1 + 2^-8, halfway: to even, 1
  values[1] = 1.01171875f;  // 1 + 3*2^-8, halfway: to even, 1 + 4*2^-8
  values[69999] = 3.0f;
  SafetensorsWriter writer(dir / "f", {{"t", DType::kBf16, {70000}}}, {});
  writer.Append(values);
  writer.Commit();
  const SafetensorsFile file(dir / "f");
  std::vector<float> out(70000);
  ReadFloats(*file.Find("t"), "f", out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], 1.015625f);
  EXPECT_EQ(out[69999], 3.0f);
}

TEST(NumberFormatsTest, EveryBf16IsItsOwnRounding) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = FromBf16(static_cast<uint16_t>(bits));
    const uint16_t back = ToBf16(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(FromBf16(back)));
    } else {
      EXPECT_EQ(back, bits);
    }
  }
  EXPECT_TRUE(std::isnan(FromBf16(ToBf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isinf(FromBf16(ToBf16(std::numeric_limits<float>::max()))));
}

TEST(NumberFormatsTest, EveryF16IsItsFormula) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = FromF16(static_cast<uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const int fraction = static_cast<int>(bits & 1023);
    if (exponent == 31) {
      EXPECT_EQ(std::isinf(value), fraction == 0);
      EXPECT_EQ(std::isnan(value), fraction != 0);
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(value, (bits & 0x8000 ? -1 : 1) * magnitude) << bits;
    EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0);
  }
}

TEST(SafetensorsTest, AcceptsWhatTheFormatAllows) {
  EXPECT_EQ(Message("{}", 0), "");
  EXPECT_EQ(Message("{}     ", 0), "");
  EXPECT_EQ(Message("{" + Tensor("scalar", "[]", "[0,4]") + "}", 4), "");
  EXPECT_EQ(Message("{" + Tensor("b", "[2]", "[8,16]") + "," + Tensor("a", "[1]", "[0,8]", "I64") +
                        "," + Tensor("e", "[0]", "[8,8]") + "}",
                    16),
            "");
}

TEST(SafetensorsTest, RefusesBrokenHeaders) {
  EXPECT_TRUE(Says(ParseMessage("1234567"), "too few"));
  EXPECT_TRUE(Says(ParseMessage(std::string(8, '\xff') + "{}"), "claims 18446744073709551615"));
  std::string truncated = FileOf("{" + Tensor("a", "[1]", "[0,4]") + "}", 4);
  truncated.resize(20);
  EXPECT_TRUE(Says(ParseMessage(truncated), "truncated"));
  EXPECT_TRUE(Says(ParseMessage(FileOf("{" + Tensor("a", "[2]", "[0,8]") + "}", 5)),
                   "ends 3 bytes behind the end of the file; the file is truncated"));
  EXPECT_TRUE(Says(Message("[]", 0), "expected a JSON object"));
  EXPECT_TRUE(Says(Message("{\"a\":", 0), "not valid JSON"));
  EXPECT_TRUE(Says(Message("{\"\xff\":1}", 0), "not valid JSON"));
  EXPECT_TRUE(Says(Message("{\"a\":1e999}", 0), "not valid JSON"));
  EXPECT_TRUE(Says(Message(std::string(100000, '['), 0), "deeper"));
  EXPECT_TRUE(Says(Message("{\"__metadata__\":{\"a\":1}}", 0), "must be a string"));
  EXPECT_TRUE(Says(Message("{\"__metadata__\":1}", 0), "object of strings"));
  const std::string a = Tensor("a", "[1]", "[0,4]");
  EXPECT_TRUE(Says(Message("{" + a + "," + a + "}", 4), "'a' appears twice"));
}

TEST(SafetensorsTest, RefusesBrokenTensors) {
  const auto one = [](const std::string& shape, const std::string& offsets,
                      const std::string& dtype = "F32") {
    return Message("{" + Tensor("a", shape, offsets, dtype) + "}", 8);
  };
  EXPECT_EQ(one("[2]", "[0,8]"), "");
  EXPECT_TRUE(Says(one("[2]", "[0,8]", "F8_E5M2"), "dtype 'F8_E5M2' is not supported"));
  EXPECT_TRUE(Says(one("[3]", "[0,8]"), "do not hold the 12 bytes"));
  EXPECT_TRUE(Says(one("[2]", "[8,0]"), "do not hold"));
  EXPECT_TRUE(Says(one("[2]", "[0,16]"), "ends 8 bytes behind the end of the file"));
  EXPECT_TRUE(Says(one("[2]", "[-8,0]"), "integer of at least 0"));
  EXPECT_TRUE(Says(one("[2]", "[0,18446744073709551615]"), "integer of at least 0"));
  EXPECT_TRUE(Says(one("[2]", "[0.0,8]"), "integer of at least 0"));
  EXPECT_TRUE(Says(one("[2]", "[0]"), "must be [begin, end]"));
  EXPECT_TRUE(Says(one("[-2]", "[0,8]"), "must be an integer"));
  EXPECT_TRUE(Says(one("[4294967296,4294967296]", "[0,0]"), "overflows"));
  // 2^62 elements of four bytes: the product is 0 modulo 2^64.
  EXPECT_TRUE(Says(one("[4611686018427387904]", "[0,0]"), "overflows"));
  EXPECT_TRUE(Says(one("2", "[0,8]"), "'shape' must be an array"));
  EXPECT_TRUE(Says(one("[1,1,1,1,1,1,1,1,2]", "[0,8]"), "at most 8"));
  EXPECT_TRUE(Says(Message(R"({"a":5})", 0), "must be an object"));
  EXPECT_TRUE(Says(Message(R"({"a":{"shape":[]}})", 0), "'dtype' is missing"));
}

TEST(SafetensorsTest, RefusesOverlapsAndGaps) {
  const auto two = [](const std::string& first, const std::string& second, size_t data) {
    return Message("{" + Tensor("a", "[2]", first) + "," + Tensor("b", "[1]", second) + "}", data);
  };
  EXPECT_EQ(two("[0,8]", "[8,12]", 12), "");
  EXPECT_TRUE(Says(two("[0,8]", "[4,8]", 8), "tensor 'b' overlaps"));
  EXPECT_TRUE(Says(two("[0,8]", "[0,4]", 8), "tensor 'a' overlaps"));
  EXPECT_TRUE(Says(two("[0,8]", "[12,16]", 16), "tensor 'b' leaves a gap"));
  EXPECT_TRUE(Says(two("[0,8]", "[8,12]", 13), "1 bytes after the last tensor"));
}

TEST(SafetensorsTest, IntegersAreNoWeights) {
  const std::string file = FileOf("{" + Tensor("a", "[1]", "[0,8]", "I64") + "}", 8);
  const auto contents = ParseSafetensors(std::as_bytes(std::span(file)), "f");
  std::vector<float> out(1);
  EXPECT_TRUE(Says(MessageOf([&] { ReadFloats(contents.tensors[0], "f", out); }), "is I64"));
}

// To the letter: which number stands for what.
TEST(SafetensorsTest, RefusalsAreSaidInFull) {
  std::string header = FileOf("{" + Tensor("a", "[1]", "[0,4]") + "}", 4);
  header.resize(20);
  EXPECT_EQ(ParseMessage(header),
            "f: its header claims 54 bytes but 12 follow (at most 100000000 are allowed); the file "
            "is truncated or no safetensors file, fetch it again");
  EXPECT_EQ(ParseMessage("1234567"),
            "f: 7 bytes are too few for a safetensors file; fetch it again");
  EXPECT_EQ(Message("{" + Tensor("a", "[3,1]", "[4,12]", "BF16") + "}", 12),
            "f: tensor 'a': data_offsets [4, 12] do not hold the 6 bytes of BF16 [3, 1]; the file "
            "is corrupt, fetch it again");
  EXPECT_EQ(Message("{" + Tensor("a", "[4294967296,4294967296]", "[0,0]") + "}", 0),
            "f: tensor 'a': shape [4294967296, 4294967296] overflows; the file is corrupt, fetch "
            "it again");
  const std::string eight = "[1,1,1,1,1,1,1,1";
  EXPECT_EQ(Message("{" + Tensor("a", eight + "]", "[0,4]") + "}", 4), "");
  EXPECT_EQ(Message("{" + Tensor("a", eight + ",1]", "[0,4]") + "}", 4),
            "f: tensor 'a': 'shape' must be an array of at most 8 extents");
  const std::string file = FileOf("{" + Tensor("a", "[1]", "[0,8]", "I64") + "}", 8);
  const auto contents = ParseSafetensors(std::as_bytes(std::span(file)), "f");
  std::vector<float> out(1);
  EXPECT_EQ(MessageOf([&] { ReadFloats(contents.tensors[0], "g", out); }),
            "g: tensor 'a' is I64, where F32, BF16 or F16 is needed; convert it");
}

// The header is padded to the next multiple of eight bytes, and no further.
TEST(SafetensorsTest, DataBeginAligned) {
  const ScratchDirectory dir;
  for (size_t length = 1; length <= 9; ++length) {
    SafetensorsWriter writer(dir / "f", {{std::string(length, 'n'), DType::kF32, {1}}}, {});
    writer.Append(std::vector<float>{1});
    writer.Commit();
    const std::string file = ReadFile(dir / "f");
    uint64_t header = 0;
    std::memcpy(&header, file.data(), sizeof(header));
    const std::string text = file.substr(8, header);
    EXPECT_EQ(header, (text.find_last_not_of(' ') + 1 + 7) / 8 * 8) << length;
    EXPECT_EQ(file.size(), 8 + header + 4);
  }
}

TEST(CheckpointTensorsTest, ReadsShards) {
  const ScratchDirectory dir;
  EXPECT_TRUE(
      Says(MessageOf([&] { CheckpointTensors(dir.path()); }), "model.safetensors: cannot open"));
  WriteFileAtomically(dir / "s1", FileOf("{" + Tensor("a", "[1]", "[0,4]") + "}", 4));
  WriteFileAtomically(dir / "s2", FileOf("{" + Tensor("b", "[2]", "[0,8]") + "}", 8));
  const std::string index = dir / "model.safetensors.index.json";
  WriteFileAtomically(index, R"({"metadata":{},"weight_map":{"a":"s1","b":"s2"}})");
  const CheckpointTensors tensors(dir.path());
  ASSERT_EQ(tensors.entries().size(), 2u);
  EXPECT_EQ(tensors.entries().at("b").tensor->shape, (std::vector<int64_t>{2}));
  // The whole model in one file goes before its shards.
  WriteFileAtomically(dir / "model.safetensors",
                      FileOf("{" + Tensor("c", "[1]", "[0,4]") + "}", 4));
  EXPECT_TRUE(CheckpointTensors(dir.path()).entries().contains("c"));
  std::filesystem::remove(dir / "model.safetensors");

  const auto fails = [&](const std::string& text) {
    WriteFileAtomically(index, text);
    return MessageOf([&] { CheckpointTensors(dir.path()); });
  };
  EXPECT_EQ(fails(R"({"weight_map":{"b":"s2","a":"s2"}})"),
            index + ": tensor 'a' is not in s2; fetch the shards again");
  EXPECT_EQ(
      fails(R"({"weight_map":{"a":"../s1"}})"),
      index + ": tensor 'a' is said to be in '../s1', which is no file of the same directory");
  EXPECT_TRUE(Says(fails(R"({"weight_map":{"a":"s3"}})"), "s3: cannot open"));
  for (const char* name : {"../s1", "..", ".hidden", "", "a/b", "a\\\\b"}) {
    EXPECT_TRUE(Says(fails(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name)),
                     "no file of the same directory"))
        << name;
  }
  EXPECT_TRUE(Says(fails(R"({"weight_map":{"a":"/etc/passwd"}})"), "no file of the same"));
  EXPECT_TRUE(Says(fails(R"({"weight_map":[]})"), "must be an object"));
}

}  // namespace
}  // namespace darkhorse
