#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <string>

#include "base/error.h"

namespace darkhorse {

namespace {

constexpr size_t kShortWord = 48;  // up to here scanning all ranks beats a heap

uint64_t Key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

uint64_t HashKey(uint64_t key) {
  key *= 0x9E3779B97F4A7C15u;
  return key ^ key >> 32;
}

}  // namespace

BpeModel::BpeModel(const std::vector<int32_t>& byte_ids, const std::vector<Merge>& merges)
    : byte_ids_(byte_ids) {
  CHECK(byte_ids.size() == 256);
  every_byte_ = std::ranges::find(byte_ids, -1) == byte_ids.end();
  slots_.resize(std::bit_ceil(2 * merges.size() + 2));
  mask_ = slots_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = Key(merges[rank].left, merges[rank].right);
    uint64_t at = HashKey(key) & mask_;
    while (slots_[at].rank != kNoRank && slots_[at].key != key) at = (at + 1) & mask_;
    slots_[at] = {key, static_cast<uint32_t>(rank), merges[rank].result};
  }
}

const BpeModel::Slot& BpeModel::Lookup(int32_t left, int32_t right) const {
  const uint64_t key = Key(left, right);
  uint64_t at = HashKey(key) & mask_;
  while (slots_[at].rank != kNoRank && slots_[at].key != key) at = (at + 1) & mask_;
  return slots_[at];  // the empty slot has kNoRank
}

void BpeModel::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (every_byte_) return EncodeKnown(word, ids);
  std::string known;
  for (const char c : word) {
    if (byte_id(static_cast<uint8_t>(c)) >= 0) known += c;
  }
  EncodeKnown(known, ids);
}

void BpeModel::EncodeKnown(std::string_view word, std::vector<int32_t>* ids) const {
  if (word.size() <= kShortWord) {
    EncodeShort(word, ids);
  } else {
    EncodeLong(word, ids);
  }
}

void BpeModel::EncodeShort(std::string_view word, std::vector<int32_t>* ids) const {
  int32_t symbols[kShortWord];
  uint32_t ranks[kShortWord];  // of symbol i with i + 1
  int32_t results[kShortWord];
  size_t count = word.size();
  const auto look_up = [&](size_t i) {
    const Slot& slot = Lookup(symbols[i], symbols[i + 1]);
    ranks[i] = slot.rank;
    results[i] = slot.result;
  };
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(word[i])];
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const size_t best = static_cast<size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNoRank) break;
    symbols[best] = results[best];
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    if (best + 2 < count) {
      std::copy(ranks + best + 2, ranks + count - 1, ranks + best + 1);
      std::copy(results + best + 2, results + count - 1, results + best + 1);
    }
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  ids->insert(ids->end(), symbols, symbols + count);
}

void BpeModel::EncodeLong(std::string_view word, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;  // -1: merged into an earlier one
    int64_t previous;
    int64_t next;
  };
  struct Candidate {
    uint32_t rank;
    int64_t position;
    int32_t left, right, result;                    // as they were when the candidate was found
    bool operator<(const Candidate& other) const {  // for a heap with the best on top
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const auto size = static_cast<int64_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  std::priority_queue<Candidate> heap;
  const auto consider = [&](int64_t i) {
    const int64_t next = symbols[i].next;
    if (next == size) return;
    const Slot& slot = Lookup(symbols[i].id, symbols[next].id);
    if (slot.rank != kNoRank)
      heap.push({slot.rank, i, symbols[i].id, symbols[next].id, slot.result});
  };
  for (int64_t i = 0; i < size; ++i) {
    symbols[i] = {byte_ids_[static_cast<uint8_t>(word[i])], i - 1, i + 1};
  }
  for (int64_t i = 0; i < size; ++i) consider(i);
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    Symbol& left = symbols[top.position];
    if (left.id != top.left || left.next == size || symbols[left.next].id != top.right) continue;
    symbols[left.next].id = -1;
    left.id = top.result;
    left.next = symbols[left.next].next;
    if (left.next != size) symbols[left.next].previous = top.position;
    if (left.previous >= 0) consider(left.previous);
    consider(top.position);
  }
  for (int64_t i = 0; i < size; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace darkhorse
