// Where a quantised weight's panels lie (kernel/quant_loops.h), one after the other.
#pragma once

#include <cstdint>

#include "kernel/quant_loops.h"

namespace darkhorse {

// The panels of a weight of `k` columns.
struct PanelShape {
  int64_t blocks;      // of k
  int64_t tile_bytes;  // of a block's integers
  int64_t scales;      // f16 numbers of a block
  int64_t bytes;       // of a panel, whole cache lines

  PanelShape(Format format, int64_t k);
};

}  // namespace darkhorse
