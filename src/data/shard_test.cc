#include "data/shard.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/checksum.h"
#include "base/compressed_testing.h"
#include "base/parallel.h"

namespace darkhorse {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

constexpr uint64_t kHash = 0x0123456789abcdef;
constexpr size_t kHeaderBytes = 40;
constexpr size_t kFooterBytes = 32;

std::string WriteShard(const std::string& path, int32_t vocab_size, const Documents& documents) {
  ShardWriter writer(path, {kHash, vocab_size, 0, 1});
  for (const auto& document : documents) writer.Append(document, 10);
  writer.Commit();
  return ReadFile(path);
}

TokenShard Parse(const std::string& bytes, std::optional<uint64_t> hash = kHash) {
  return TokenShard::Parse(std::as_bytes(std::span(bytes)), "x.bin", hash);
}

std::string Sealed(std::string bytes) {
  SealShard(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

template <typename T>
std::string Replaced(std::string bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return Sealed(std::move(bytes));
}

Documents ReadAll(const TokenShard& shard) {
  Documents documents;
  for (int64_t d = 0; d < shard.documents(); ++d) {
    const int64_t begin = shard.DocumentBegin(d);
    documents.emplace_back(shard.DocumentBegin(d + 1) - begin);
    shard.Copy(begin, static_cast<int64_t>(documents[d].size()), documents[d].data());
  }
  return documents;
}

TEST(Shard, ReadsWhatWasWritten) {
  const ScratchDirectory folder;
  for (const int32_t vocab_size : {300, 65536, 65537, 1 << 30}) {
    Documents documents = {{5}, {0, vocab_size - 1, 7}, {1, 2}};
    // Longer than one checksum block.
    documents.emplace_back(700'001, vocab_size - 2);
    const std::string bytes = WriteShard(folder / "x.bin", vocab_size, documents);
    // 65536 ids, 0 to 65535, are what two bytes hold. Offsets of four documents and their end.
    const size_t token_bytes = (vocab_size <= 65536 ? 2 : 4) * 700'007u;
    EXPECT_EQ(bytes.size(), kHeaderBytes + (token_bytes + 7) / 8 * 8 + 8 * 5 + kFooterBytes);
    const TokenShard shard = TokenShard::Open(folder / "x.bin", kHash);
    EXPECT_EQ(ReadAll(shard), documents);
    EXPECT_EQ(shard.tokens(), 700'007);
    EXPECT_EQ(shard.text_bytes(), 40);
    EXPECT_EQ(shard.Token(2), vocab_size - 1);
    EXPECT_EQ(shard.info().tokenizer_hash, kHash);
    EXPECT_EQ(shard.info().vocab_size, vocab_size);
    EXPECT_EQ(shard.info().bos_id, 0);
    EXPECT_EQ(shard.info().eos_id, 1);
  }
}

// The grammar of docs/data.md, byte by byte.
TEST(Shard, FormatIsAsDocumented) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{258, 1}, {3}});
  const std::string expected(
      "DHTOKENS"
      "\x01\0\0\0"
      "\x10\0\0\0"
      "\xef\xcd\xab\x89\x67\x45\x23\x01"
      "\x2c\x01\0\0"
      "\0\0\0\0"
      "\x01\0\0\0"
      "\0\0\0\0"
      "\x02\x01\x01\0\x03\0"
      "\0\0"
      "\0\0\0\0\0\0\0\0"
      "\x02\0\0\0\0\0\0\0"
      "\x03\0\0\0\0\0\0\0"
      "\x03\0\0\0\0\0\0\0"
      "\x02\0\0\0\0\0\0\0"
      "\x14\0\0\0\0\0\0\0",
      40 + 8 + 24 + 24);
  EXPECT_EQ(bytes.substr(0, bytes.size() - 8), expected);
  // One block: the checksum of its checksum.
  const uint64_t block = Checksum64(expected);
  uint64_t stored;
  std::memcpy(&stored, bytes.data() + expected.size(), 8);
  EXPECT_EQ(stored, Checksum64(std::as_bytes(std::span(&block, 1))));
}

TEST(Shard, NothingAppearsWithoutCommit) {
  const ScratchDirectory folder;
  {
    ShardWriter writer(folder / "x.bin", {kHash, 300});
    writer.Append(std::vector<int32_t>(1'000'000, 5), 1);
    EXPECT_FALSE(FileExists(folder / "x.bin"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Shard, EmptyShardIsValid) {
  const ScratchDirectory folder;
  const TokenShard shard = Parse(WriteShard(folder / "x.bin", 300, {}));
  EXPECT_EQ(shard.documents(), 0);
  EXPECT_EQ(shard.tokens(), 0);
}

TEST(Shard, EveryTruncationIsFound) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string error = MessageOf([&] { Parse(bytes.substr(0, size)); });
    EXPECT_CONTAINS(error, size < kHeaderBytes ? "not a token shard" : "truncated") << size;
    EXPECT_CONTAINS(error, "x.bin: ");
    EXPECT_CONTAINS(error, "prepare the data again");
  }
  EXPECT_CONTAINS(MessageOf([&] { Parse(bytes + '\0'); }), "damaged");
}

TEST(Shard, EveryFlippedBitIsFound) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}});
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(MessageOf([&] { Parse(flipped); }), "") << "bit " << bit;
  }
}

TEST(Shard, FlippedBitInALaterBlockIsFound) {
  const ScratchDirectory folder;
  std::string bytes = WriteShard(folder / "x.bin", 300, {std::vector<int32_t>(2'000'000, 5)});
  bytes[3'500'001] ^= 1;
  EXPECT_CONTAINS(MessageOf([&] { Parse(bytes); }), "checksum differs");
}

