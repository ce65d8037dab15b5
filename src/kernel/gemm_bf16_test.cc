#include "kernel/gemm_bf16.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TestMatrix Plain(uint64_t seed, int64_t rows, int64_t cols, int64_t gap) {
  return TestMatrix::Random(seed, rows, cols, gap);
}

// bf16 has f32's exponents, so magnitudes e^±40 keep away from neither end.
TestMatrix Wild(uint64_t seed, int64_t rows, int64_t cols, int64_t gap) {
  TestMatrix m = TestMatrix::Random(seed, rows, cols, gap);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      m(r, c) *= std::exp(
          20 * static_cast<float>(RandomNormal(seed, RandomStream::kTest, r + 1000, c + 1000)));
    }
  }
  return m;
}

// Which NaN an instruction gives is not defined.
std::vector<float> Defined(std::vector<float> x) {
  for (float& v : x) v = std::isnan(v) ? kNan : v;
  return x;
}

enum class Form { kNT, kNN, kTN };
constexpr const char* kFormNames[] = {"NT", "NN", "TN"};

struct Problem {
  Form form;
  int64_t m, n, k;
  TestMatrix a, b, start;

  bool a_transposed() const { return form == Form::kTN; }
  bool b_transposed() const { return form == Form::kNT; }
  std::string name() const {
    return fmt::format("{} M={} N={} K={}", kFormNames[static_cast<int>(form)], m, n, k);
  }
};

template <typename Make>
Problem MakeProblem(Form form, int64_t m, int64_t n, int64_t k, int64_t gap, const Make& make) {
  const bool a_t = form == Form::kTN, b_t = form == Form::kNT;
  return {form,
          m,
          n,
          k,
          make(uint64_t{1}, a_t ? k : m, a_t ? m : k, gap),
          make(uint64_t{2}, b_t ? n : k, b_t ? k : n, gap),
          make(uint64_t{3}, m, n, gap)};
}

std::vector<float> Expected(const Problem& p, bool accumulate) {
  TestMatrix c = p.start;
  Bf16GemmReference(p.a, p.a_transposed(), p.b, p.b_transposed(), c.view(), accumulate);
  return Defined(c.all());
}

// With operands in f32, or those rounded before that can be.
std::vector<float> Compute(const Problem& p, bool accumulate, bool a_rounded, bool b_rounded) {
  TestMatrix c = p.start;
  std::vector<Bf16> a_tiles(static_cast<size_t>(TilesSize(p.a.rows(), p.a.cols())), Bf16{0x7fff});
  std::vector<Bf16> b_tiles(static_cast<size_t>(TilesSize(p.b.rows(), p.b.cols())), Bf16{0x7fff});
  Bf16Operand a(p.a.view()), b(p.b.view());
  if (a_rounded) {
    RoundRows(p.a.view(), a_tiles.data());
    a = Bf16Operand(p.a.rows(), p.a.cols(), a_tiles.data());
  }
  if (b_rounded) {
    (p.form == Form::kNT   ? RoundForNT
     : p.form == Form::kNN ? RoundForNN
                           : RoundRows)(p.b.view(), b_tiles.data());
    b = Bf16Operand(p.b.rows(), p.b.cols(), b_tiles.data());
  }
  switch (p.form) {
    case Form::kNT:
      Bf16GemmNT(a, b, c.view(), accumulate);
      break;
    case Form::kNN:
      Bf16GemmNN(a, b, c.view(), accumulate);
      break;
    case Form::kTN:
      Bf16GemmTN(p.a.view(), b, c.view(), accumulate);
      break;
  }
  return Defined(c.all());
}

void ExpectDefinition(const Problem& p) {
  for (const bool accumulate : {false, true}) {
    const std::vector<float> expected = Expected(p, accumulate);
    for (const bool a_rounded : {false, true}) {
      for (const bool b_rounded : {false, true}) {
        EXPECT_TRUE(SameBits(Compute(p, accumulate, a_rounded, b_rounded), expected))
            << p.name() << (accumulate ? " accumulated" : "") << (a_rounded ? " A rounded" : "")
            << (b_rounded ? " B rounded" : "");
      }
    }
  }
}

// Around the tiles (16, 32 and 64), the register tiles of every row, the blocks (gemm_bf16.cc: K
// 512, M 256, N 1024; bf16_product.inl: K 256, M 96), and nothing at all.
TEST(Bf16GemmTest, EveryFormIsTheDefinition) {
  struct Shape {
    int64_t m, n, k;
  };
  std::vector<Shape> shapes = {{0, 5, 3},     {5, 0, 3},    {3, 5, 0},     {1, 1, 1},
                               {1, 65, 33},   {16, 64, 32}, {32, 32, 64},  {33, 49, 31},
                               {17, 130, 95}, {48, 16, 40}, {7, 1057, 36}, {270, 20, 70},
                               {5, 34, 1100}, {40, 40, 513}};
  for (int64_t m = 1; m <= 18; ++m) shapes.push_back({m, 1 + (m * 37) % 90, 1 + (m * 23) % 80});
  Everywhere([&] {
    for (const Shape& s : shapes) {
      for (const Form form : {Form::kNT, Form::kNN, Form::kTN}) {
        ExpectDefinition(MakeProblem(form, s.m, s.n, s.k, s.m % 3, Plain));
      }
    }
  });
}

