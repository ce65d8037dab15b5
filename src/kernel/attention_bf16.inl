// What attention in bf16 does between its products (attention_bf16.cc), on sixteen lanes. Included
// by ops.inl after attention.inl.

// Element k of row r of a block of kKeyBlock columns in left tiles (bf16_loops.h).
inline Bf16* TileElement(Bf16* tiles, int64_t r, int64_t k) {
  return tiles + r / kTileSide * (kKeyBlock / kTileDepth * kTileSize) + k / kTileDepth * kTileSize +
         r % kTileSide * kTileDepth + k % kTileDepth;
}

float FinishRowLoop(const float* acc, const float* sums, float* out, int64_t value_dim) {
  const float sum = ReduceAdd(Load(sums));
  FinishRow(acc, Set1(sum), out, value_dim);
  return sum;
}

void SoftmaxBlockLoop(const SoftmaxBlockArgs& args) {
  constexpr int64_t kPanels = kKeyBlock / 16;
  for (int64_t first = 0; first < args.rows; first += 16) {
    const int64_t rows = Smaller(16, args.rows - first);
    alignas(64) float rescale[16] = {};
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = first + i;
      const float block_max =
          BlockMax(args.scores + r * kKeyBlock, args.scale, args.visible + r * args.step, kPanels);
      const float old_max = args.max[r];
      args.max[r] = old_max > block_max ? old_max : block_max;
      rescale[i] = old_max - args.max[r];
    }
    Store(rescale, Exp(Load(rescale)));
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = first + i;
      const float* s = args.scores + r * kKeyBlock;
      const V max = Set1(args.max[r]);
      const V factor = Set1(rescale[i]);
      V sum = Mul(Load(args.sum + r * 16), factor);
      for (int64_t p = 0; p < kPanels; ++p) {
        V e = Zero();
        if (p * 16 < args.visible + r * args.step) {
          e = Exp(Sub(Load(s + p * 16), max));
          sum = Add(sum, e);
        }
        StoreBf16(TileElement(args.p, r, p * 16), e);
      }
      Store(args.sum + r * 16, sum);
      if (args.rescale) {
        args.rescale[r] = rescale[i];
        continue;
      }
      if (rescale[i] == 1) continue;
      float* acc = args.acc + r * args.acc_stride;
      ForLanes(args.value_dim,
               [=](int64_t c, auto io) { io.Put(acc + c, Mul(io.Get(acc + c), factor)); });
    }
  }
}

void ProbabilityBlockLoop(const ProbabilityBlockArgs& args) {
  for (int64_t r = 0; r < kKeyBlock; ++r) {
    float* s = args.scores + r * kKeyBlock;
    float* dp = args.dp + r * kKeyBlock;
    const bool there = r < args.rows;
    if (there) {
      ProbabilitiesRow(args.scale, args.lse[r], args.row_dot[r],
                       Smaller(args.keys, args.visible + r), s, dp);
    }
    for (int64_t k = 0; k < kKeyBlock; k += 16) {
      StoreBf16(TileElement(args.p, r, k), there ? Load(s + k) : Zero());
      StoreBf16(TileElement(args.ds, r, k), there ? Load(dp + k) : Zero());
    }
  }
}
