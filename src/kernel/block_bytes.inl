// What the blocks of kernel/block_loops.h hold, of each format: lines of 64 integers and scales.
// Included once, in an anonymous namespace, after a simd_*.inl and an int_*.inl.

constexpr uint64_t kEveryByte = 0x0101010101010101;

// Line i of the 16 of a tile: unsigned bytes.
template <int kBits>
inline Line LineAt(const uint8_t* tile, int i) {
  const auto* x = reinterpret_cast<const Line*>(tile);
  if constexpr (kBits == 8) {
    return x[i];
  } else {
    Line low = x[i / 2] >> i % 2 * 4 & 15 * kEveryByte;
    // What is above, moved to bit 4.
    const auto above = [](Line line, int bit) {
      return bit < 4 ? line << (4 - bit) : line >> (bit - 4);
    };
    if constexpr (kBits == 5) low |= above(x[8 + i % 2], i / 2) & 16 * kEveryByte;
    if constexpr (kBits == 6) low |= above(x[8 + i % 4], i / 4 * 2) & 48 * kEveryByte;
    return low;
  }
}

// Each format's lines hold bytes of kLineBits significant bits: q + kOffset.

// Blocks of 64 with f16 scales, and minima.
template <int kBits, int32_t kOffsetHere, bool kHasLeast>
struct Block64 {
  static constexpr int kUnits = 1, kGroups = 2, kLineBits = kBits;
  static constexpr int32_t kOffset = kOffsetHere;
  static constexpr bool kLeast = kHasLeast;
  static constexpr int64_t kTile = kQ8Tile * kBits / 8;
  static constexpr int64_t kBytes = kTile + (kLeast ? 4 : 2) * 2 * kQuantSide;

  const uint8_t* block;
  Line At(int64_t, int i) const { return LineAt<kBits>(block, i); }
  V Halfs(int i) const {
    return LoadHalfs(reinterpret_cast<const F16*>(block + kTile) + i * kQuantSide);
  }
  V Scale(int64_t, int g) const { return Halfs(g); }
  V Least(int64_t, int g) const { return Halfs(2 + g); }
};

struct Iq4Nl {
  uint8_t number[16];  // with 128 added
};
constexpr Iq4Nl MakeIq4Nl() {
  Iq4Nl table{};
  for (int i = 0; i < 16; ++i) table.number[i] = static_cast<uint8_t>(kIq4Values[i] + 128);
  return table;
}
constexpr Iq4Nl kIq4Nl = MakeIq4Nl();

struct BlockIq4Nl : Block64<4, 128, false> {
  static constexpr int kLineBits = 8;
  Line At(int64_t, int i) const { return LookUp(kIq4Nl.number, LineAt<4>(block, i)); }
};

// Q4_K and Q5_K.
template <int kBits>
struct Block256 {
  static constexpr int kUnits = 4, kGroups = 2, kLineBits = kBits;
  static constexpr int32_t kOffset = 0;
  static constexpr bool kLeast = true;
  static constexpr int64_t kTile = kQ8Tile * kBits / 8;
  static constexpr int64_t kBytes = 4 * kTile + (16 + 2 * 2) * kQuantSide;

  const uint8_t* block;
  Line At(int64_t unit, int i) const { return LineAt<kBits>(block + unit * kTile, i); }
  const uint8_t* Bytes(int64_t i) const { return block + 4 * kTile + i * kQuantSide; }
  V Halfs(int i) const {
    return LoadHalfs(reinterpret_cast<const F16*>(Bytes(16)) + i * kQuantSide);
  }
  V Scale(int64_t unit, int g) const { return Mul(Halfs(0), FloatsOfBytes(Bytes(2 * unit + g))); }
  V Least(int64_t unit, int g) const {
    return Sub(Set1(-0.0f), Mul(Halfs(1), FloatsOfBytes(Bytes(8 + 2 * unit + g))));
  }
};

struct BlockQ6K {
  static constexpr int kUnits = 4, kGroups = 4, kLineBits = 6;
  static constexpr int32_t kOffset = 32;
  static constexpr bool kLeast = false;
  static constexpr int64_t kTile = kQ8Tile * 6 / 8;
  static constexpr int64_t kBytes = 4 * kTile + (16 + 2 * 2) * kQuantSide;

  const uint8_t* block;
  Line At(int64_t unit, int i) const { return LineAt<6>(block + unit * kTile, i); }
  const uint8_t* Bytes(int64_t i) const { return block + 4 * kTile + i * kQuantSide; }
  V Scale(int64_t unit, int g) const {
    return Mul(LoadHalfs(reinterpret_cast<const F16*>(Bytes(16))),
               FloatsOfSigned(Bytes(4 * unit + g)));
  }
  V Least(int64_t, int) const { return Zero(); }
};

// All that the others hold, as bytes and f32.
template <int kGroupsHere, bool kHasLeast, int kBits>
struct BlockBytes {
  static constexpr int kGroups = kGroupsHere, kLineBits = kBits;
  static constexpr bool kLeast = kHasLeast;

  const Unpacked* units;
  Line At(int64_t unit, int i) const { return LineAt<8>(units[unit].q, i); }
  V Scale(int64_t unit, int g) const { return Load(units[unit].scale[g]); }
  V Least(int64_t unit, int g) const { return Load(units[unit].least[g]); }
};

template <typename Block>
void UnpackBlock(const uint8_t* from, Unpacked* to) {
  const Block block = {from};
  for (int unit = 0; unit < Block::kUnits; ++unit) {
    auto* lines = reinterpret_cast<Line*>(to[unit].q);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) lines[i] = block.At(unit, i);
#pragma GCC unroll 4
    for (int g = 0; g < Block::kGroups; ++g) {
      Store(to[unit].scale[g], block.Scale(unit, g));
      if constexpr (Block::kLeast) Store(to[unit].least[g], block.Least(unit, g));
    }
  }
}
