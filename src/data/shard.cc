#include "data/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/checksum.h"
#include "base/error.h"
#include "base/parallel.h"

namespace darkhorse {
namespace {

static_assert(std::endian::native == std::endian::little,
              "shards are little-endian, read in place");

constexpr char kMagic[8] = {'D', 'H', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr uint32_t kVersion = 1;
constexpr int64_t kBlockBytes = 1 << 20;
constexpr int64_t kMaxCount = int64_t{1} << 48;  // keeps every product below 2^63

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t token_bits;
  uint64_t tokenizer_hash;
  int32_t vocab_size;
  int32_t bos_id;
  int32_t eos_id;
  uint32_t zero;
};
static_assert(sizeof(Header) == 40);

struct Footer {
  uint64_t tokens;
  uint64_t documents;
  uint64_t text_bytes;
  uint64_t checksum;
};
static_assert(sizeof(Footer) == 32);

constexpr int64_t kHeaderBytes = sizeof(Header);
constexpr int64_t kFooterBytes = sizeof(Footer);

uint32_t TokenBits(int32_t vocab_size) { return vocab_size <= 1 << 16 ? 16 : 32; }

int64_t RoundUpTo8(int64_t bytes) { return (bytes + 7) / 8 * 8; }

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t Combine(std::span<const uint64_t> block_checksums) {
  return Checksum64(std::as_bytes(block_checksums));
}

// Blocks may be hashed in any order, so a large shard is checked by all cores.
uint64_t ShardChecksum(std::span<const std::byte> bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  std::vector<uint64_t> checksums((size + kBlockBytes - 1) / kBlockBytes);
  ParallelForRange(size, kBlockBytes, [&](int64_t begin, int64_t end) {
    checksums[begin / kBlockBytes] = Checksum64(bytes.subspan(begin, end - begin));
  });
  return Combine(checksums);
}

template <typename T>
void CopyTokens(const std::byte* from, int64_t count, int32_t* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(Load<T>(from + i * sizeof(T)));
}

// The first index in [begin, end) of an id that is not below the limit, or end.
template <typename T>
int64_t FindAtLeast(const std::byte* tokens, int64_t begin, int64_t end, uint32_t limit) {
  while (begin < end && Load<T>(tokens + begin * sizeof(T)) < limit) ++begin;
  return begin;
}

constexpr char kRemake[] = "prepare the data again";

}  // namespace

ShardWriter::ShardWriter(const std::string& path, const ShardInfo& info)
    : file_(path), info_(info) {
  CHECK(info.vocab_size > 0 && info.bos_id < info.vocab_size && info.eos_id < info.vocab_size);
  block_.reserve(kBlockBytes);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.token_bits = TokenBits(info.vocab_size);
  header.tokenizer_hash = info.tokenizer_hash;
  header.vocab_size = info.vocab_size;
  header.bos_id = info.bos_id;
  header.eos_id = info.eos_id;
  Write(std::as_bytes(std::span(&header, 1)));
}

template <typename T>
void ShardWriter::WriteTokens(std::span<const int32_t> tokens) {
  std::vector<T> narrow(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    CHECK(tokens[i] >= 0 && tokens[i] < info_.vocab_size);
    narrow[i] = static_cast<T>(tokens[i]);
  }
  Write(std::as_bytes(std::span(narrow)));
}

void ShardWriter::Append(std::span<const int32_t> tokens, int64_t text_bytes) {
  CHECK(!tokens.empty() && !finished_);
  if (TokenBits(info_.vocab_size) == 16) {
    WriteTokens<uint16_t>(tokens);
  } else {
    WriteTokens<uint32_t>(tokens);
  }
  offsets_.push_back(offsets_.back() + tokens.size());
  text_bytes_ += static_cast<uint64_t>(text_bytes);
}

void ShardWriter::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kBlockBytes - block_.size());
    block_.insert(block_.end(), bytes.begin(), bytes.begin() + count);
    bytes = bytes.subspan(count);
    if (block_.size() == kBlockBytes) FinishBlock();
  }
}

void ShardWriter::FinishBlock() {
  if (block_.empty()) return;
  block_checksums_.push_back(Checksum64(std::span<const std::byte>(block_)));
  file_.Write(block_);
  block_.clear();
}

void ShardWriter::Finish() {
  if (finished_) return;
  finished_ = true;
  const int64_t token_bytes = tokens() * (TokenBits(info_.vocab_size) / 8);
  Write(std::vector<std::byte>(RoundUpTo8(token_bytes) - token_bytes));
  Write(std::as_bytes(std::span(offsets_)));
  Footer footer{offsets_.back(), offsets_.size() - 1, text_bytes_, 0};
  Write(std::as_bytes(std::span(&footer, 1)).first(offsetof(Footer, checksum)));
  FinishBlock();
  footer.checksum = Combine(block_checksums_);
  file_.Write(std::as_bytes(std::span(&footer.checksum, 1)));
  file_.Finish();
}

void ShardWriter::Commit() {
  Finish();
  file_.Commit();
}

TokenShard TokenShard::Open(const std::string& path, std::optional<uint64_t> tokenizer_hash) {
  MappedFile file(path);
  TokenShard shard = Parse(file.bytes(), path, tokenizer_hash);
  shard.file_ = std::move(file);
  return shard;
}

