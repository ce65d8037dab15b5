// Tests only: what products with block formats are defined as (kernel/block_formats.h), in plain
// loops over the file's blocks.
#pragma once

#include <cstddef>
#include <vector>

#include "kernel/block_formats.h"

namespace darkhorse {

inline constexpr Format kBlockFormatsOfFiles[] = {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0,
                                                  Format::kQ5_1, Format::kQ8_0, Format::kIq4Nl,
                                                  Format::kQ4K,  Format::kQ5K,  Format::kQ6K};

// A matrix as a file holds it.
struct FileBlocks {
  Format format;
  int64_t rows, cols;
  std::vector<std::byte> bytes;

  // Random bytes, and f16 scales and minima of all magnitudes about 1.
  FileBlocks(Format format_in, int64_t rows_in, int64_t cols_in, uint64_t seed);
  const GgmlTypeInfo& type() const { return InfoOf(GgmlTypeOf(format)); }
  const std::byte* Row(int64_t row) const { return bytes.data() + row * type().BytesOf(cols); }
  std::byte* Block(int64_t row, int64_t k) {
    return bytes.data() + row * type().BytesOf(cols) +
           type().BytesOf(k / type().numbers * type().numbers);
  }
  void SetScale(int64_t row, int64_t k, uint16_t half);  // d of the block that holds number k
  std::vector<float> Numbers() const;
  void Pack(void* to) const;  // as products read it
  // |scale * q| + |minimum| of each number.
  std::vector<float> Magnitudes() const;
};

void BlockGemmReference(ConstMatrix x, const FileBlocks& w, Matrix c, bool accumulate);

}  // namespace darkhorse
