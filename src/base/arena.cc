#include "base/arena.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"

namespace darkhorse {
namespace {

constexpr int64_t kFirstBlock = int64_t{1} << 18;  // floats: 1 MiB
constexpr int64_t kAlign = 16;                     // floats: 64 bytes

// Pages that nothing has written take no memory, and taking them is slow.
// So a block has room for steps that are somewhat larger, where that is little beside the machine's
// memory, of which a system may refuse to promise more than there is.
int64_t WithRoom(int64_t floats) {
  const int64_t more = floats + floats / 2;
  return more < PhysicalMemoryBytes() / 2 / static_cast<int64_t>(sizeof(float)) ? more : floats;
}

}  // namespace

void Arena::AddBlock(int64_t size) {
  blocks_.push_back({FloatBuffer(size)});
  current_ = blocks_.size() - 1;
}

int64_t Arena::InUse() const {
  int64_t floats = 0;
  for (const Block& block : blocks_) floats += block.used;
  return floats;
}

float* Arena::Floats(int64_t count) {
  CHECK(count >= 0);
  count = std::max<int64_t>(kAlign, (count + kAlign - 1) / kAlign * kAlign);
  while (current_ < blocks_.size() &&
         blocks_[current_].data.size() - blocks_[current_].used < count) {
    if (current_ + 1 == blocks_.size()) break;
    ++current_;
  }
  if (current_ >= blocks_.size() ||
      blocks_[current_].data.size() - blocks_[current_].used < count) {
    // Blocks grow in proportion to what is held, so that the first step takes few of them.
    const int64_t wanted = blocks_.empty() ? WithRoom(peak_) : capacity_bytes() / 16;
    AddBlock(std::max({count, kFirstBlock, wanted}));
  }
  Block& block = blocks_[current_];
  float* out = block.data.data() + block.used;
  block.used += count;
  peak_ = std::max(peak_, InUse());
  return out;
}

float* Arena::Zeros(int64_t count) {
  float* out = Floats(count);
  std::memset(out, 0, static_cast<size_t>(count) * sizeof(float));
  return out;
}

void Arena::Release(const Mark& mark) {
  for (size_t i = mark.block; i < blocks_.size(); ++i)
    blocks_[i].used = i == mark.block ? mark.used : 0;
  current_ = mark.block;
  if (blocks_.size() > 1 && InUse() == 0) {
    blocks_.clear();
    current_ = 0;
  }
}

int64_t Arena::capacity_bytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_)
    bytes += block.data.size() * static_cast<int64_t>(sizeof(float));
  return bytes;
}

}  // namespace darkhorse
