#include "kernel/attention_bf16.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/attention_jobs.h"
#include "kernel/gemm_split.h"
#include "kernel/kernels.h"
#include "kernel/scratch.h"

namespace darkhorse {
namespace {

using From = Bf16Packing::From;

constexpr int64_t kBlockTiles = kKeyBlock / kTileDepth;

// A thread's scratch, handed out piece by piece in whole cache lines.
class Pieces {
 public:
  explicit Pieces(int64_t floats) {
    thread_local Scratch<float> scratch;
    next_ = scratch.Get(floats);
  }
  static int64_t Floats(int64_t floats) { return RoundUp(floats, 16); }
  static int64_t Tiles(int64_t rows, int64_t depth) {
    return RoundUp(rows, kKeyBlock) * RoundUp(depth, kKeyBlock) / 2;
  }
  float* TakeFloats(int64_t floats) { return std::exchange(next_, next_ + Floats(floats)); }
  // Room for the tiles of a [rows, depth] operand and for what completes its last blocks of 64.
  Bf16* TakeTiles(int64_t rows, int64_t depth) {
    return reinterpret_cast<Bf16*>(std::exchange(next_, next_ + Tiles(rows, depth)));
  }

 private:
  float* next_;
};

int64_t Stride(int64_t depth) { return CeilDiv(depth, kTileDepth) * kTileSize; }

void ForwardQueryBlock(const Bf16AttentionJob& job, int64_t first, float scale) {
  const Bf16Loops& loops = Kernels().bf16;
  const OpsLoops& ops = Kernels().ops;
  const int64_t rows = std::min(kBf16QueryBlock, job.q.rows - first);
  const int64_t key_dim = job.q.cols, value_dim = job.out.cols;
  const int64_t q_block = Stride(key_dim);
  const int64_t value_block = Stride(job.value_positions);
  Pieces pieces(Pieces::Tiles(rows, key_dim) + Pieces::Tiles(rows, kKeyBlock) +
                Pieces::Floats(kBf16QueryBlock * kKeyBlock) + Pieces::Floats(rows * 16) +
                Pieces::Floats(rows * value_dim));
  Bf16* q = pieces.TakeTiles(rows, key_dim);
  Bf16* p = pieces.TakeTiles(rows, kKeyBlock);
  float* scores = pieces.TakeFloats(kBf16QueryBlock * kKeyBlock);
  float* sums = pieces.TakeFloats(rows * 16);
  float* acc = pieces.TakeFloats(rows * value_dim);
  float max[kBf16QueryBlock];
  std::fill_n(max, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(sums, rows * 16, 0.0f);
  std::fill_n(acc, rows * value_dim, 0.0f);
  loops.pack({From::kLeftRows, job.q.Row(first), job.q.stride, rows, key_dim, q, q_block});
  const int64_t last = job.PositionOf(first + rows - 1);
  for (int64_t begin = 0; begin <= last; begin += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, last + 1 - begin);
    loops.product(q, q_block, rows, job.key_tiles + begin / kTileSide * q_block, q_block,
                  RoundUp(keys, kTileSide), CeilDiv(key_dim, kTileDepth), scores, kKeyBlock, false);
    ops.softmax_block({.scores = scores,
                       .rows = rows,
                       .visible = job.PositionOf(first) + 1 - begin,
                       .step = job.one_position ? 0 : 1,
                       .scale = scale,
                       .max = max,
                       .sum = sums,
                       .acc = acc,
                       .acc_stride = value_dim,
                       .value_dim = value_dim,
                       .p = p});
    loops.product(p, kBlockTiles * kTileSize, rows,
                  job.value_tiles + begin / kTileDepth * kTileSize, value_block, value_dim,
                  CeilDiv(keys, kTileDepth), acc, value_dim, true);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float sum =
        ops.finish_row(acc + r * value_dim, sums + r * 16, job.out.Row(first + r), value_dim);
    if (job.lse) job.lse[first + r] = LogSumExp(max[r], sum);
  }
}

// A block of rows at one position, by all threads: scores by keys, the softmax by rows, the
// products with values by columns of these, so that keys and values are read once. Every number is
// computed as above.
void ForwardTogether(const Bf16AttentionJob& job, int64_t first, float scale) {
  constexpr int64_t kRound = 64;  // blocks of keys whose scores are held at once
  constexpr int64_t kRows = 4;    // of a thread's turn at the softmax
  const Bf16Loops& loops = Kernels().bf16;
  const OpsLoops& ops = Kernels().ops;
  const int64_t rows = std::min(kBf16QueryBlock, job.q.rows - first);
  const int64_t key_dim = job.q.cols, value_dim = job.out.cols;
  const int64_t q_block = Stride(key_dim);
  const int64_t value_block = Stride(job.value_positions);
  const int64_t visible = job.position + 1;
  const int64_t held = std::min(kRound, CeilDiv(visible, kKeyBlock));
  constexpr int64_t kTilesOf16 = kBlockTiles * kTileSize;  // of p: from 16 rows to the next
  const int64_t p_block = CeilDiv(rows, kTileSide) * kTilesOf16;
  Pieces pieces(Pieces::Tiles(rows, key_dim) + Pieces::Floats(held * p_block / 2) +
                Pieces::Floats(held * rows * kKeyBlock) + Pieces::Floats(held * rows) +
                2 * Pieces::Floats(rows * 16) + Pieces::Floats(rows * value_dim));
  Bf16* const q = pieces.TakeTiles(rows, key_dim);
  Bf16* const p = reinterpret_cast<Bf16*>(pieces.TakeFloats(held * p_block / 2));
  float* const scores = pieces.TakeFloats(held * rows * kKeyBlock);
  float* const rescale = pieces.TakeFloats(held * rows);
  float* const sums = pieces.TakeFloats(rows * 16);
  float* const max = pieces.TakeFloats(rows * 16);
  float* const acc = pieces.TakeFloats(rows * value_dim);
  std::fill_n(max, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(sums, rows * 16, 0.0f);
  std::fill_n(acc, rows * value_dim, 0.0f);
  loops.pack({From::kLeftRows, job.q.Row(first), job.q.stride, rows, key_dim, q, q_block});
  const int64_t strips = CeilDiv(value_dim, kTileSide);  // of 16 columns
  const int64_t strips_at_once =
      std::clamp<int64_t>(strips / (2 * static_cast<int64_t>(NumThreads())), 1, 8);
  for (int64_t round = 0; round < visible; round += kRound * kKeyBlock) {
    const int64_t blocks = std::min(kRound, CeilDiv(visible - round, kKeyBlock));
    const auto keys_of = [&](int64_t b) {
      return std::min(kKeyBlock, visible - round - b * kKeyBlock);
    };
    ParallelForRange(blocks, 4, [&](int64_t begin, int64_t end) {
      const Bf16Products products(loops);
      for (int64_t b = begin; b < end; ++b) {
        loops.product(q, q_block, rows,
                      job.key_tiles + (round + b * kKeyBlock) / kTileSide * q_block, q_block,
                      RoundUp(keys_of(b), kTileSide), CeilDiv(key_dim, kTileDepth),
                      scores + b * rows * kKeyBlock, kKeyBlock, false);
      }
    });
    ParallelForRange(rows, kRows, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      for (int64_t b = 0; b < blocks; ++b) {
        ops.softmax_block(
            {.scores = scores + (b * rows + begin) * kKeyBlock,
             .rows = end - begin,
             .visible = visible - round - b * kKeyBlock,
             .step = 0,
             .scale = scale,
             .max = max + begin,
             .sum = sums + begin * 16,
             .acc = nullptr,
             .acc_stride = 0,
             .value_dim = 0,
             .p = p + b * p_block + begin / kTileSide * kTilesOf16 + begin % kTileSide * kTileDepth,
             .rescale = rescale + b * rows + begin});
      }
    });
    ParallelForRange(strips, strips_at_once, [&](int64_t begin, int64_t end) {
      const Bf16Products products(loops);
      const int64_t col = begin * kTileSide;
      const int64_t cols = std::min(end * kTileSide, value_dim) - col;
      for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t r = 0; r < rows; ++r) {
          const float factor = rescale[b * rows + r];
          float* const row = acc + r * value_dim + col;
          for (int64_t c = 0; factor != 1 && c < cols; ++c) row[c] *= factor;
        }
        loops.product(p + b * p_block, kTilesOf16, rows,
                      job.value_tiles + begin * value_block +
                          (round + b * kKeyBlock) / kTileDepth * kTileSize,
                      value_block, cols, CeilDiv(keys_of(b), kTileDepth), acc + col, value_dim,
                      true);
      }
    });
  }
  const FlushDenormals flush;
  for (int64_t r = 0; r < rows; ++r) {
    const float sum =
        ops.finish_row(acc + r * value_dim, sums + r * 16, job.out.Row(first + r), value_dim);
    if (job.lse) job.lse[first + r] = LogSumExp(max[r], sum);
  }
}

