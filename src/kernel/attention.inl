// Attention tiles on sixteen lanes. Included by ops.inl.

constexpr int kQueryRows = 6;

// A product of small matrices, C = start * C + A . B: every element one chain of fused
// multiply-adds over k in order.
struct SmallProduct {
  const float* a;  // element (row, k) at a[row * lda + k], or transposed at a[k * lda + row]
  int64_t lda;
  int64_t k;
  const float* b;  // element (k, column) at b[column/16 * b_panel + k * b_row + column%16]
  int64_t b_panel, b_row;
  const float* start;  // [rows] factor of the old C; null: C starts at zero
  float* c;
  int64_t ldc;
  int64_t columns;
};

template <int kRows, int kPanels, bool kTransposed, typename Lanes>
inline void MultiplyPanels(const SmallProduct& t, int64_t column, Lanes io) {
  const float* a = t.a;
  const float* b = t.b + column / 16 * t.b_panel;
  float* c = t.c + column;
  V sum[kRows][kPanels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = t.start ? Mul(Set1(t.start[r]), io.Get(c + r * t.ldc + p * 16)) : Zero();
    }
  }
  const int64_t lda = t.lda;
  const int64_t b_row = t.b_row;
  const int64_t b_panel = t.b_panel;
  const auto step = [&]() __attribute__((always_inline)) {
    V bk[kPanels];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) bk[p] = io.Get(b + p * b_panel);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V ak = Set1(kTransposed ? a[r] : a[r * lda]);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) sum[r][p] = Fma(ak, bk[p], sum[r][p]);
    }
    a += kTransposed ? lda : 1;
    b += b_row;
  };
  int64_t k = 0;
  if constexpr (kRows == kQueryRows) {  // as in GemmTile: less counting where the time goes
    for (; k + 4 <= t.k; k += 4) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) step();
    }
  }
  for (; k < t.k; ++k) step();
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) io.Put(c + r * t.ldc + p * 16, sum[r][p]);
  }
}

// As many panels at once as the registers hold: enough independent chains to hide the latency of an
// FMA.
constexpr int PanelsAtOnce(int rows) {
#ifdef __AVX512F__
  return rows > 0 ? 4 : 0;
#else
  return rows > 3 ? 1 : rows > 1 ? 2 : 4;
#endif
}

template <int kRows, bool kTransposed>
void MultiplyRows(const SmallProduct& t) {
  constexpr int kPanels = PanelsAtOnce(kRows);
  int64_t column = 0;
  for (; column + 16 * kPanels <= t.columns; column += 16 * kPanels) {
    MultiplyPanels<kRows, kPanels, kTransposed>(t, column, WholeLanes{});
  }
  // Two where there are two: both halves of a value of 32 floats are then read at once.
  if constexpr (kPanels > 2) {
    for (; column + 32 <= t.columns; column += 32)
      MultiplyPanels<kRows, 2, kTransposed>(t, column, WholeLanes{});
  }
  for (; column + 16 <= t.columns; column += 16)
    MultiplyPanels<kRows, 1, kTransposed>(t, column, WholeLanes{});
  if (column < t.columns) {
    MultiplyPanels<kRows, 1, kTransposed>(t, column,
                                          FewLanes{static_cast<int>(t.columns - column)});
  }
}

template <bool kTransposed>
void Multiply(int64_t rows, const SmallProduct& t) {
  switch (rows) {
    case 1:
      return MultiplyRows<1, kTransposed>(t);
    case 2:
      return MultiplyRows<2, kTransposed>(t);
    case 3:
      return MultiplyRows<3, kTransposed>(t);
    case 4:
      return MultiplyRows<4, kTransposed>(t);
    case 5:
      return MultiplyRows<5, kTransposed>(t);
    default:
      return MultiplyRows<6, kTransposed>(t);
  }
}

inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }

// Running state of the query rows of a tile.
struct RunningRows {
  float* max;  // [rows]
  float* sum;  // [rows][16] partial sums of exp(score - max)
  float* acc;  // [rows][acc_stride] sum of exp(score - max) * v
  int64_t acc_stride;
};

// Scores of one row against a block -> their exponentials; the row's maximum and the change of
// scale exp(old - new max). `visible` keys of the block are at or before the row's position (<= 0:
// none).
inline float BlockMax(float* scores, float scale, int64_t visible, int64_t panels) {
  V max = Set1(-kInfinity);
  for (int64_t p = 0; p < panels; ++p) {
    V s = Mul(Load(scores + p * 16), Set1(scale));
    if (visible < p * 16 + 16) s = FirstLanes(visible - p * 16, s, Set1(-kInfinity));
    Store(scores + p * 16, s);
    max = Max(max, s);
  }
  return ReduceMax(max);
}

inline int64_t PositionOf(const AttentionForwardArgs& args, int64_t row) {
  return args.position + row * args.position_step;
}

