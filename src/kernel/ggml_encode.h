// Numbers put into ggml's formats (kernel/ggml_blocks.h): the bytes that ggml's reference
// quantisers (ggml/src/ggml-quants.c) choose for Q4_0, Q5_0 and Q8_0, one rounding for F16 and
// BF16, and for Q4_K the result of the same search for scales and minima. One block depends on no
// other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/ggml_blocks.h"

namespace darkhorse {

// Whether numbers can be put into the format: F32, F16, BF16, Q4_0, Q5_0, Q8_0 and Q4_K.
bool CanEncode(GgmlType type);

// The largest magnitude that every block of the format can hold: its scales are of f16.
float LargestEncodable(GgmlType type);

// out: the bytes of `count` numbers, whole blocks, each finite and no larger than LargestEncodable.
void EncodeGgml(GgmlType type, const float* in, int64_t count, std::byte* out);

}  // namespace darkhorse
