// The packing of kernel/bf16_loops.h, in the order in which the source lies in memory. Included by
// bf16_tiles_*.inl, which make one tile.

inline int64_t AtMost(int64_t x, int64_t most) { return x < most ? x : most; }

// Calls tile(row, depth, tile there) for each tile: those of the same rows one after the other, or
// those of the same depth.
template <typename Tile>
inline void ForEachTileByRows(const Bf16Packing& p, const Tile& tile) {
  for (int64_t i = 0; i < p.rows; i += kTileSide) {
    for (int64_t k = 0; k < p.depth; k += kTileDepth)
      tile(i, k, p.tiles + i / kTileSide * p.block + k / kTileDepth * kTileSize);
  }
}
template <typename Tile>
inline void ForEachTileByDepth(const Bf16Packing& p, const Tile& tile) {
  for (int64_t k = 0; k < p.depth; k += kTileDepth) {
    for (int64_t i = 0; i < p.rows; i += kTileSide)
      tile(i, k, p.tiles + i / kTileSide * p.block + k / kTileDepth * kTileSize);
  }
}

void PackRightTiles(const Bf16Packing& p) {
  const auto* left = static_cast<const Bf16*>(p.source);
  ForEachTileByDepth(p, [&](int64_t j, int64_t k, Bf16* to) {
    const Bf16* from =
        left + k / kTileSide * p.stride + j / kTileDepth * kTileSize + j % kTileDepth;
    InterleaveTile(from, to);
    if (p.depth - k > kTileSide) {
      InterleaveTile(from + p.stride, to + kTileSize / 2);
    } else {
      __builtin_memset(to + kTileSize / 2, 0, kTileSize / 2 * sizeof(Bf16));
    }
  });
}

void Pack(const Bf16Packing& p) {
  const auto* x = static_cast<const float*>(p.source);
  const auto by_rows = [&](int64_t i, int64_t k, Bf16* to) {
    RoundTile(x + i * p.stride + k, p.stride, AtMost(p.rows - i, kTileSide),
              AtMost(p.depth - k, kTileDepth), to);
  };
  const auto by_cols = [&](int64_t i, int64_t k, Bf16* to) {
    RoundPairs(x + k * p.stride + i, p.stride, AtMost(p.depth - k, kTileDepth),
               AtMost(p.rows - i, kTileSide), to);
  };
  const auto transposed = [](const auto& round) {
    return [&](int64_t i, int64_t k, Bf16* to) {
      alignas(64) Bf16 tile[kTileSize];
      round(i, k, tile);
      TransposePairs(tile, to);
    };
  };
  switch (p.from) {
    case Bf16Packing::From::kLeftRows:
      return ForEachTileByRows(p, by_rows);
    case Bf16Packing::From::kLeftCols:
      return ForEachTileByDepth(p, transposed(by_cols));
    case Bf16Packing::From::kRightRows:
      return ForEachTileByRows(p, transposed(by_rows));
    case Bf16Packing::From::kRightCols:
      return ForEachTileByDepth(p, by_cols);
    case Bf16Packing::From::kRightTiles:
      return PackRightTiles(p);
  }
}
