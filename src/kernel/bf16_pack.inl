// The loops of kernel/bf16_loops.h that make tiles. Included once, in an anonymous namespace, after
// a bf16_tiles_*.inl.

inline int64_t AtMost(int64_t x, int64_t most) { return x < most ? x : most; }

// Calls tile(first row, first depth, rows, depth, tile of `tiles`) for each tile, those of the same
// rows one after the other, or those of the same depth: as the source lies in memory.
template <typename Tile>
inline void ForEachTileByRows(int64_t rows, int64_t depth, Bf16* tiles, int64_t block,
                              const Tile& tile) {
  for (int64_t i = 0; i < rows; i += kTileSide) {
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      tile(i, k, AtMost(rows - i, kTileSide), AtMost(depth - k, kTileDepth),
           tiles + i / kTileSide * block + k / kTileDepth * kTileSize);
    }
  }
}
template <typename Tile>
inline void ForEachTileByDepth(int64_t rows, int64_t depth, Bf16* tiles, int64_t block,
                               const Tile& tile) {
  for (int64_t k = 0; k < depth; k += kTileDepth) {
    for (int64_t i = 0; i < rows; i += kTileSide) {
      tile(i, k, AtMost(rows - i, kTileSide), AtMost(depth - k, kTileDepth),
           tiles + i / kTileSide * block + k / kTileDepth * kTileSize);
    }
  }
}

void LeftRows(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tiles,
              int64_t block) {
  ForEachTileByRows(rows, depth, tiles, block,
                    [&](int64_t i, int64_t k, int64_t height, int64_t width, Bf16* to) {
                      RoundTile(a + i * stride + k, stride, height, width, to);
                    });
}

void LeftCols(const float* a, int64_t stride, int64_t rows, int64_t depth, Bf16* tiles,
              int64_t block) {
  ForEachTileByDepth(rows, depth, tiles, block,
                     [&](int64_t i, int64_t k, int64_t height, int64_t width, Bf16* to) {
                       alignas(64) Bf16 pairs[kTileSize];
                       RoundPairs(a + k * stride + i, stride, width, height, pairs);
                       TransposePairs(pairs, to);
                     });
}

void RightRows(const float* w, int64_t stride, int64_t cols, int64_t depth, Bf16* tiles,
               int64_t block) {
  ForEachTileByRows(cols, depth, tiles, block,
                    [&](int64_t j, int64_t k, int64_t height, int64_t width, Bf16* to) {
                      alignas(64) Bf16 tile[kTileSize];
                      RoundTile(w + j * stride + k, stride, height, width, tile);
                      TransposePairs(tile, to);
                    });
}

void RightCols(const float* b, int64_t stride, int64_t cols, int64_t depth, Bf16* tiles,
               int64_t block) {
  ForEachTileByDepth(cols, depth, tiles, block,
                     [&](int64_t j, int64_t k, int64_t height, int64_t width, Bf16* to) {
                       RoundPairs(b + k * stride + j, stride, width, height, to);
                     });
}

void RightFromLeft(const Bf16* left, int64_t from_block, int64_t cols, int64_t depth, Bf16* tiles,
                   int64_t block) {
  ForEachTileByDepth(
      cols, depth, tiles, block, [&](int64_t j, int64_t k, int64_t, int64_t width, Bf16* to) {
        const Bf16* from =
            left + k / kTileSide * from_block + j / kTileDepth * kTileSize + j % kTileDepth;
        const auto interleave = [&](const Bf16* rows, Bf16* pairs) {
          for (int64_t i = 0; i < kTileSide; i += 2)
            InterleaveRows(rows + i * kTileDepth, rows + (i + 1) * kTileDepth, pairs + i * 16);
        };
        interleave(from, to);
        if (width > kTileSide) {
          interleave(from + from_block, to + kTileSize / 2);
        } else {
          __builtin_memset(to + kTileSize / 2, 0, kTileSize / 2 * sizeof(Bf16));
        }
      });
}
