// Sixteen float lanes as plain loops: the definition that the AVX2 and AVX-512 forms must match bit
// for bit. Every lane operation is one IEEE operation, so all three give the same bits. Included
// once, inside an anonymous namespace of a per-instruction-set file; needs <cmath>, <cstdint> and
// <cstring> before it.

struct V {
  float lane[16];
};

#define DH_LANES for (int i = 0; i < 16; ++i)
inline V Zero() { return V{}; }
inline V Set1(float x) {
  V r;
  DH_LANES r.lane[i] = x;
  return r;
}
inline V Load(const float* p) {
  V r;
  DH_LANES r.lane[i] = p[i];
  return r;
}
inline void Store(float* p, V x) { DH_LANES p[i] = x.lane[i]; }
// The first n lanes (0 <= n <= 16); the others read as zero, and are not written.
inline V LoadN(const float* p, int n) {
  V r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
inline void StoreN(float* p, V x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x.lane[i];
}
// The first and the second of sixteen pairs of bf16, widened.
inline V LoadEven(const void* p) {
  uint32_t pairs[16];
  __builtin_memcpy(pairs, p, sizeof(pairs));
  DH_LANES pairs[i] <<= 16;
  V r;
  __builtin_memcpy(&r, pairs, sizeof(pairs));
  return r;
}
inline V LoadOdd(const void* p) {
  uint32_t pairs[16];
  __builtin_memcpy(pairs, p, sizeof(pairs));
  DH_LANES pairs[i] &= 0xffff0000;
  V r;
  __builtin_memcpy(&r, pairs, sizeof(pairs));
  return r;
}
// Sixteen lanes rounded as RoundToBf16 does.
inline void StoreBf16(void* p, V x) {
  uint32_t bits[16];
  uint16_t rounded[16];
  __builtin_memcpy(bits, &x, sizeof(bits));
  DH_LANES {
    const uint32_t magnitude = bits[i] & 0x7fffffff;
    const uint32_t nearest = (bits[i] + 0x7fff + (bits[i] >> 16 & 1)) >> 16;
    const uint32_t flushed = magnitude < 0x00800000 ? bits[i] >> 16 & 0x8000 : nearest;
    rounded[i] = static_cast<uint16_t>(magnitude > 0x7f800000 ? bits[i] >> 16 | 0x40 : flushed);
  }
  __builtin_memcpy(p, rounded, sizeof(rounded));
}
[[gnu::noinline]] V Fma(V a, V b, V c) {
  V r;
  DH_LANES r.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
  return r;
}
#define DH_LANEWISE(Name, expression) \
  inline V Name(V a, V b) {           \
    V r;                              \
    DH_LANES {                        \
      const float x = a.lane[i];      \
      const float y = b.lane[i];      \
      r.lane[i] = expression;         \
    }                                 \
    return r;                         \
  }
DH_LANEWISE(Add, x + y)
DH_LANEWISE(Sub, x - y)
DH_LANEWISE(Mul, x* y)
DH_LANEWISE(Div, x / y)
// As the x86 instructions: the second operand where either is NaN or both are zero.
DH_LANEWISE(Max, x > y ? x : y)
DH_LANEWISE(Min, x < y ? x : y)
#undef DH_LANEWISE
inline V Sqrt(V a) {
  V r;
  DH_LANES r.lane[i] = __builtin_sqrtf(a.lane[i]);
  return r;
}
// a where x < y, else b (b where unordered).
inline V SelectLess(V x, V y, V a, V b) {
  V r;
  DH_LANES r.lane[i] = x.lane[i] < y.lane[i] ? a.lane[i] : b.lane[i];
  return r;
}
// Of each pair of lanes (2i, 2i+1): exchanged; the first twice; the second twice.
inline V SwapPairs(V a) {
  V r;
  DH_LANES r.lane[i] = a.lane[i ^ 1];
  return r;
}
inline V FirstOfPairs(V a) {
  V r;
  DH_LANES r.lane[i] = a.lane[i & ~1];
  return r;
}
inline V SecondOfPairs(V a) {
  V r;
  DH_LANES r.lane[i] = a.lane[i | 1];
  return r;
}
// 2^k for integral k in [-126, 127], built in the exponent bits.
inline V Pow2(V k) {
  V r;
  DH_LANES {
    const int32_t bits = (static_cast<int32_t>(k.lane[i]) + 127) << 23;
    __builtin_memcpy(&r.lane[i], &bits, 4);
  }
  return r;
}
// Fixed tree: lanes 0-7 with 8-15, then 4 apart, 2 apart, 1 apart.
inline float ReduceAdd(V a) {
  float t[8];
  for (int i = 0; i < 8; ++i) t[i] = a.lane[i] + a.lane[i + 8];
  for (int i = 0; i < 4; ++i) t[i] = t[i] + t[i + 4];
  for (int i = 0; i < 2; ++i) t[i] = t[i] + t[i + 2];
  return t[0] + t[1];
}
inline float ReduceMax(V a) {
  float t[8];
  for (int i = 0; i < 8; ++i) t[i] = a.lane[i] > a.lane[i + 8] ? a.lane[i] : a.lane[i + 8];
  for (int i = 0; i < 4; ++i) t[i] = t[i] > t[i + 4] ? t[i] : t[i + 4];
  for (int i = 0; i < 2; ++i) t[i] = t[i] > t[i + 2] ? t[i] : t[i + 2];
  return t[0] > t[1] ? t[0] : t[1];
}
#undef DH_LANES

// out[j*out_stride + i] = in[i*stride + j] for i, j < 8, written in the order of j (PackSlivers
// writes rows that overlap).
inline void Transpose8(const float* in, int64_t stride, float* out, int64_t out_stride) {
  for (int j = 0; j < 8; ++j) {
    for (int i = 0; i < 8; ++i) out[j * out_stride + i] = in[i * stride + j];
  }
}
