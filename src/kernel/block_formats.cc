#include "kernel/block_formats.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/gemm_split.h"
#include "kernel/quant_panels.h"

namespace darkhorse {

BlockShape ShapeOf(Format format) {
  constexpr int64_t kHalfs = 2 * kQuantSide * int64_t{sizeof(F16)};  // of two groups
  constexpr int64_t kBytes = 16 * kQuantSide;                        // of sixteen
  const auto tiles = [](int64_t units, int64_t bits) { return units * kQ8Tile * bits / 8; };
  switch (format) {
    case Format::kQ4_0:
      return {1, tiles(1, 4) + kHalfs, 4, 2, false, 8};
    case Format::kQ4_1:
      return {1, tiles(1, 4) + 2 * kHalfs, 4, 2, true, 0};
    case Format::kQ5_0:
      return {1, tiles(1, 5) + kHalfs, 5, 2, false, 16};
    case Format::kQ5_1:
      return {1, tiles(1, 5) + 2 * kHalfs, 5, 2, true, 0};
    case Format::kQ8_0:
      return {1, tiles(1, 8) + kHalfs, 8, 2, false, 128};
    case Format::kIq4Nl:
      return {1, tiles(1, 4) + kHalfs, 4, 2, false, 128};
    case Format::kQ4K:
      return {4, tiles(4, 4) + kBytes + kHalfs, 4, 2, true, 0};
    case Format::kQ5K:
      return {4, tiles(4, 5) + kBytes + kHalfs, 5, 2, true, 0};
    case Format::kQ6K:
      return {4, tiles(4, 6) + kBytes + kHalfs, 6, 4, false, 32};
    default:
      CHECK(false);
  }
}

namespace {

constexpr std::pair<Format, GgmlType> kTypes[] = {
    {Format::kQ4_0, GgmlType::kQ4_0}, {Format::kQ4_1, GgmlType::kQ4_1},
    {Format::kQ5_0, GgmlType::kQ5_0}, {Format::kQ5_1, GgmlType::kQ5_1},
    {Format::kQ8_0, GgmlType::kQ8_0}, {Format::kIq4Nl, GgmlType::kIq4Nl},
    {Format::kQ4K, GgmlType::kQ4K},   {Format::kQ5K, GgmlType::kQ5K},
    {Format::kQ6K, GgmlType::kQ6K},
};

}  // namespace

GgmlType GgmlTypeOf(Format format) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == format) return theirs;
  }
  CHECK(false);
}