// Whether there are fewer blocks of rows than threads, all at one position behind so many others
// that three loops for each cost less than what threads would read again or wait for.
bool AreForAllThreads(std::span<const Bf16AttentionJob> jobs) {
  constexpr int64_t kManyKeys = 512;
  int64_t blocks = 0;
  for (const Bf16AttentionJob& job : jobs) {
    if (!job.one_position || job.position < kManyKeys) return false;
    blocks += CeilDiv(job.q.rows, kBf16QueryBlock);
  }
  return blocks < NumThreads() && !InParallelLoop();
}

// to(i, j) = from[j * from_stride + i], a panel of 16 columns of 64 rows at a time.
void Transpose(const float* from, int64_t from_stride, Matrix to) {
  alignas(64) float panel[kKeyBlock * kKeyPanel];
  for (int64_t row = 0; row < to.rows; row += kKeyBlock) {
    const int64_t rows = std::min(kKeyBlock, to.rows - row);
    for (int64_t col = 0; col < to.cols; col += kKeyPanel) {
      const int64_t width = std::min(kKeyPanel, to.cols - col);
      Kernels().gemm.pack_panels_nt(from + col * from_stride + row, from_stride, width, rows, panel,
                                    0);
      for (int64_t i = 0; i < rows; ++i)
        std::copy_n(panel + i * kKeyPanel, width, to.Row(row + i) + col);
    }
  }
}

