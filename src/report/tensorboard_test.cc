#include "report/tensorboard.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return hex;
}

TEST(Crc32c, ValuesOfTheRfc) {  // RFC 3720 B.4, and the polynomial's usual check value
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending += static_cast<char>(i);
    descending += static_cast<char>(31 - i);
  }
  EXPECT_EQ(Crc32c(""), 0U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(Crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(Crc32c(descending), 0x113FDB5CU);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
}

// The first record of every event file that TensorFlow and tensorboardX write, but for its wall
// time: crc of the length 24 included.
TEST(TfRecord, LengthAndItsCheckAreTensorFlows) {
  const std::string record = TfRecord(VersionEvent());
  EXPECT_EQ(Hex(record.substr(0, 12)), "1800000000000000a37f4b22");
  EXPECT_EQ(record.size(), 8 + 4 + 24 + 4U);
}

TEST(Events, ProtocolBuffersByHand) {
  EXPECT_EQ(Hex(VersionEvent()),
            "090000000000000000"  // 1: wall_time 0.0
            "1a0d"
            "627261696e2e4576656e743a32");  // 3: file_version "brain.Event:2"
  const Scalar loss{"loss", 0.5};
  EXPECT_EQ(Hex(ScalarEvent(300, 1.0, {&loss, 1})),
            "09000000000000f03f"  // 1: wall_time 1.0
            "10ac02"              // 2: step 300
            "2a0d"                // 5: summary, 13 bytes
            "0a0b"                // 1: value, 11 bytes
            "0a04"
            "6c6f7373"      // 1: tag
            "150000003f");  // 2: simple_value 0.5f
}

// Made by a script from the two formats' definitions, with a CRC that goes bit by bit.
TEST(TensorBoardFile, IsARecordPerStepBehindTheVersion) {
  const std::vector<std::pair<int64_t, std::vector<Scalar>>> steps = {{1, {{"a", 1}}},
                                                                      {2, {{"a", 2}, {"b", 3}}}};
  EXPECT_EQ(Hex(TensorBoardFile(steps)),
            "1800000000000000a37f4b22"
            "0900000000000000001a0d627261696e2e4576656e743a32"  // version
            "eedf28a3"
            "1700000000000000e7cef81e"
            "09000000000000f03f10012a0a0a080a0161150000803f"  // time 1, step 1: a = 1
            "db345003"
            "2100000000000000017becf6"
            "09000000000000004010022a140a080a016115000000400a080a01621500004040"  // 2: a = 2, b = 3
            "70e4e68f");
}

}  // namespace
}  // namespace darkhorse
