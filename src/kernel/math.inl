// Elementary functions on sixteen lanes. After simd_*.inl, inside the same anonymous namespace.

// e^x, within 2 ulp. Cody & Waite (1980): x = k ln 2 + r with ln 2 in two parts, a polynomial on
// |r| <= ln 2 / 2 (the coefficients of Cephes' expf), scaled by 2^k. Overflow gives inf, NaN stays
// NaN. Results below 2^-125.5 (x < -86.99) are zero rather than subnormal: on some processors
// subnormals are a hundred times slower, and no sum here can see them.
inline V Exp(V x) {
  // NaN passes through Max and Min, which return their second operand where either is NaN. Clamped,
  // k is in [-126, 128].
  x = Min(Set1(89.0f), Max(Set1(-87.5f), x));
  const V round = Set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const V k = Sub(Fma(x, Set1(1.44269504f), round), round);
  const V r = Fma(k, Set1(2.12194440e-4f), Fma(k, Set1(-0.693359375f), x));
  V p = Set1(1.9875691500e-4f);
  p = Fma(p, r, Set1(1.3981999507e-3f));
  p = Fma(p, r, Set1(8.3334519073e-3f));
  p = Fma(p, r, Set1(4.1665795894e-2f));
  p = Fma(p, r, Set1(1.6666665459e-1f));
  p = Fma(p, r, Set1(5.0000001201e-1f));
  p = Add(Fma(p, Mul(r, r), r), Set1(1.0f));
  // 2p * 2^(k-1): 2^128 alone is not a float, and 2^-127 comes out of Pow2 as zero.
  return Mul(Add(p, p), Pow2(Sub(k, Set1(1.0f))));
}

// 1 / (1 + e^-x).
inline V Sigmoid(V x) {
  const V one = Set1(1.0f);
  return Div(one, Add(one, Exp(Sub(Zero(), x))));
}