void BackwardJob(const AttentionBackwardJob& job, float scale) {
  const Bf16Loops& loops = Kernels().bf16;
  const OpsLoops& ops = Kernels().ops;
  const int64_t n = job.q.rows, key_dim = job.q.cols, value_dim = job.v.cols;
  const int64_t first = job.k_before.rows, positions = first + n;
  // Of gradients that are kept transposed: rows whose distance is a power of two would share the
  // lines of a cache that few of them fit in.
  const int64_t stride = RoundUp(positions, kKeyBlock) + kKeyPanel;
  Pieces pieces(2 * (Pieces::Tiles(n, key_dim) + Pieces::Tiles(positions, key_dim)) +
                2 * Pieces::Tiles(n, value_dim) + Pieces::Tiles(positions, value_dim) +
                4 * Pieces::Tiles(kKeyBlock, kKeyBlock) +
                2 * Pieces::Floats(kKeyBlock * kKeyBlock) + Pieces::Floats(n) +
                Pieces::Floats(key_dim * stride) + Pieces::Floats(value_dim * stride));
  // Blocks of the tiles: along the width, along the keys and along the queries.
  const int64_t by_key = Stride(key_dim), by_value = Stride(value_dim);
  const int64_t by_position = Stride(positions), by_query = Stride(n);
  Bf16* q = pieces.TakeTiles(n, key_dim);               // left, of q . k^T
  Bf16* k = pieces.TakeTiles(positions, key_dim);       // right
  Bf16* dout = pieces.TakeTiles(n, value_dim);          // left, of dout . v^T
  Bf16* v = pieces.TakeTiles(positions, value_dim);     // right
  Bf16* k_rows = pieces.TakeTiles(positions, key_dim);  // right, of dS . k
  Bf16* q_t = pieces.TakeTiles(n, key_dim);             // left, of q^T . dS = dk^T
  Bf16* dout_t = pieces.TakeTiles(n, value_dim);        // left, of dout^T . P = dv^T
  Bf16* p = pieces.TakeTiles(kKeyBlock, kKeyBlock);
  Bf16* ds = pieces.TakeTiles(kKeyBlock, kKeyBlock);
  Bf16* p_right = pieces.TakeTiles(kKeyBlock, kKeyBlock);
  Bf16* ds_right = pieces.TakeTiles(kKeyBlock, kKeyBlock);
  float* scores = pieces.TakeFloats(kKeyBlock * kKeyBlock);
  float* dp = pieces.TakeFloats(kKeyBlock * kKeyBlock);
  float* row_dot = pieces.TakeFloats(n);
  float* dk_t = pieces.TakeFloats(key_dim * stride);
  float* dv_t = pieces.TakeFloats(value_dim * stride);
  loops.pack({From::kLeftRows, job.q.data, job.q.stride, n, key_dim, q, by_key});
  loops.pack({From::kLeftRows, job.dout.data, job.dout.stride, n, value_dim, dout, by_value});
  loops.pack({From::kLeftCols, job.q.data, job.q.stride, key_dim, n, q_t, by_query});
  loops.pack({From::kLeftCols, job.dout.data, job.dout.stride, value_dim, n, dout_t, by_query});
  WriteKeyTiles(job.k_before, 0, k);
  WriteKeyTiles(job.k, first, k);
  WriteKeyTiles(job.v_before, 0, v);
  WriteKeyTiles(job.v, first, v);
  WriteValueTiles(job.k_before, 0, positions, k_rows);
  WriteValueTiles(job.k, first, positions, k_rows);
  for (int64_t row = 0; row < n; ++row)
    row_dot[row] = ops.dot(job.dout.Row(row), job.out.Row(row), value_dim);
  constexpr int64_t kBlock = kBlockTiles * kTileSize;  // of p and ds
  for (int64_t key = 0; key < positions; key += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, positions - key);
    // Blocks of queries are counted from the first query. The first block is the one with the first
    // query that sees these keys.
    const int64_t begin = std::max<int64_t>(0, key - first) / kKeyBlock * kKeyBlock;
    for (int64_t query = begin; query < n; query += kKeyBlock) {
      const int64_t queries = std::min(kKeyBlock, n - query);
      const int64_t query_tiles = CeilDiv(queries, kTileDepth);
      const int64_t tile = query / kTileDepth * kTileSize;
      loops.product(q + query / kTileSide * by_key, by_key, queries, k + key / kTileSide * by_key,
                    by_key, RoundUp(keys, kTileSide), CeilDiv(key_dim, kTileDepth), scores,
                    kKeyBlock, false);
      loops.product(dout + query / kTileSide * by_value, by_value, queries,
                    v + key / kTileSide * by_value, by_value, RoundUp(keys, kTileSide),
                    CeilDiv(value_dim, kTileDepth), dp, kKeyBlock, false);
      ops.probability_block({.scores = scores,
                             .dp = dp,
                             .rows = queries,
                             .visible = first + query + 1 - key,
                             .keys = keys,
                             .scale = scale,
                             .lse = job.lse + query,
                             .row_dot = row_dot + query,
                             .p = p,
                             .ds = ds});
      loops.pack({From::kRightTiles, p, kBlock, kKeyBlock, kKeyBlock, p_right, kBlock});
      loops.pack({From::kRightTiles, ds, kBlock, kKeyBlock, kKeyBlock, ds_right, kBlock});
      loops.product(ds, kBlock, queries, k_rows + key / kTileDepth * kTileSize, by_position,
                    key_dim, CeilDiv(keys, kTileDepth), job.dq.Row(query), job.dq.stride, key > 0);
      const bool add = query > begin;
      loops.product(q_t + tile, by_query, key_dim, ds_right, kBlock, keys, query_tiles, dk_t + key,
                    stride, add);
      loops.product(dout_t + tile, by_query, value_dim, p_right, kBlock, keys, query_tiles,
                    dv_t + key, stride, add);
    }
  }
  Transpose(dk_t, stride, job.dk);
  Transpose(dv_t, stride, job.dv);
}

}  // namespace

