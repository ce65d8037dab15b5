// Token shards: documents as token ids in one memory-mapped file. docs/data.md has the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace darkhorse {

// What all tokens of a shard have in common.
struct ShardInfo {
  uint64_t tokenizer_hash = 0;
  int32_t vocab_size = 0;  // every id is below it
  int32_t bos_id = -1;     // -1: documents have no such token
  int32_t eos_id = -1;
};

// Writes a shard front to back. The same documents give the same bytes. Nothing appears at the path
// before Commit(). Errors as FileWriter.
class ShardWriter {
 public:
  ShardWriter(const std::string& path, const ShardInfo& info);

  // Appends one document: at least one token, each id in [0, vocab_size). text_bytes is the length
  // of the text that the tokens came from.
  void Append(std::span<const int32_t> tokens, int64_t text_bytes);
  // Ends the documents and puts everything on the disk, so that Commit() needs no more room.
  void Finish();
  void Commit();

  int64_t documents() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  int64_t tokens() const { return static_cast<int64_t>(offsets_.back()); }

 private:
  void Write(std::span<const std::byte> bytes);
  void FinishBlock();
  template <typename T>
  void WriteTokens(std::span<const int32_t> tokens);

  FileWriter file_;
  ShardInfo info_;
  std::vector<uint64_t> offsets_{0};
  uint64_t text_bytes_ = 0;
  std::vector<std::byte> block_;  // not yet written
  std::vector<uint64_t> block_checksums_;
  bool finished_ = false;
};

// Whether the file begins like a token shard of any version; the rest may be damaged. False if the
// file cannot be read.
bool IsTokenShard(const std::string& path);

// A shard that has been checked: opening verifies the lengths, the checksum, the order of documents
// and every id, once. Reading is safe from many threads.
class TokenShard {
 public:
  // tokenizer_hash: what the shard must have been made with. Error: names the path, what is wrong
  // and the cure.
  static TokenShard Open(const std::string& path, std::optional<uint64_t> tokenizer_hash = {});

  // The same for bytes in memory, which must outlive the shard.
  static TokenShard Parse(std::span<const std::byte> bytes, const std::string& name,
                          std::optional<uint64_t> tokenizer_hash = {});

  const ShardInfo& info() const { return info_; }
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  int64_t text_bytes() const { return text_bytes_; }
  uint64_t checksum() const { return checksum_; }  // changes when any of the above does

  // Document d is the tokens [DocumentBegin(d), DocumentBegin(d + 1)); d in [0, documents()].
  int64_t DocumentBegin(int64_t document) const;

  // Tokens [begin, begin + count) of the shard.
  void Copy(int64_t begin, int64_t count, int32_t* out) const;
  int32_t Token(int64_t index) const;

 private:
  TokenShard() = default;
  void ReadHeader(const std::string& name);
  void ReadFooter(const std::string& name);
  void CheckDocuments(const std::string& name) const;
  void CheckTokens(const std::string& name) const;

  std::optional<MappedFile> file_;
  std::span<const std::byte> bytes_;
  ShardInfo info_;
  int64_t token_bytes_ = 0;  // 2 or 4
  int64_t tokens_ = 0, documents_ = 0, text_bytes_ = 0;
  uint64_t checksum_ = 0;
  const std::byte* token_data_ = nullptr;
  const std::byte* offset_data_ = nullptr;
};

// Corrects the checksum in a shard's bytes, so that tests and fuzzing get past it. Does nothing if
// there are too few bytes.
void SealShard(std::span<std::byte> bytes);

}  // namespace darkhorse