// One tile of query rows against one key block. v points to the block's first row, in the layout of
// SmallProduct::b.
void AttendBlock(const AttentionForwardArgs& args, int64_t first_row, int64_t rows,
                 int64_t block_begin, const float* v, int64_t v_panel, int64_t v_row,
                 const RunningRows& state) {
  alignas(64) float scores[kQueryRows * kKeyBlock];
  alignas(64) float rescale[16] = {};
  const int64_t last_position = PositionOf(args, first_row + rows - 1);
  const int64_t keys = Smaller(kKeyBlock, last_position + 1 - block_begin);
  const int64_t panels = (keys + 15) / 16;
  Multiply<false>(rows, {args.q + first_row * args.q_stride, args.q_stride, args.key_dim,
                         args.key_panels + block_begin * args.key_dim, 16 * args.key_dim, 16,
                         nullptr, scores, kKeyBlock, panels * 16});
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t visible = PositionOf(args, first_row + r) + 1 - block_begin;
    const float block_max = BlockMax(scores + r * kKeyBlock, args.scale, visible, panels);
    const float old_max = state.max[r];
    const float max = old_max > block_max ? old_max : block_max;
    rescale[r] = old_max - max;
    state.max[r] = max;
  }
  Store(rescale, Exp(Load(rescale)));
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * kKeyBlock;
    V sum = Mul(Load(state.sum + r * 16), Set1(rescale[r]));
    for (int64_t p = 0; p < panels; ++p) {
      const V e = Exp(Sub(Load(s + p * 16), Set1(state.max[r])));
      Store(s + p * 16, e);
      sum = Add(sum, e);
    }
    Store(state.sum + r * 16, sum);
  }
  Multiply<false>(rows, {scores, kKeyBlock, keys, v, v_panel, v_row, rescale, state.acc,
                         state.acc_stride, args.value_dim});
}

// out = acc / sum. Adding zero turns -0 into +0: whether a tile's masked keys were multiplied in
// must not show.
void FinishRow(const float* acc, V sum, float* out, int64_t value_dim) {
  ForLanes(value_dim,
           [=](int64_t i, auto io) { io.Put(out + i, Add(Div(io.Get(acc + i), sum), Zero())); });
}

// Rows of v [count, value_dim] -> strips of sixteen columns, [strip][kKeyBlock][16].
void CopyStrips(const float* v, int64_t v_stride, int64_t count, int64_t value_dim, float* strips) {
  for (int64_t row = 0; row < count; ++row) {
    ForLanes(value_dim, [=](int64_t i, auto io) {
      Store(strips + (i / 16 * kKeyBlock + row) * 16, io.Get(v + row * v_stride + i));
    });
  }
}

void AttentionForwardLoop(const AttentionForwardArgs& args) {
  const int64_t acc_stride = RoundUp16(args.value_dim);
  float* sums = args.scratch;
  float* acc = sums + args.queries * 16;
  float* strips = acc + args.queries * acc_stride;
  for (int64_t i = 0; i < args.queries * (16 + acc_stride); ++i) args.scratch[i] = 0;
  for (int64_t row = 0; row < args.queries; ++row) args.max[row] = -kInfinity;
  const int64_t last_position = PositionOf(args, args.queries - 1);
  // Copied once for many tiles, v's rows no longer compete for the same cache sets; few tiles read
  // them in place.
  const int64_t tiles = (args.queries + kQueryRows - 1) / kQueryRows;
  const bool copy = tiles > 2;
  const int64_t tile_rows = (args.queries + tiles - 1) / tiles;
  for (int64_t begin = 0; begin <= last_position; begin += kKeyBlock) {
    const float* v = args.v + begin * args.v_stride;
    if (copy)
      CopyStrips(v, args.v_stride, Smaller(kKeyBlock, last_position + 1 - begin), args.value_dim,
                 strips);
    for (int64_t row = 0; row < args.queries; row += tile_rows) {
      const int64_t rows = Smaller(tile_rows, args.queries - row);
      if (PositionOf(args, row + rows - 1) < begin) continue;
      const RunningRows state = {args.max + row, sums + row * 16, acc + row * acc_stride,
                                 acc_stride};
      AttendBlock(args, row, rows, begin, copy ? strips : v, copy ? kKeyBlock * 16 : 16,
                  copy ? 16 : args.v_stride, state);
    }
  }
  for (int64_t row = 0; row < args.queries; ++row) {
    args.sum[row] = ReduceAdd(Load(sums + row * 16));
    FinishRow(acc + row * acc_stride, Set1(args.sum[row]), args.out + row * args.out_stride,
              args.value_dim);
  }
}

float DotLoop(const float* a, const float* b, int64_t n) {
  V sum = Zero();
  ForLanes(n, [=, &sum](int64_t i, auto io) { sum = Fma(io.Get(a + i), io.Get(b + i), sum); });
  return ReduceAdd(sum);
}

