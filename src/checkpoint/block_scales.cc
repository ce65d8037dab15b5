#include "checkpoint/block_scales.h"

namespace darkhorse {
namespace {

int64_t Blocks(int64_t extent) { return extent / kScaleBlock + (extent % kScaleBlock != 0); }

}  // namespace

std::vector<int64_t> ScalesShape(std::span<const int64_t> shape) {
  std::vector<int64_t> blocks;
  for (const int64_t extent : shape) blocks.push_back(Blocks(extent));
  return blocks;
}

void MultiplyByScales(const TensorView& scales, const std::string& file, int64_t begin,
                      int64_t count, int64_t cols, float* rows) {
  const int64_t blocks = Blocks(cols);
  const auto row_bytes = static_cast<size_t>(blocks * DTypeBytes(scales.dtype));
  std::vector<float> of_row(static_cast<size_t>(blocks));
  for (int64_t row = begin; row < begin + count; ++row, rows += cols) {
    if (row == begin || row % kScaleBlock == 0) {
      TensorView part = scales;
      part.bytes =
          part.bytes.subspan(static_cast<size_t>(row / kScaleBlock) * row_bytes, row_bytes);
      ReadFloats(part, file, of_row);
    }
    for (int64_t col = 0; col < cols; ++col) {
      rows[col] *= of_row[static_cast<size_t>(col / kScaleBlock)];
    }
  }
}

}  // namespace darkhorse
