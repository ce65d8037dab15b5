// Sums of products for instruction sets that add them to 32 bits at once. Included by those
// int_*.inl whose Dot does; the others define the same.

// What FromLine takes from every byte of so many bits.
constexpr int32_t TakenFrom(int) { return 0; }
// Of what bytes Dots adds up those of so many bits: all alike.
constexpr int SumBits(int) { return 8; }

// The products of bytes below 1 << kBits, line after line from 0 on, which begins with start().
template <int kBits>
struct Dots {
  I sum;

  template <typename Start>
  inline void Add(const W& w, const X& x, int line, const Start& start) {
    sum = Dot(line == 0 ? start() : sum, w, x);
  }
};