TokenShard TokenShard::Parse(std::span<const std::byte> bytes, const std::string& name,
                             std::optional<uint64_t> tokenizer_hash) {
  TokenShard shard;
  shard.bytes_ = bytes;
  shard.ReadHeader(name);
  if (tokenizer_hash && *tokenizer_hash != shard.info_.tokenizer_hash) {
    Fail(
        "{}: made with another tokenizer (its hash is {}, this one's is {}); use that tokenizer or "
        "{}",
        name, HexU64(shard.info_.tokenizer_hash), HexU64(*tokenizer_hash), kRemake);
  }
  shard.ReadFooter(name);
  shard.CheckDocuments(name);
  shard.CheckTokens(name);
  return shard;
}

bool IsTokenShard(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;  // a pipe would be waited for
  std::ifstream file(path, std::ios::binary);
  char magic[sizeof kMagic] = {};
  return file.read(magic, sizeof magic) && std::memcmp(magic, kMagic, sizeof kMagic) == 0;
}

void TokenShard::ReadHeader(const std::string& name) {
  if (bytes_.size() < sizeof(Header) || std::memcmp(bytes_.data(), kMagic, sizeof kMagic) != 0) {
    Fail("{}: not a token shard; {}", name, kRemake);
  }
  const auto header = Load<Header>(bytes_.data());
  if (header.version != kVersion) {
    Fail("{}: shard version {}, this program reads {}; {}", name, header.version, kVersion,
         kRemake);
  }
  const int32_t vocab_size = header.vocab_size;
  if (vocab_size <= 0 || header.token_bits != TokenBits(vocab_size) || header.zero != 0 ||
      header.bos_id < -1 || header.bos_id >= vocab_size || header.eos_id < -1 ||
      header.eos_id >= vocab_size) {
    Fail("{}: damaged shard header (vocabulary {}, {} bits a token, bos {}, eos {}); {}", name,
         vocab_size, header.token_bits, header.bos_id, header.eos_id, kRemake);
  }
  info_ = {header.tokenizer_hash, vocab_size, header.bos_id, header.eos_id};
  token_bytes_ = header.token_bits / 8;
}

void TokenShard::ReadFooter(const std::string& name) {
  const auto size = static_cast<int64_t>(bytes_.size());
  if (size < kHeaderBytes + 8 + kFooterBytes) Fail("{}: truncated shard; {}", name, kRemake);
  const auto footer = Load<Footer>(bytes_.data() + size - kFooterBytes);
  tokens_ = static_cast<int64_t>(footer.tokens);
  documents_ = static_cast<int64_t>(footer.documents);
  text_bytes_ = static_cast<int64_t>(footer.text_bytes);
  const bool possible = footer.tokens <= kMaxCount && footer.documents <= kMaxCount &&
                        footer.text_bytes <= uint64_t{INT64_MAX};
  const int64_t body = possible ? RoundUpTo8(tokens_ * token_bytes_) + 8 * (documents_ + 1) : 0;
  if (!possible || size != kHeaderBytes + body + kFooterBytes) {
    Fail("{}: truncated or damaged shard (its {} bytes do not fit its counts); {}", name, size,
         kRemake);
  }
  if (ShardChecksum(bytes_.first(size - 8)) != footer.checksum) {
    Fail("{}: damaged shard (checksum differs); {}", name, kRemake);
  }
  checksum_ = footer.checksum;
  token_data_ = bytes_.data() + kHeaderBytes;
  offset_data_ = token_data_ + RoundUpTo8(tokens_ * token_bytes_);
}

void TokenShard::CheckDocuments(const std::string& name) const {
  bool good = DocumentBegin(0) == 0 && DocumentBegin(documents_) == tokens_;
  for (int64_t d = 0; d < documents_ && good; ++d) good = DocumentBegin(d) < DocumentBegin(d + 1);
  if (!good) Fail("{}: damaged shard (document offsets out of order); {}", name, kRemake);
}

void TokenShard::CheckTokens(const std::string& name) const {
  constexpr int64_t kGrain = 1 << 18;
  const auto limit = static_cast<uint32_t>(info_.vocab_size);
  std::vector<int64_t> bad((tokens_ + kGrain - 1) / kGrain, -1);  // of each chunk
  ParallelForRange(tokens_, kGrain, [&](int64_t begin, int64_t end) {
    const int64_t found = token_bytes_ == 2 ? FindAtLeast<uint16_t>(token_data_, begin, end, limit)
                                            : FindAtLeast<uint32_t>(token_data_, begin, end, limit);
    if (found < end) bad[begin / kGrain] = found;
  });
  for (const int64_t index : bad) {
    if (index < 0) continue;
    Fail("{}: damaged shard (token {} has id {}, the vocabulary is {}); {}", name, index,
         static_cast<uint32_t>(Token(index)), limit, kRemake);
  }
}

int64_t TokenShard::DocumentBegin(int64_t document) const {
  return Load<int64_t>(offset_data_ + 8 * document);
}

void TokenShard::Copy(int64_t begin, int64_t count, int32_t* out) const {
  const std::byte* from = token_data_ + begin * token_bytes_;
  if (token_bytes_ == 2) {
    CopyTokens<uint16_t>(from, count, out);
  } else {
    CopyTokens<uint32_t>(from, count, out);
  }
}

int32_t TokenShard::Token(int64_t index) const {
  int32_t token;
  Copy(index, 1, &token);
  return token;
}

void SealShard(std::span<std::byte> bytes) {
  if (bytes.size() < sizeof(uint64_t)) return;
  const size_t body = bytes.size() - sizeof(uint64_t);
  const uint64_t checksum = ShardChecksum(bytes.first(body));
  std::memcpy(bytes.data() + body, &checksum, sizeof checksum);
}

}  // namespace darkhorse
