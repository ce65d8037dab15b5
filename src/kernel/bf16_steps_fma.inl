// The steps of kernel/bf16_product.inl with f32 multiply-adds: one takes 2 of k, whose numbers are
// widened. Included once, in an anonymous namespace, after a simd_*.inl and gemm.inl.

constexpr int64_t kSteps = 16;  // for the 32 of k of a tile

// Step `step` of 16 columns of a right tile: their even k, and their odd k.
inline V EvenColumns(const Bf16* tile, int64_t step) { return LoadEven(tile + step * 32); }
inline V OddColumns(const Bf16* tile, int64_t step) { return LoadOdd(tile + step * 32); }

// One row of a left tile: for each step the even k, then the odd k.
inline void SpreadRow(const Bf16* row, float* spread) {
  for (int64_t k = 0; k < kTileDepth; ++k) {
    const uint32_t bits = static_cast<uint32_t>(row[k].bits) << 16;
    __builtin_memcpy(&spread[k], &bits, sizeof(bits));
  }
}

inline V Chain(V row, V columns, V sum) { return Fma(row, columns, sum); }

float StepProbe(int64_t rounds) { return FmaProbe(rounds); }
constexpr int64_t kStepProbeWidth = kTileVectors * 16;