TEST(Bf16GemmTest, AnyMagnitudeIsTheDefinition) {
  Everywhere([&] {
    for (const Form form : {Form::kNT, Form::kNN, Form::kTN})
      ExpectDefinition(MakeProblem(form, 37, 50, 96, 1, Wild));
  });
}

// One element's chain, written out: the sums that would be denormal, and those that stay just
// above.
TEST(Bf16GemmTest, DenormalsAreZero) {
  const float least = std::numeric_limits<float>::min();  // 2^-126
  struct Case {
    std::vector<float> a, b;  // even k only
    float start, expected;
  };
  const float half = std::ldexp(1.0f, -63), tiny = std::ldexp(1.0f, -75);
  const std::vector<Case> cases = {
      {{half}, {half}, 0, least},
      {{half, half}, {half, -half / 2}, 0, 0},             // 2^-127
      {{half, tiny}, {half, -tiny}, 0, 0},                 // 2^-126 - 2^-150, 24 bits: denormal
      {{half, tiny}, {half, -tiny / 2}, 0, least},         // halfway between that and 2^-126: even
      {{least / 2}, {std::ldexp(1.0f, 100)}, 0, 0},        // read
      {{}, {}, least / 2, 0},                              // the old C
      {{1}, {least}, -1.5f * least, -0.0f},                // the new C, and its sign
      {{0x1.fffffcp-127f}, {std::ldexp(1.0f, 100)}, 0, 0}  // would round to 2^-126, but is denormal
  };
  Everywhere([&] {
    for (const Case& c : cases) {
      TestMatrix a(1, 32), b(1, 32), y(1, 1);
      for (size_t i = 0; i < c.a.size(); ++i) {
        a(0, static_cast<int64_t>(2 * i)) = c.a[i];
        b(0, static_cast<int64_t>(2 * i)) = c.b[i];
      }
      y(0, 0) = c.start;
      Bf16GemmNT(a.view(), b.view(), y.view(), true);
      EXPECT_TRUE(SameBits(y.all(), {c.expected})) << y(0, 0) << " for " << c.expected;
    }
  });
}

TEST(Bf16GemmTest, InfinitiesAndNanGoThrough) {
  struct Case {
    float a, b, expected;
  };
  const float large = 3e38f;
  Everywhere([&] {
    for (const Case& c :
         {Case{kInfinity, 1, kInfinity}, Case{kInfinity, 0, kNan}, Case{kNan, 1, kNan},
          Case{1, -kNan, kNan}, Case{large, 2, kInfinity}, Case{large, -2, -kInfinity}}) {
      TestMatrix a(1, 3), b(1, 3), y(1, 1);
      a(0, 1) = c.a;
      b(0, 1) = c.b;
      Bf16GemmNT(a.view(), b.view(), y.view());
      EXPECT_TRUE(SameBits(Defined(y.all()), {c.expected})) << c.a << " . " << c.b;
    }
  });
}

// Against the sums in double: each product of bf16 is exact, and the chains add at most K + 3
// roundings of magnitudes below the sum of |a b|.
TEST(Bf16GemmTest, IsTheProductOfRoundedOperands) {
  const Problem p = MakeProblem(Form::kNT, 5, 7, 300, 0, Plain);
  const std::vector<float> c = Compute(p, false, false, false);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < p.k; ++k) {
        const double product = static_cast<double>(ToFloat(RoundToBf16(p.a(i, k)))) *
                               static_cast<double>(ToFloat(RoundToBf16(p.b(j, k))));
        sum += product;
        magnitude += std::fabs(product);
      }
      EXPECT_NEAR(c[static_cast<size_t>(i * p.n + j)], sum,
                  static_cast<double>(p.k + 3) * kUnit * magnitude);
    }
  }
}

TEST(Bf16Test, RoundsToTheNearestEven) {
  const auto rounded = [](float x) { return ToFloat(RoundToBf16(x)); };
  EXPECT_EQ(rounded(1.0f), 1.0f);
  EXPECT_EQ(rounded(1 + 0x1p-8f), 1.0f);            // halfway: even
  EXPECT_EQ(rounded(1 + 0x3p-8f), 1 + 0x1p-6f);     // halfway: even
  EXPECT_EQ(rounded(1 + 0x1.02p-8f), 1 + 0x1p-7f);  // above halfway
  EXPECT_EQ(rounded(-1 - 0x1.02p-8f), -1 - 0x1p-7f);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_EQ(rounded(0x1.feffp127f), 0x1.fep127f);
  EXPECT_EQ(rounded(-kInfinity), -kInfinity);
  EXPECT_TRUE(std::isnan(rounded(kNan)));
  const uint32_t barely = 0x7f800001;  // a NaN whose upper half is that of infinity
  float x;
  std::memcpy(&x, &barely, sizeof(x));
  EXPECT_TRUE(std::isnan(rounded(x)));
  EXPECT_TRUE(SameBits({rounded(-0x1p-127f)}, {-0.0f}));
  EXPECT_TRUE(SameBits({rounded(0x1.fffffcp-127f)}, {0.0f}));
  EXPECT_EQ(rounded(0x1p-126f), 0x1p-126f);
}

}  // namespace
}  // namespace darkhorse
