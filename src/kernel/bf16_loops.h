// The inner loops of bf16 products: single-threaded, on cache-sized blocks. gemm_bf16.cc blocks and
// threads them. Both operands lie in tiles of 16 x 32 numbers, 1 KiB, which is what a matrix unit
// loads at once:
//   left:  element (i, k) of A[rows, depth] at (i/16)*block + (k/32)*512 + (i%16)*32 + k%32
//   right: element (k, j) of B[depth, cols] at (j/16)*block + (k/32)*512 + (k%32/2)*32 + j%16*2 +
//   k%2
// where `block` is the stride from 16 rows (columns) to the next, in elements. What lies beyond the
// last row, column or depth is zero. A right tile is a left tile of B^T whose 16 x 16 pairs of
// numbers are transposed.
#pragma once

#include <cstdint>

#include "kernel/bf16.h"
#include "kernel/denormals.h"

namespace darkhorse {

inline constexpr int64_t kTileSide = 16;   // rows of a left tile, columns of a right one
inline constexpr int64_t kTileDepth = 32;  // of k
inline constexpr int64_t kTileSize = kTileSide * kTileDepth;

// What tiles are made of. Strides are in floats, or for tiles from 16 rows to the next.
struct Bf16Packing {
  enum class From {
    kLeftRows,    // left tiles of A[rows, depth] in f32
    kLeftCols,    // left tiles of A, given as A^T[depth, rows] in f32
    kRightRows,   // right tiles of B, given as B^T[rows, depth] in f32
    kRightCols,   // right tiles of B[depth, rows] in f32
    kRightTiles,  // right tiles of B[depth, rows], given as left tiles: whole tiles, of two blocks
                  // of 16 rows each; a last one that is missing is zero
  };
  From from = From::kLeftRows;
  const void* source = nullptr;
  int64_t stride = 0;
  int64_t rows = 0;  // columns of a right operand
  int64_t depth = 0;
  Bf16* tiles = nullptr;
  int64_t block = 0;
};

struct Bf16Loops {
  void (*pack)(const Bf16Packing& packing);

  // A thread calls begin before its first product, and end after its last: the state of the
  // processor that products need beside kernel/denormals.h, such as configured tile registers.
  void (*begin)();
  void (*end)();
  // C[rows, cols] (+)= left . right over `tiles` tiles of depth, as gemm_bf16.h defines. Any rows
  // and cols >= 1, tiles >= 1. Between begin and end.
  void (*product)(const Bf16* left, int64_t left_block, int64_t rows, const Bf16* right,
                  int64_t right_block, int64_t cols, int64_t tiles, float* c, int64_t c_stride,
                  bool accumulate);

  // Nothing but independent products from registers, rounds * probe_width multiply-adds: measures
  // the peak. The result only keeps the compiler honest.
  float (*probe)(int64_t rounds);
  int64_t probe_width;
  int64_t rows;  // of A that `product` takes best at once, whole tiles
};

// This thread may call `product` while the object lives.
class Bf16Products {
 public:
  explicit Bf16Products(const Bf16Loops& loops) : loops_(loops) { loops_.begin(); }
  ~Bf16Products() { loops_.end(); }
  Bf16Products(const Bf16Products&) = delete;
  Bf16Products& operator=(const Bf16Products&) = delete;

 private:
  const FlushDenormals flush_;
  const Bf16Loops& loops_;
};

}  // namespace darkhorse
