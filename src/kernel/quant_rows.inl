// Activations quantised to kernel/quant_block.h's blocks. Included once, in an anonymous namespace,
// after a simd_*.inl and an int_*.inl.

// One row of a block, of 64 numbers.
inline void QuantizeRow(const float* x, QuantBlock* block, int64_t row) {
  int32_t magnitude = 0;  // the bits of magnitudes are in their order, NaN above infinity
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    int32_t bits;
    __builtin_memcpy(&bits, x + k, sizeof(bits));
    bits &= 0x7fffffff;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  float scale = 0, inverse = 0;
  constexpr int32_t kInfinite = 0x7f800000, kLeast = (127 - 100) << 23;  // 2^-100
  const bool finite = magnitude < kInfinite;
  if (finite && magnitude >= kLeast) {
    float greatest;
    __builtin_memcpy(&greatest, &magnitude, sizeof(greatest));
    scale = greatest / 127;
    inverse = 127 / greatest;
  } else if (!finite) {
    scale = __builtin_nanf("");
  }
  // Beside 1.5 * 2^23 the last place of an f32 is 1.
  constexpr float kRounder = 12582912;
  int8_t* q = block->q[row];
  int32_t sum = 0;
  if (inverse == 0) {
    for (int64_t k = 0; k < kQuantBlock; ++k) q[k] = 0;
    for (int64_t i = 0; i < kQuantBlock / 16; ++i) block->sums[row][i] = 0;
  } else {
    for (int64_t i = 0; i < kQuantBlock; i += 16) {
      const V near = Sub(Add(Mul(Load(x + i), Set1(inverse)), Set1(kRounder)), Set1(kRounder));
      StoreBytes(q + i, near);
      block->sums[row][i / 16] = static_cast<int32_t>(ReduceAdd(near));  // exact in any order
      sum += block->sums[row][i / 16];
    }
  }
  block->scale[row] = scale;
  block->sum[row] = sum;
  block->scaled_sum[row] = scale * static_cast<float>(sum);
}

void QuantizeRows(const float* x, int64_t x_stride, int64_t rows, int64_t k, QuantBlock* blocks,
                  int64_t stride) {
  const int64_t count = (k + kQuantBlock - 1) / kQuantBlock;
  for (int64_t row = 0; row < (rows + kQuantSide - 1) / kQuantSide * kQuantSide; ++row) {
    QuantBlock* to = blocks + row / kQuantSide * stride;
    for (int64_t b = 0; b < count; ++b) {
      const int64_t here = row >= rows ? 0 : k - b * kQuantBlock;
      if (here >= kQuantBlock) {
        QuantizeRow(x + row * x_stride + b * kQuantBlock, to + b, row % kQuantSide);
        continue;
      }
      float padded[kQuantBlock] = {};
      for (int64_t i = 0; i < here; ++i) padded[i] = x[row * x_stride + b * kQuantBlock + i];
      QuantizeRow(padded, to + b, row % kQuantSide);
    }
  }
}