TEST(Shard, WrongTokenizerIsNamed) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1}});
  EXPECT_EQ(MessageOf([&] { Parse(bytes, kHash + 1); }),
            "x.bin: made with another tokenizer (its hash is 0123456789abcdef, this one's is "
            "0123456789abcdf0); use that tokenizer or prepare the data again");
  EXPECT_EQ(Parse(bytes, std::nullopt).tokens(), 1);
}

TEST(Shard, WrongVersionIsNamed) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1}});
  EXPECT_EQ(MessageOf([&] { Parse(Replaced(bytes, 8, uint32_t{2})); }),
            "x.bin: shard version 2, this program reads 1; prepare the data again");
}

// From here on the checksum is right and the contents are not: a file made to do harm.
TEST(Shard, ImpossibleHeaders) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1}});
  EXPECT_NO_THROW(Parse(Sealed(bytes)));
  const auto expect_header_error = [&](size_t offset, int32_t value) {
    EXPECT_CONTAINS(MessageOf([&] { Parse(Replaced(bytes, offset, value)); }),
                    "damaged shard header")
        << offset << " " << value;
  };
  expect_header_error(12, 32);  // token width that does not go with the vocabulary
  expect_header_error(24, 0);   // vocabulary
  expect_header_error(24, -5);
  expect_header_error(24, 65537);  // needs 32 bits
  expect_header_error(28, 300);    // bos
  expect_header_error(28, -2);
  expect_header_error(32, 300);  // eos
  expect_header_error(36, 1);    // reserved
  const std::string with_bos = Replaced(bytes, 28, int32_t{7});
  EXPECT_EQ(MessageOf([&] { Parse(Replaced(with_bos, 32, int32_t{300})); }),
            "x.bin: damaged shard header (vocabulary 300, 16 bits a token, bos 7, eos 300); "
            "prepare the data again");
}

TEST(Shard, CountsThatDoNotFitOrOverflow) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}});
  for (const size_t back : {32, 24, 16}) {  // tokens, documents, text bytes
    for (const uint64_t value : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{1} << 62}) {
      if (back == 16 && value == uint64_t{1} << 62) continue;  // possible
      EXPECT_CONTAINS(MessageOf([&] { Parse(Replaced(bytes, bytes.size() - back, value)); }),
                      "do not fit its counts");
    }
  }
}

// Sizes are counted in 64 bits: counts so large that the file's size comes out right again.
TEST(Shard, CountsThatWrapToTheRightSize) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}});
  EXPECT_CONTAINS(
      MessageOf([&] { Parse(Replaced(bytes, bytes.size() - 32, 5 + (uint64_t{1} << 63))); }),
      "do not fit its counts");
  EXPECT_CONTAINS(
      MessageOf([&] { Parse(Replaced(bytes, bytes.size() - 24, 2 + (uint64_t{1} << 61))); }),
      "do not fit its counts");
}

TEST(Shard, OffsetsOutOfOrder) {
  const ScratchDirectory folder;
  const std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}, {6}});
  const size_t offsets = bytes.size() - kFooterBytes - 4 * 8;
  const auto with = [&](size_t index, int64_t value) {
    return Replaced(bytes, offsets + 8 * index, value);
  };
  EXPECT_EQ(Parse(with(1, 4)).documents(), 3);
  for (const auto& [index, value] : {std::pair<size_t, int64_t>{0, 1},
                                     {0, -1},
                                     {1, 5},
                                     {1, 0},
                                     {1, 6},
                                     {1, INT64_MAX},
                                     {2, -1},
                                     {2, 6},
                                     {3, 5},
                                     {3, 7}}) {
    EXPECT_CONTAINS(MessageOf([&] { Parse(with(index, value)); }), "offsets out of order")
        << index << " " << value;
  }
}

TEST(Shard, IdsBeyondTheVocabulary) {
  const ScratchDirectory folder;
  std::string bytes = WriteShard(folder / "x.bin", 300, {{1, 2, 3}, {4, 5}});
  EXPECT_CONTAINS(MessageOf([&] { Parse(Replaced(bytes, kHeaderBytes + 6, uint16_t{300})); }),
                  "token 3 has id 300, the vocabulary is 300");
  bytes = WriteShard(folder / "x.bin", 100'000, {{1, 2, 3}, {4, 5}});
  EXPECT_CONTAINS(MessageOf([&] { Parse(Replaced(bytes, kHeaderBytes + 4, ~uint32_t{0})); }),
                  "token 1 has id 4294967295, the vocabulary is 100000)");
  // The last id there may be, and of several others the first.
  EXPECT_EQ(Parse(Replaced(bytes, kHeaderBytes + 4, uint32_t{99'999})).Token(1), 99'999);
  bytes = Replaced(bytes, kHeaderBytes + 8, uint32_t{100'001});
  EXPECT_CONTAINS(MessageOf([&] { Parse(Replaced(bytes, kHeaderBytes + 4, uint32_t{100'000})); }),
                  "token 1 has id 100000, the vocabulary is 100000)");
}

TEST(Shard, FilesThatAreNoShard) {
  const ScratchDirectory folder;
  EXPECT_CONTAINS(MessageOf([&] { TokenShard::Open(folder / "none.bin"); }), "none.bin");
  folder.Write("text.bin", std::string(1000, 'x'));
  EXPECT_CONTAINS(MessageOf([&] { TokenShard::Open(folder / "text.bin"); }), "not a token shard");
  folder.Write("empty.bin", "");
  EXPECT_CONTAINS(MessageOf([&] { TokenShard::Open(folder / "empty.bin"); }), "empty.bin");
}

}  // namespace
}  // namespace darkhorse