std::optional<Format> BlockFormatOf(GgmlType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

BlockPanels PanelsOf(const QuantOperand& w, int64_t col) {
  const BlockShape shape = ShapeOf(w.format);
  const int64_t stride = CeilDiv(w.cols, shape.units * kQuantBlock) * shape.bytes;
  return {static_cast<const uint8_t*>(w.data) + col / kQuantSide * stride, stride};
}

const BlockLoops& BlockLoopsOf(const QuantLoops& loops, Format format) {
  CHECK(IsBlocks(format));
  return loops.blocks.of[static_cast<int>(format) - static_cast<int>(Format::kQ4_0)];
}

namespace {

// Bytes go through words, eight at a time: a compiler must take `from` and `q` for one array, and
// would go byte by byte.
constexpr uint64_t kOnes = 0x0101010101010101;

uint64_t Eight(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}
void SetEight(uint8_t* to, uint64_t word) { std::memcpy(to, &word, sizeof(word)); }

// Nibbles of `bytes` bytes, a multiple of 8: first the low halves, then the high.
void ReadNibbles(const uint8_t* from, int64_t bytes, uint8_t* q) {
  for (int64_t i = 0; i < bytes; i += 8) {
    const uint64_t word = Eight(from + i);
    SetEight(q + i, word & 15 * kOnes);
    SetEight(q + bytes + i, word >> 4 & 15 * kOnes);
  }
}

// The fifth bits of 32 numbers.
void ReadFifths(const uint8_t* from, uint8_t* q) {
  for (int64_t i = 0; i < 4; ++i) {
    const uint64_t bits = from[i] * kOnes & 0x8040201008040201;  // bit j in byte j
    const uint64_t set = bits + 127 * kOnes;                     // in each byte's highest bit
    SetEight(q + 8 * i, Eight(q + 8 * i) | (set >> 3 & 16 * kOnes));
  }
}

// The integers of a block of a file, as they are unpacked (IQ4_NL: indices into its table).
void ReadIntegers(Format format, const uint8_t* from, uint8_t* q) {
  switch (format) {
    case Format::kQ4_0:
    case Format::kIq4Nl:
      return ReadNibbles(from + 2, 16, q);
    case Format::kQ4_1:
      return ReadNibbles(from + 4, 16, q);
    case Format::kQ5_0:
      ReadNibbles(from + 6, 16, q);
      return ReadFifths(from + 2, q);
    case Format::kQ5_1:
      ReadNibbles(from + 8, 16, q);
      return ReadFifths(from + 4, q);
    case Format::kQ8_0:
      for (int64_t i = 0; i < 32; i += 8) SetEight(q + i, Eight(from + 2 + i) ^ 128 * kOnes);
      return;
    case Format::kQ4K:
      for (int64_t i = 0; i < 4; ++i) ReadNibbles(from + 16 + 32 * i, 32, q + 64 * i);
      return;
    case Format::kQ5K:
      for (int64_t i = 0; i < 4; ++i) ReadNibbles(from + 48 + 32 * i, 32, q + 64 * i);
      for (int64_t i = 0; i < 256; i += 8) {
        const uint64_t fifths = Eight(from + 16 + i % 32) >> i / 32 & kOnes;
        SetEight(q + i, Eight(q + i) | fifths << 4);
      }
      return;
    case Format::kQ6K:
      for (int64_t half = 0; half < 2; ++half) {
        const uint8_t* high = from + 128 + 32 * half;
        uint8_t* to = q + 128 * half;
        ReadNibbles(from + 64 * half, 64, to);
        for (int64_t i = 0; i < 128; i += 8) {
          const uint64_t above = Eight(high + i % 32) >> 2 * (i / 32) & 3 * kOnes;
          SetEight(to + i, Eight(to + i) | above << 4);
        }
      }
      return;
    default:
      CHECK(false);
  }
}

// 64 numbers of row j to a tile that is zero there, four of k at a time.
template <int kBits>
void WriteIntegers(const uint8_t* q, int64_t j, uint8_t* tile) {
  uint32_t words[16];
  std::memcpy(words, q, sizeof(words));
  const auto put = [&](int64_t line, uint32_t word) {
    std::memcpy(tile + line * 64 + j * 4, &word, sizeof(word));
  };
  if constexpr (kBits == 8) {
    for (int64_t i = 0; i < 16; ++i) put(i, words[i]);
  } else {
    constexpr int64_t kLines = 2 * (kBits - 4);  // of what is above the four low bits
    uint32_t above[kLines + 1] = {};
    if constexpr (kLines > 0) {
      for (int64_t i = 0; i < 16; ++i)
        above[i % kLines] |= (words[i] >> 4 & 0x03030303) << (kBits - 4) * (i / kLines);
    }
    for (int64_t i = 0; i < 8; ++i)
      put(i, (words[2 * i] & 0x0f0f0f0f) | (words[2 * i + 1] & 0x0f0f0f0f) << 4);
    for (int64_t i = 0; i < kLines; ++i) put(8 + i, above[i]);
  }
}
using WriteIntegersOf = void (*)(const uint8_t* q, int64_t j, uint8_t* tile);
WriteIntegersOf WriterOf(int bits) {
  if (bits == 4) return WriteIntegers<4>;
  if (bits == 5) return WriteIntegers<5>;
  if (bits == 6) return WriteIntegers<6>;
  CHECK(bits == 8);
  return WriteIntegers<8>;
}

F16 Half(const uint8_t* from) {
  F16 half;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

// Of a block of a panel, whose scales lie at `scales`: those of row j, from block `i` of the file's
// blocks that it is made of.
void WriteScales(Format format, const uint8_t* from, int64_t i, int64_t j, uint8_t* scales) {
  const auto halfs = [&](int64_t at) { return reinterpret_cast<F16*>(scales + at); };
  constexpr int64_t kBytes = 16 * kQuantSide;
  switch (format) {
    case Format::kQ4_1:
    case Format::kQ5_1:
      halfs(0)[(2 + i) * kQuantSide + j] = Half(from + 2);
      [[fallthrough]];
    case Format::kQ4_0:
    case Format::kQ5_0:
    case Format::kQ8_0:
    case Format::kIq4Nl:
      halfs(0)[i * kQuantSide + j] = Half(from);
      return;
    case Format::kQ4K:
    case Format::kQ5K:
      for (int64_t g = 0; g < 8; ++g) {
        const ScaleAndMin six = ScaleAndMinOf(from + 4, static_cast<int>(g));
        scales[g * kQuantSide + j] = six.scale;
        scales[(8 + g) * kQuantSide + j] = six.min;
      }
      halfs(kBytes)[j] = Half(from);
      halfs(kBytes)[kQuantSide + j] = Half(from + 2);
      return;
    case Format::kQ6K:
      for (int64_t g = 0; g < 16; ++g) scales[g * kQuantSide + j] = from[192 + g];
      halfs(kBytes)[j] = Half(from + 208);
      return;
    default:
      CHECK(false);
  }
}

}  // namespace

void PackBlocks(Format format, int64_t rows, int64_t cols,
                const std::function<const std::byte*(int64_t)>& row, void* data) {
  const BlockShape shape = ShapeOf(format);
  const int64_t step = shape.units * kQuantBlock, blocks = CeilDiv(cols, step);
  const int64_t tile = kQ8Tile * shape.bits / 8;
  const GgmlTypeInfo& file = InfoOf(GgmlTypeOf(format));
  const WriteIntegersOf write = WriterOf(shape.bits);
  CHECK(cols % file.numbers == 0);
  ParallelFor(CeilDiv(rows, kQuantSide), [&](int64_t panel) {
    uint8_t* first_block = static_cast<uint8_t*>(data) + panel * blocks * shape.bytes;
    std::memset(first_block, 0, static_cast<size_t>(blocks * shape.bytes));
    const int64_t first = panel * kQuantSide, count = std::min(kQuantSide, rows - first);
    // Row by row, for the file is best read in order; a panel fits in the caches.
    for (int64_t j = 0; j < count; ++j) {
      const auto* from = reinterpret_cast<const uint8_t*>(row(first + j));
      uint8_t* to = first_block;
      for (int64_t k = 0; k < cols; k += step, to += shape.bytes) {
        uint8_t q[4 * kQuantBlock];
        if (cols - k < step) std::memset(q, 0, sizeof(q));
        for (int64_t i = 0; i < step && k + i < cols; i += file.numbers, from += file.bytes) {
          ReadIntegers(format, from, q + i);
          WriteScales(format, from, i / file.numbers, j, to + shape.units * tile);
        }
        for (int64_t unit = 0; unit < shape.units; ++unit)
          write(q + unit * kQuantBlock, j, to + unit * tile);
      }
    }
  });
}

}  // namespace darkhorse
