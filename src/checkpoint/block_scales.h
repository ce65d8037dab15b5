// DeepSeek's eight-bit weights: a matrix in F8_E4M3 and, beside it, one scale for each block of 128
// x 128 numbers, those at the edges smaller (DeepSeek-V3 README_WEIGHTS.md). The scales are to be
// multiplied by, though their name ends in "inv".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace darkhorse {

inline constexpr int64_t kScaleBlock = 128;

// "model.layers.3.mlp.up_proj.weight_scale_inv"
inline std::string ScalesName(const std::string& weight) { return weight + "_scale_inv"; }

// Of a matrix [out, in]: [blocks of rows, blocks of columns].
std::vector<int64_t> ScalesShape(std::span<const int64_t> shape);

// rows[count, cols], the rows of the matrix from `begin` on, each number times its block's scale:
// one product of f32. `scales` is F32, F16, BF16 or powers of two in F8_E8M0; `file` is its file.
void MultiplyByScales(const TensorView& scales, const std::string& file, int64_t begin,
                      int64_t count, int64_t cols, float* rows);

}  // namespace darkhorse
