// Where a quantised weight's panels lie (kernel/quant_loops.h), one after the other.
#pragma once

#include <cstdint>

#include "kernel/block_formats.h"
#include "kernel/quant_loops.h"

namespace darkhorse {

// The panels of a q8 or q4 weight of `k` columns.
struct PanelShape {
  int64_t blocks;      // of k
  int64_t tile_bytes;  // of a block's integers
  int64_t scales;      // f16 numbers of a block
  int64_t bytes;       // of a panel, whole cache lines

  PanelShape(Format format, int64_t k);
};

// A block of a panel of a block format.
struct BlockShape {
  int64_t units;   // of 64 of k
  int64_t bytes;   // whole cache lines
  int bits;        // of an integer
  int groups;      // with scales in 64 of k
  bool least;      // has minima
  int32_t offset;  // what an integer, unpacked to a byte, is above q
};
BlockShape ShapeOf(Format format);

// Panels from that of column `col` on.
BlockPanels PanelsOf(const QuantOperand& w, int64_t col);
const BlockLoops& BlockLoopsOf(const QuantLoops& loops, Format format);

}  // namespace darkhorse