int64_t KeyTilesSize(int64_t positions, int64_t dim) {
  return RoundUp(positions, kKeyBlock) * RoundUp(dim, kTileDepth);
}

int64_t ValueTilesSize(int64_t positions, int64_t dim) {
  return RoundUp(positions, kTileDepth) * RoundUp(dim, kTileSide);
}

void WriteKeyTiles(ConstMatrix keys, int64_t first_position, Bf16* tiles) {
  const int64_t block = Stride(keys.cols);
  for (int64_t row = 0; row < keys.rows; ++row) {
    const int64_t j = first_position + row;
    Bf16* to = tiles + j / kTileSide * block;
    if (j % kTileSide == 0) {  // all that is left; the rest of its last tile becomes zero
      Kernels().bf16.pack(
          {From::kRightRows, keys.Row(row), keys.stride, keys.rows - row, keys.cols, to, block});
      return;
    }
    for (int64_t d = 0; d < keys.cols; ++d) {
      to[d / kTileDepth * kTileSize + d % kTileDepth / 2 * kTileDepth + j % kTileSide * 2 + d % 2] =
          RoundToBf16(keys(row, d));
    }
  }
}

void WriteValueTiles(ConstMatrix values, int64_t first_position, int64_t positions, Bf16* tiles) {
  const int64_t block = Stride(positions);
  for (int64_t row = 0; row < values.rows; ++row) {
    const int64_t j = first_position + row;
    Bf16* to = tiles + j / kTileDepth * kTileSize;
    if (j % kTileDepth == 0) {
      Kernels().bf16.pack({From::kRightCols, values.Row(row), values.stride, values.cols,
                           values.rows - row, to, block});
      return;
    }
    for (int64_t c = 0; c < values.cols; ++c) {
      to[c / kTileSide * block + j % kTileDepth / 2 * kTileDepth + c % kTileSide * 2 + j % 2] =
          RoundToBf16(values(row, c));
    }
  }
}

void Bf16AttentionForward(std::span<const Bf16AttentionJob> jobs, float scale) {
  for (const Bf16AttentionJob& job : jobs) {
    CHECK(job.out.rows == job.q.rows && job.position >= 0);
    CHECK(job.value_positions > job.PositionOf(job.q.rows - 1));
  }
  if (AreForAllThreads(jobs)) {
    for (const Bf16AttentionJob& job : jobs) {
      for (int64_t first = 0; first < job.q.rows; first += kBf16QueryBlock)
        ForwardTogether(job, first, scale);
    }
    return;
  }
  ForEachQueryBlock(jobs, kBf16QueryBlock, [&](const Bf16AttentionJob& job, int64_t first) {
    const Bf16Products products(Kernels().bf16);
    ForwardQueryBlock(job, first, scale);
  });
}

void Bf16AttentionBackward(std::span<const AttentionBackwardJob> jobs, float scale) {
  CheckShapes(jobs);
  ParallelFor(static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const Bf16Products products(Kernels().bf16);
    BackwardJob(jobs[static_cast<size_t>(i)], scale);
  });
}

}  // namespace darkhorse
