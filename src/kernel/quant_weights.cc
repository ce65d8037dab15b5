// Weights to kernel/quant_loops.h's panels, in plain loops: done once a model.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/gemm_split.h"
#include "kernel/quant_panels.h"

namespace darkhorse {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct QuantizedBlock {
  int integers[kQuantBlock];
  F16 scale, least;  // least: q4's
};

// The integers from the scale; those of a scale of 0 or NaN are 0.
template <typename Integer>
void Finish(float scale, QuantizedBlock& block, const Integer& integer) {
  block.scale = RoundToF16(std::isfinite(scale) ? scale : kNan);
  for (int64_t k = 0; k < kQuantBlock; ++k) block.integers[k] = scale > 0 ? integer(k) : 0;
}

QuantizedBlock QuantizeQ8(const float* w) {
  float greatest = 0;
  bool finite = true;
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    greatest = std::max(greatest, std::fabs(w[k]));
    finite &= std::isfinite(w[k]);
  }
  QuantizedBlock block{};
  const float scale = finite ? ToFloat(RoundToF16(greatest / 127)) : kNan;
  Finish(std::isfinite(scale) ? scale : kNan, block, [&](int64_t k) {
    return static_cast<int>(std::clamp(std::nearbyint(w[k] / scale), -127.0f, 127.0f));
  });
  return block;
}

QuantizedBlock QuantizeQ4(const float* w) {
  float least = w[0], greatest = w[0];
  bool finite = true;
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    least = std::min(least, w[k]);
    greatest = std::max(greatest, w[k]);
    finite &= std::isfinite(w[k]);
  }
  QuantizedBlock block{};
  block.least = RoundToF16(least);
  const float from = ToFloat(block.least);
  const float scale = finite ? ToFloat(RoundToF16((greatest - from) / 15)) : kNan;
  Finish(std::isfinite(scale) && std::isfinite(from) ? scale : kNan, block, [&](int64_t k) {
    return static_cast<int>(std::clamp(std::nearbyint((w[k] - from) / scale), 0.0f, 15.0f));
  });
  return block;
}

void WriteQ8(const QuantizedBlock& block, int64_t column, uint8_t* tile, F16* scales) {
  for (int64_t k = 0; k < kQuantBlock; ++k)
    tile[k / 4 * 64 + column * 4 + k % 4] = static_cast<uint8_t>(block.integers[k]);
  scales[column] = block.scale;
}

void WriteQ4(const QuantizedBlock& block, int64_t column, uint8_t* tile, F16* scales) {
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    uint8_t& byte = tile[k / 8 * 64 + column * 4 + k % 4];
    byte = static_cast<uint8_t>(byte | block.integers[k] << (k % 8 < 4 ? 0 : 4));
  }
  scales[column] = block.scale;
  scales[kQuantSide + column] = block.least;
}

}  // namespace

PanelShape::PanelShape(Format format, int64_t k)
    : blocks(CeilDiv(k, kQuantBlock)),
      tile_bytes(format == Format::kQ4 ? kQ4Tile : kQ8Tile),
      scales(format == Format::kQ4 ? 2 * kQuantSide : kQuantSide),
      bytes(RoundUp(blocks * (tile_bytes + scales * static_cast<int64_t>(sizeof(F16))), 64)) {
  CHECK(format == Format::kQ8 || format == Format::kQ4);
}

int64_t QuantBytes(Format format, int64_t rows, int64_t cols) {
  if (IsBlocks(format)) {
    const BlockShape shape = ShapeOf(format);
    return CeilDiv(rows, kQuantSide) * CeilDiv(cols, shape.units * kQuantBlock) * shape.bytes;
  }
  return CeilDiv(rows, kQuantSide) * PanelShape(format, cols).bytes;
}

void QuantizeWeights(Format format, ConstMatrix w, void* data) {
  const PanelShape shape(format, w.cols);
  ParallelFor(CeilDiv(w.rows, kQuantSide), [&](int64_t panel) {
    auto* tiles = static_cast<uint8_t*>(data) + panel * shape.bytes;
    std::memset(tiles, 0, static_cast<size_t>(shape.bytes));
    auto* scales = reinterpret_cast<F16*>(tiles + shape.blocks * shape.tile_bytes);
    const int64_t columns = std::min(kQuantSide, w.rows - panel * kQuantSide);
    for (int64_t j = 0; j < columns; ++j) {
      const float* row = w.Row(panel * kQuantSide + j);
      for (int64_t b = 0; b < shape.blocks; ++b) {
        float padded[kQuantBlock] = {};
        std::copy_n(row + b * kQuantBlock, std::min(kQuantBlock, w.cols - b * kQuantBlock), padded);
        uint8_t* tile = tiles + b * shape.tile_bytes;
        if (format == Format::kQ4) {
          WriteQ4(QuantizeQ4(padded), j, tile, scales + b * shape.scales);
        } else {
          WriteQ8(QuantizeQ8(padded), j, tile, scales + b * shape.scales);
        }
      }
    }
  });
}

}  // namespace darkhorse
