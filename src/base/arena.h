// A bump allocator for float buffers with stack discipline: what a step needs is taken in order and
// given back all at once. A step's peak memory is known exactly, and nothing is freed one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/matrix.h"

namespace darkhorse {

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `count` floats, 64-byte aligned, uninitialised. Valid until the mark below it is released.
  float* Floats(int64_t count);
  // The same, zeroed.
  float* Zeros(int64_t count);
  int32_t* Ints(int64_t count) { return reinterpret_cast<int32_t*>(Floats(count)); }
  Matrix NewMatrix(int64_t rows, int64_t cols) { return {Floats(rows * cols), rows, cols}; }

  struct Mark {
    size_t block = 0;
    int64_t used = 0;
  };
  Mark Here() const { return {current_, current_ < blocks_.size() ? blocks_[current_].used : 0}; }
  // Gives back everything taken since `mark`. The arena keeps the memory.
  void Release(const Mark& mark);

  int64_t capacity_bytes() const;  // of its blocks, whether written or not
  int64_t peak_bytes() const { return peak_ * static_cast<int64_t>(sizeof(float)); }  // ever in use

 private:
  struct Block {
    FloatBuffer data;
    int64_t used = 0;
  };
  void AddBlock(int64_t size);
  int64_t InUse() const;

  std::vector<Block> blocks_;
  size_t current_ = 0;
  int64_t peak_ = 0;  // most floats in use at once
};

// Releases on leaving a scope what was taken within it.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.Here()) {}
  ~ArenaScope() { arena_.Release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace darkhorse
