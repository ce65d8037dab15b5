// BlockLoops::unpack in plain loops that the compiler vectorises. Included once, in an anonymous
// namespace, after a simd_*.inl and an int_*.inl.

typedef uint64_t __attribute__((may_alias)) Eight;  // bytes
constexpr int kEights = kQ8Tile / 8, kLine = 64 / 8;

template <int kByte>
constexpr uint64_t kAllBytes = 0x0101010101010101u * kByte;

inline void Unpack4(const uint8_t* from, uint8_t* to) {
  const auto* x = reinterpret_cast<const Eight*>(from);
  auto* q = reinterpret_cast<Eight*>(to);
#pragma GCC unroll 8
  for (int line = 0; line < 8; ++line) {
    for (int i = 0; i < kLine; ++i) {
      const uint64_t both = x[line * kLine + i];
      q[2 * line * kLine + i] = both & kAllBytes<15>;
      q[(2 * line + 1) * kLine + i] = both >> 4 & kAllBytes<15>;
    }
  }
}

inline void Unpack5(const uint8_t* from, uint8_t* to) {
  const auto* x = reinterpret_cast<const Eight*>(from);
  const Eight* fifth = x + kEights / 2;
  auto* q = reinterpret_cast<Eight*>(to);
#pragma GCC unroll 8
  for (int line = 0; line < 8; ++line) {
    for (int i = 0; i < kLine; ++i) {
      const uint64_t both = x[line * kLine + i];
      q[2 * line * kLine + i] = (both & kAllBytes<15>) | (fifth[i] >> line & kAllBytes<1>) << 4;
      q[(2 * line + 1) * kLine + i] =
          (both >> 4 & kAllBytes<15>) | (fifth[kLine + i] >> line & kAllBytes<1>) << 4;
    }
  }
}

inline void Unpack6(const uint8_t* from, uint8_t* to) {
  const auto* x = reinterpret_cast<const Eight*>(from);
  const Eight* above = x + kEights / 2;
  auto* q = reinterpret_cast<Eight*>(to);
#pragma GCC unroll 16
  for (int line = 0; line < 16; ++line) {
    for (int i = 0; i < kLine; ++i) {
      const uint64_t low = x[line / 2 * kLine + i] >> line % 2 * 4 & kAllBytes<15>;
      const uint64_t high = above[line % 4 * kLine + i] >> line / 4 * 2 & kAllBytes<3>;
      q[line * kLine + i] = low | high << 4;
    }
  }
}

inline void Unpack8(const uint8_t* from, uint8_t* to) { __builtin_memcpy(to, from, kQ8Tile); }

struct Iq4Nl {
  uint8_t number[16];  // with 128 added
};
constexpr Iq4Nl MakeIq4Nl() {
  Iq4Nl table{};
  for (int i = 0; i < 16; ++i) table.number[i] = static_cast<uint8_t>(kIq4Values[i] + 128);
  return table;
}
constexpr Iq4Nl kIq4Nl = MakeIq4Nl();
inline void UnpackIq4Nl(const uint8_t* from, uint8_t* to) {
  Unpack4(from, to);
  for (int i = 0; i < kQ8Tile; i += 64) LookUp(kIq4Nl.number, to + i);
}

template <int kBits>
inline void UnpackTile(const uint8_t* from, uint8_t* to) {
  static_assert(kBits == 4 || kBits == 5 || kBits == 6 || kBits == 8);
  if constexpr (kBits == 4) Unpack4(from, to);
  if constexpr (kBits == 5) Unpack5(from, to);
  if constexpr (kBits == 6) Unpack6(from, to);
  if constexpr (kBits == 8) Unpack8(from, to);
}

inline void UnpackHalfs(const uint8_t* from, float (*to)[kQuantSide]) {
  const auto* halfs = reinterpret_cast<const F16*>(from);
  Store(to[0], LoadHalfs(halfs));
  Store(to[1], LoadHalfs(halfs + kQuantSide));
}

// Blocks of 64: f16 scales, and minima.
template <int kBits, bool kLeast, bool kTable = false>
void UnpackOf64(const uint8_t* block, Unpacked* to) {
  if constexpr (kTable) {
    UnpackIq4Nl(block, to->q);
  } else {
    UnpackTile<kBits>(block, to->q);
  }
  const uint8_t* halfs = block + kQ8Tile * kBits / 8;
  UnpackHalfs(halfs, to->scale);
  if constexpr (kLeast) UnpackHalfs(halfs + 4 * kQuantSide, to->least);
}

// Blocks of 256: Q4_K and Q5_K.
template <int kBits>
void UnpackOf256(const uint8_t* block, Unpacked* to) {
  constexpr int64_t kTile = kQ8Tile * kBits / 8;
  const uint8_t* s = block + 4 * kTile;
  const uint8_t* t = s + 8 * kQuantSide;
  const auto* halfs = reinterpret_cast<const F16*>(t + 8 * kQuantSide);
  float d[kQuantSide], e[kQuantSide];
  Store(d, LoadHalfs(halfs));
  Store(e, LoadHalfs(halfs + kQuantSide));
  for (int unit = 0; unit < 4; ++unit) {
    UnpackTile<kBits>(block + unit * kTile, to[unit].q);
    for (int g = 0; g < 2; ++g) {
      for (int j = 0; j < kQuantSide; ++j) {
        to[unit].scale[g][j] = d[j] * static_cast<float>(s[(2 * unit + g) * kQuantSide + j]);
        to[unit].least[g][j] = -(e[j] * static_cast<float>(t[(2 * unit + g) * kQuantSide + j]));
      }
    }
  }
}

void UnpackQ6K(const uint8_t* block, Unpacked* to) {
  constexpr int64_t kTile = kQ8Tile * 6 / 8;
  const auto* s = reinterpret_cast<const int8_t*>(block + 4 * kTile);
  float d[kQuantSide];
  Store(d, LoadHalfs(reinterpret_cast<const F16*>(s + 16 * kQuantSide)));
  for (int unit = 0; unit < 4; ++unit) {
    UnpackTile<6>(block + unit * kTile, to[unit].q);
    for (int g = 0; g < 4; ++g) {
      for (int j = 0; j < kQuantSide; ++j)
        to[unit].scale[g][j] = d[j] * static_cast<float>(s[(4 * unit + g) * kQuantSide + j]);
    }
  }
}
