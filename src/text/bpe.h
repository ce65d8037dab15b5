// Byte-pair encoding of one word (Sennrich et al. 2016). The word starts as its bytes. The two
// neighbours whose merge has the best rank are merged, the leftmost pair among equals, until no
// neighbours have a merge.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace darkhorse {

struct Merge {
  int32_t left;
  int32_t right;
  int32_t result;
};

class BpeModel {
 public:
  BpeModel() = default;
  // byte_ids: the token of each byte; -1: none, and the byte is left out. merges: best rank first.
  // If a pair is given twice, its last rank counts.
  BpeModel(const std::vector<int32_t>& byte_ids, const std::vector<Merge>& merges);

  // Appends the word's tokens.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;

  int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }

 private:
  static constexpr uint32_t kNoRank = ~0u;
  struct Slot {
    uint64_t key = ~uint64_t{0};
    uint32_t rank = kNoRank;
    int32_t result = -1;
  };

  const Slot& Lookup(int32_t left, int32_t right) const;
  void EncodeKnown(std::string_view word, std::vector<int32_t>* ids) const;
  void EncodeShort(std::string_view word, std::vector<int32_t>* ids) const;
  void EncodeLong(std::string_view word, std::vector<int32_t>* ids) const;

  std::vector<int32_t> byte_ids_;
  bool every_byte_ = true;   // has a token
  std::vector<Slot> slots_;  // open addressing, at most half full
  uint64_t mask_ = 0;
};

}  // namespace darkhorse