// P and dS of one query row against a block of keys, in place of the scores and dP:
//   P = exp(scale * S - lse),  dS = scale * P * (dP - dout.out)
void ProbabilitiesRow(float scale_of_scores, float lse_of_row, float row_dot, int64_t visible,
                      float* s, float* dp) {
  const V scale = Set1(scale_of_scores);
  const V lse = Set1(lse_of_row);
  const V dot = Set1(row_dot);
  for (int64_t i = 0; i < kKeyBlock; i += 16) {
    V p = Zero();
    V ds = Zero();
    if (i < visible) {
      p = Exp(Sub(Mul(Load(s + i), scale), lse));
      ds = Mul(Mul(p, Sub(Load(dp + i), dot)), scale);
      if (visible < i + 16) {
        p = FirstLanes(visible - i, p, Zero());
        ds = FirstLanes(visible - i, ds, Zero());
      }
    }
    Store(s + i, p);
    Store(dp + i, ds);
  }
}

constexpr float kOnes[kQueryRows] = {1, 1, 1, 1, 1, 1};

// The queries of positions query_begin to query_end against one block of keys: adds their share to
// dq, dk and dv, or writes the first.
void BackwardBlock(const AttentionBackwardArgs& args, int64_t query_begin, int64_t query_end,
                   int64_t key_begin, bool first_of_keys, float* p, float* ds) {
  const int64_t queries = query_end - query_begin;
  const int64_t first_row = query_begin - args.first;
  const int64_t keys = Smaller(kKeyBlock, args.positions - key_begin);
  const int64_t strip = args.padded * 16;
  const int64_t query_strip = args.query_padded * 16;
  const float* query_start = key_begin == 0 ? nullptr : kOnes;
  const float* key_start = first_of_keys ? nullptr : kOnes;
  for (int64_t i = 0; i < queries; i += kQueryRows) {
    const int64_t rows = Smaller(kQueryRows, queries - i);
    const int64_t query = first_row + i;
    const int64_t tile_keys = Smaller(keys, query_begin + i + rows - key_begin);
    Multiply<false>(rows, {args.q + query * args.q_stride, args.q_stride, args.key_dim,
                           args.k_panels + key_begin * args.key_dim, 16 * args.key_dim, 16, nullptr,
                           p + i * kKeyBlock, kKeyBlock, RoundUp16(tile_keys)});
    Multiply<false>(rows, {args.dout + query * args.dout_stride, args.dout_stride, args.value_dim,
                           args.v_panels + key_begin * args.value_dim, 16 * args.value_dim, 16,
                           nullptr, ds + i * kKeyBlock, kKeyBlock, RoundUp16(tile_keys)});
    for (int64_t r = i; r < i + rows; ++r) {
      ProbabilitiesRow(args.scale, args.lse[first_row + r], args.row_dot[first_row + r],
                       Smaller(keys, query_begin + r + 1 - key_begin), p + r * kKeyBlock,
                       ds + r * kKeyBlock);
    }
    Multiply<false>(
        rows, {ds + i * kKeyBlock, kKeyBlock, tile_keys, args.k_strips + key_begin * 16, strip, 16,
               query_start, args.dq + query * args.dq_stride, args.dq_stride, args.key_dim});
  }
  for (int64_t j = 0; j < keys; j += kQueryRows) {
    const int64_t rows = Smaller(kQueryRows, keys - j);
    const int64_t key = key_begin + j;
    const int64_t from = Larger(0, key - query_begin);  // no earlier query sees these keys
    const int64_t count = queries - from;
    Multiply<true>(rows, {p + from * kKeyBlock + j, kKeyBlock, count,
                          args.dout_strips + (first_row + from) * 16, query_strip, 16, key_start,
                          args.dv + key * args.dv_stride, args.dv_stride, args.value_dim});
    Multiply<true>(rows, {ds + from * kKeyBlock + j, kKeyBlock, count,
                          args.q_strips + (first_row + from) * 16, query_strip, 16, key_start,
                          args.dk + key * args.dk_stride, args.dk_stride, args.key_dim});
  }
}

void AttentionBackwardLoop(const AttentionBackwardArgs& args) {
  alignas(64) float p[kKeyBlock * kKeyBlock];
  alignas(64) float ds[kKeyBlock * kKeyBlock];
  for (int64_t row = 0; row < args.positions - args.first; ++row) {
    args.row_dot[row] = DotLoop(args.dout + row * args.dout_stride,
                                args.out + row * args.out_stride, args.value_dim);
  }
  for (int64_t key = 0; key < args.positions; key += kKeyBlock) {
    // Blocks of queries lie where those of keys do, the first of them cut. The first that sees
    // these keys ends where they do or later, so it has a share in each of them.
    int64_t query = Larger(key, args.first);
    for (bool first = true; query < args.positions; first = false) {
      const int64_t end = Smaller(args.positions, (query / kKeyBlock + 1) * kKeyBlock);
      BackwardBlock(args, query, end, key, first, p, ds);
      query = end;
    }
  }
}
