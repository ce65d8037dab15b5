#include "base/arena.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"

namespace darkhorse {
namespace {

constexpr int64_t kFirstBlock = int64_t{1} << 18;  // floats: 1 MiB
constexpr int64_t kAlign = 16;                     // floats: 64 bytes

// Pages that nothing has written take no memory, and taking them is slow. So a block has room for
// what will follow, where that is little beside the machine's memory, of which a system may refuse
// to promise more than there is, else little more than what is needed.
int64_t Room(int64_t held_bytes) {
  const int64_t much = 4 * held_bytes;
  return (much < PhysicalMemoryBytes() / 2 ? much : held_bytes / 4) /
         static_cast<int64_t>(sizeof(float));
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
    const int64_t held = capacity_bytes() + count * static_cast<int64_t>(sizeof(float));
    AddBlock(std::max(kFirstBlock, count + Room(held)));
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
}

int64_t Arena::capacity_bytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_)
    bytes += block.data.size() * static_cast<int64_t>(sizeof(float));
  return bytes;
}

}  // namespace darkhorse
