// Sums of products for instruction sets that add them to 32 bits at once. Included by those
// int_*.inl whose Dot does.

// Of bytes below 1 << kBits, line after line; the first begins with start().
template <int kBits>
struct Dots {
  I sum;

  template <typename Start>
  inline void Add(const W& w, const X& x, int line, const Start& start) {
    sum = Dot(line == 0 ? start() : sum, w, x);
  }
};
// Makes the compiler forget what x holds, where products of the same are not computed again.
inline void Forget(X&) {}
// So many lines are added up before their sum has all its bits.
constexpr int LinesAtOnce(int) { return 1; }
// What tells sums of bytes of so many bits apart from others: nothing.
constexpr int SumBits(int) { return 8; }
// What FromLine takes from every byte of so many bits.
constexpr int32_t TakenFrom(int) { return 0; }
