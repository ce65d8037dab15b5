// f32 rounded to the tiles of kernel/bf16_loops.h. Included once, in an anonymous namespace.

inline uint32_t Bf16Bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const uint32_t flushed = magnitude < 0x00800000 ? bits >> 16 & 0x8000 : rounded;
  return magnitude > 0x7f800000 ? bits >> 16 | 0x40 : flushed;
}

using Pair = uint32_t __attribute__((may_alias));  // two numbers of a tile, the first one lower

// 16 x 16 pairs of numbers, transposed.
inline void TransposePairs(const Pair* from, Pair* to) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) to[j * 16 + i] = from[i * 16 + j];
  }
}

// One left tile of rows x depth numbers (at most 16 x 32).
inline void RoundTile(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tile) {
  for (int64_t i = 0; i < kTileSide; ++i) {
    Bf16* to = tile + i * kTileDepth;
    const float* from = a + i * stride;
    const int64_t valid = i < rows ? depth : 0;
    if (valid == kTileDepth) {
      for (int64_t k = 0; k < kTileDepth; ++k)
        to[k].bits = static_cast<uint16_t>(Bf16Bits(from[k]));
      continue;
    }
    for (int64_t k = 0; k < kTileDepth; ++k) {
      to[k].bits = static_cast<uint16_t>(k < valid ? Bf16Bits(from[k]) : 0);
    }
  }
}

// One right tile of depth x cols numbers (at most 32 x 16).
inline void RoundPairs(const float* b, int64_t stride, int64_t cols, int64_t depth, Pair* tile) {
  for (int64_t pair = 0; pair < kTileDepth / 2; ++pair) {
    const float* even = b + 2 * pair * stride;
    const float* odd = even + stride;
    Pair* to = tile + pair * kTileSide;
    if (cols == kTileSide && 2 * pair + 1 < depth) {
      for (int64_t j = 0; j < kTileSide; ++j) to[j] = Bf16Bits(even[j]) | Bf16Bits(odd[j]) << 16;
      continue;
    }
    for (int64_t j = 0; j < kTileSide; ++j) {
      const uint32_t low = j < cols && 2 * pair < depth ? Bf16Bits(even[j]) : 0;
      const uint32_t high = j < cols && 2 * pair + 1 < depth ? Bf16Bits(odd[j]) : 0;
      to[j] = low | high << 16;
    }
  }
}

// Calls tile(first row, first depth, rows, depth, tile of `tiles`) for each tile.
template <typename Tile>
inline void ForEachTile(int64_t rows, int64_t depth, Bf16* tiles, int64_t block, const Tile& tile) {
  for (int64_t i = 0; i < rows; i += kTileSide) {
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      tile(i, k, rows - i < kTileSide ? rows - i : kTileSide,
           depth - k < kTileDepth ? depth - k : kTileDepth,
           tiles + i / kTileSide * block + k / kTileDepth * kTileSize);
    }
  }
}

void LeftRows(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tiles,
              int64_t block) {
  ForEachTile(rows, depth, tiles, block,
              [&](int64_t i, int64_t k, int64_t height, int64_t width, Bf16* to) {
                RoundTile(a + i * stride + k, stride, height, width, to);
              });
}

void LeftCols(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tiles,
              int64_t block) {
  ForEachTile(rows, depth, tiles, block,
              [&](int64_t i, int64_t k, int64_t height, int64_t width, Bf16* to) {
                Pair pairs[kTileSize / 2];
                RoundPairs(a + k * stride + i, stride, height, width, pairs);
                TransposePairs(pairs, reinterpret_cast<Pair*>(to));
              });
}

void RightRows(const float* w, int64_t stride, int64_t cols, int64_t depth, Bf16* tiles,
               int64_t block) {
  ForEachTile(cols, depth, tiles, block,
              [&](int64_t j, int64_t k, int64_t height, int64_t width, Bf16* to) {
                Bf16 tile[kTileSize];
                RoundTile(w + j * stride + k, stride, height, width, tile);
                TransposePairs(reinterpret_cast<const Pair*>(tile), reinterpret_cast<Pair*>(to));
              });
}

void RightCols(const float* b, int64_t stride, int64_t cols, int64_t depth, Bf16* tiles,
               int64_t block) {
  ForEachTile(cols, depth, tiles, block,
              [&](int64_t j, int64_t k, int64_t height, int64_t width, Bf16* to) {
                RoundPairs(b + k * stride + j, stride, height, width, reinterpret_cast<Pair*>(to));
              });
}

void RightFromLeft(const Bf16* left, int64_t from_block, int64_t cols, int64_t depth, Bf16* tiles,
                   int64_t block) {
  ForEachTile(cols, depth, tiles, block,
              [&](int64_t j, int64_t k, int64_t, int64_t width, Bf16* to) {
                const Bf16* from =
                    left + k / kTileSide * from_block + j / kTileDepth * kTileSize + j % kTileDepth;
                for (int64_t i = 0; i < kTileDepth; ++i) {
                  const Bf16* row = from + i / kTileSide * from_block + i % kTileSide * kTileDepth;
                  Bf16* pair = to + i / 2 * kTileDepth + i % 2;
                  const bool there = i < kTileSide || width > kTileSide;
                  for (int64_t x = 0; x < kTileSide; ++x) pair[2 * x] = there ? row[x] : Bf16{0};
                }
              });
}
