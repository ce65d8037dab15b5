// Sums of products of integers in sixteen lanes, as plain loops: the definition that the vector
// forms must match bit for bit. Included once, in an anonymous namespace, after simd_scalar.inl and
// kernel/quant_loops.h. What the products repeat most is not inlined, here and in simd_scalar.inl:
// with every loop unrolled into every tile this row alone took minutes to compile.
//
// A weight vector W holds four numbers for each of 16 columns, an activation vector X four numbers
// of one row. kSignedOffset is what LoadSigned adds to each number (for instructions that want one
// unsigned operand).

constexpr int32_t kSignedOffset = 0;

struct I {
  int32_t lane[16];
};
struct W {
  int32_t number[64];
};
struct X {
  int32_t number[4];
};

inline I IntSet1(int32_t x) {
  I r;
  for (int i = 0; i < 16; ++i) r.lane[i] = x;
  return r;
}
// 64 bytes. Those of 0 ... 15 become a table's.
typedef uint64_t Line __attribute__((vector_size(64), may_alias));
[[gnu::noinline]] Line LookUp(const uint8_t* table, Line index) {
  uint8_t bytes[64];
  __builtin_memcpy(bytes, &index, sizeof(bytes));
  for (int i = 0; i < 64; ++i) bytes[i] = table[bytes[i]];
  __builtin_memcpy(&index, bytes, sizeof(bytes));
  return index;
}
// 64 bytes of q8; of block formats, as they are; the low and the high halves of 64 bytes of q4.
inline W LoadSigned(const uint8_t* p) {
  W w;
  for (int i = 0; i < 64; ++i) w.number[i] = static_cast<int8_t>(p[i]);
  return w;
}
template <int kBits>
[[gnu::noinline]] W FromLine(const Line& line) {
  uint8_t bytes[64];
  __builtin_memcpy(bytes, &line, sizeof(bytes));
  W w;
  for (int i = 0; i < 64; ++i) w.number[i] = bytes[i];
  return w;
}
inline void LoadNibbles(const uint8_t* p, W* low, W* high) {
  for (int i = 0; i < 64; ++i) {
    low->number[i] = p[i] & 15;
    high->number[i] = p[i] >> 4;
  }
}
inline X LoadFour(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
// sum[j] + the products of column j.
[[gnu::noinline]] I Dot(I sum, const W& w, const X& x) {
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 4; ++k) sum.lane[i] += w.number[4 * i + k] * x.number[k];
  }
  return sum;
}
#include "kernel/int_sums.inl"
// The probe's products must not be computed once for all rounds.
inline void Forget(X& x) { asm volatile("" : "+m"(x)); }
[[gnu::noinline]] V ToFloats(I a) {
  V r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<float>(a.lane[i]);
  return r;
}
inline V FloatsOfBytes(const uint8_t* p) {
  V r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<float>(p[i]);
  return r;
}
inline V FloatsOfSigned(const uint8_t* p) {
  V r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<float>(static_cast<int8_t>(p[i]));
  return r;
}
// Integers from -128 to 127.
inline void StoreBytes(int8_t* p, V x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.lane[i]);
}
[[gnu::noinline]] V LoadHalfs(const F16* p) {
  V r;
  for (int i = 0; i < 16; ++i) r.lane[i] = ToFloat(p[i]);
  return r;
}
