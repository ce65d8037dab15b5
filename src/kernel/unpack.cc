#include "kernel/unpack.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/bf16_loops.h"
#include "kernel/gemm.h"
#include "kernel/gemm_loops.h"
#include "kernel/gemm_split.h"
#include "kernel/kernels.h"
#include "kernel/quant_panels.h"

namespace darkhorse {
namespace {

static_assert(kUnpackedRows == kPanel && kUnpackedRows == kTileSide && kUnpackedRows == kQuantSide);

// All of them take the rows `out` of the panel `panel`.

void UnpackF32(const Weight& weight, int64_t panel, Matrix out) {
  const float* from = static_cast<const float*>(weight.forward) + panel * weight.in() * kPanel;
  for (int64_t k = 0; k < out.cols; ++k) {
    for (int64_t j = 0; j < out.rows; ++j) out(j, k) = from[k * kPanel + j];
  }
}

void UnpackBf16(const Weight& weight, int64_t panel, Matrix out) {
  const int64_t tiles = CeilDiv(weight.in(), kTileDepth);
  const Bf16* from = static_cast<const Bf16*>(weight.forward) + panel * tiles * kTileSize;
  for (int64_t k = 0; k < out.cols; ++k) {
    const Bf16* pairs = from + k / kTileDepth * kTileSize + k % kTileDepth / 2 * 32 + k % 2;
    for (int64_t j = 0; j < out.rows; ++j) out(j, k) = ToFloat(pairs[2 * j]);
  }
}

// 64 of k at most, from a tile of q8 whose integers are `offset` too great.
template <typename Integer>
void UnpackTile(const Integer* tile, int offset, int64_t groups, const float (*scale)[kQuantSide],
                const float (*least)[kQuantSide], Matrix out) {
  const int64_t group = kQuantBlock / groups;
  for (int64_t j = 0; j < out.rows; ++j) {
    float* to = out.Row(j);
    for (int64_t begin = 0, g = 0; begin < out.cols; begin += group, ++g) {
      const float s = scale[g][j];
      for (int64_t k = begin; k < std::min(begin + group, out.cols); ++k) {
        to[k] = s * static_cast<float>(tile[k / 4 * 64 + j * 4 + k % 4] - offset);
        if (least) to[k] += least[g][j];
      }
    }
  }
}

void UnpackQuant(const Weight& weight, int64_t panel, Matrix out) {
  const PanelShape shape(weight.format, weight.in());
  const auto* tiles = static_cast<const uint8_t*>(weight.forward) + panel * shape.bytes;
  const auto* scales = reinterpret_cast<const F16*>(tiles + shape.blocks * shape.tile_bytes);
  const bool q4 = weight.format == Format::kQ4;
  for (int64_t block = 0; block < shape.blocks; ++block) {
    const uint8_t* tile = tiles + block * shape.tile_bytes;
    float scale[1][kQuantSide], least[1][kQuantSide];
    for (int64_t j = 0; j < kQuantSide; ++j) {
      scale[0][j] = ToFloat(scales[block * shape.scales + j]);
      if (q4) least[0][j] = ToFloat(scales[block * shape.scales + kQuantSide + j]);
    }
    const int64_t k = block * kQuantBlock;
    const Matrix to = out.Cols(k, std::min(kQuantBlock, out.cols - k));
    if (!q4) {
      UnpackTile(reinterpret_cast<const int8_t*>(tile), 0, 1, scale, nullptr, to);
      continue;
    }
    uint8_t q[kQ8Tile];
    for (int64_t i = 0; i < kQ8Tile; ++i)
      q[i] = tile[i / 128 * 64 + i % 64] >> (i % 128 < 64 ? 0 : 4) & 15;
    UnpackTile(q, 0, 1, scale, least, to);
  }
}

void UnpackBlocks(const Weight& weight, int64_t panel, Matrix out) {
  const BlockShape shape = ShapeOf(weight.format);
  const BlockPanels panels =
      PanelsOf({weight.format, weight.out(), weight.in(), weight.forward}, panel * kQuantSide);
  const auto unpack = BlockLoopsOf(Kernels().quant, weight.format).unpack;
  const uint8_t* from = panels.data;
  for (int64_t k = 0; k < out.cols; from += shape.bytes) {
    Unpacked units[4];
    unpack(from, units);
    for (int64_t unit = 0; unit < shape.units && k < out.cols; ++unit, k += kQuantBlock) {
      UnpackTile(units[unit].q, shape.offset, shape.groups, units[unit].scale,
                 shape.least ? units[unit].least : nullptr,
                 out.Cols(k, std::min(kQuantBlock, out.cols - k)));
    }
  }
}

}  // namespace

void UnpackRows(const Weight& weight, int64_t begin, Matrix out) {
  CHECK(weight.forward && begin % kUnpackedRows == 0 && out.cols == weight.in());
  CHECK(begin + out.rows <= weight.out());
  const auto unpack = weight.format == Format::kF32    ? UnpackF32
                      : weight.format == Format::kBf16 ? UnpackBf16
                      : IsBlocks(weight.format)        ? UnpackBlocks
                                                       : UnpackQuant;
  ParallelFor(CeilDiv(out.rows, kUnpackedRows), [&](int64_t i) {
    const int64_t first = i * kUnpackedRows;
    unpack(weight, begin / kUnpackedRows + i,
           out.Rows(first, std::min(kUnpackedRows, out.rows - first)));
  });
}

}  // namespace darkhorse
