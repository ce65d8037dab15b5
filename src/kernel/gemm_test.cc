#include "kernel/gemm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

// Uniform in [-1, 1).
TestMatrix RandomMatrix(int64_t rows, int64_t cols, int64_t gap, uint64_t seed) {
  TestMatrix m(rows, cols, gap);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c)
      m(r, c) = static_cast<float>(2 * RandomUniform(seed, RandomStream::kTest, r, c) - 1);
  }
  return m;
}

struct Shape {
  int64_t m, n, k;
};

std::string Name(const Shape& s) { return fmt::format("M={} N={} K={}", s.m, s.n, s.k); }

// Around the tiles (4 and 6 rows; 16, 32 and 64 columns), the blocks (gemm.cc: K 512, M 96, N
// 1024), B packed in parts of 512 and of 1024 (2^17 floats), A packed for its stride (1024, with
// 128 columns) and the few-rows path.
std::vector<Shape> Shapes() {
  std::vector<Shape> shapes = {{0, 5, 3},      {5, 0, 3},       {3, 5, 0},       {1, 1, 1},
                               {1, 2, 300},    {13, 17, 19},    {7, 15, 257},    {8, 33, 256},
                               {5, 64, 513},   {191, 31, 29},   {193, 47, 5},    {397, 18, 7},
                               {2, 1025, 3},   {3, 2060, 2},    {97, 101, 103},  {64, 96, 640},
                               {3, 512, 1600}, {5, 1024, 1030}, {14, 130, 1100}, {9, 100, 1600}};
  for (int64_t m = 1; m <= 26; ++m) shapes.push_back({m, 1 + (m * 37) % 150, 1 + (m * 11) % 40});
  return shapes;
}

enum class Form { kNT, kNN, kTN, kPacked };

void RunForm(Form form, ConstMatrix a, ConstMatrix b, Matrix c, bool accumulate) {
  switch (form) {
    case Form::kNT:
      return GemmNT(a, b, c, accumulate);
    case Form::kNN:
      return GemmNN(a, b, c, accumulate);
    case Form::kTN:
      return GemmTN(a, b, c, accumulate);
    case Form::kPacked: {
      std::vector<float> packed(static_cast<size_t>(PackedSize(b.rows, b.cols)), NAN);
      PackNT(b, packed.data());
      return GemmPacked(a, packed.data(), c, accumulate);
    }
  }
}

void CheckForm(Form form, const Shape& s, int64_t slack, bool accumulate, const TestMatrix& a,
               const TestMatrix& b, const TestMatrix& start, const TestMatrix& expected) {
  TestMatrix c = start;
  RunForm(form, a.view(), b.view(), c.view(), accumulate);
  EXPECT_TRUE(SameBits(c.all(), expected.all()))
      << Name(s) << " form " << static_cast<int>(form) << " slack " << slack << " accumulate "
      << accumulate;
}

TEST(GemmTest, EveryFormIsTheChain) {
  for (const Form form : {Form::kNT, Form::kNN, Form::kTN, Form::kPacked}) {
    uint64_t seed = 0;
    for (const Shape& s : Shapes()) {
      const bool accumulate = ++seed % 2 == 0;
      const int64_t slack = seed % 3 == 0 ? 0 : static_cast<int64_t>(seed % 7);
      const bool a_t = form == Form::kTN;
      const bool b_t = form == Form::kNT || form == Form::kPacked;
      const TestMatrix a = RandomMatrix(a_t ? s.k : s.m, a_t ? s.m : s.k, slack, seed);
      const TestMatrix b = RandomMatrix(b_t ? s.n : s.k, b_t ? s.k : s.n, slack, seed + 1000);
      const TestMatrix start = RandomMatrix(s.m, s.n, slack, seed + 2000);
      for (const bool add : {accumulate, !accumulate}) {
        TestMatrix expected = start;
        GemmReference(a.view(), a_t, b.view(), b_t, expected.view(), add);
        Everywhere([&] { CheckForm(form, s, slack, add, a, b, start, expected); });
      }
    }
  }
}

TEST(GemmTest, SyrkIsTheProductWithItself) {
  uint64_t seed = 100;
  for (const int64_t m : {0, 1, 2, 15, 16, 17, 47, 48, 49, 63, 64, 100, 200, 1030}) {
    for (const int64_t k : {0, 1, 7, 64, 530}) {
      const TestMatrix a = RandomMatrix(m, k, 3, ++seed);
      const TestMatrix start = RandomMatrix(m, m, 5, ++seed);
      TestMatrix expected = start;
      GemmNT(a.view(), a.view(), expected.view());
      for (const KernelRow* row : SupportedKernels()) {
        SelectKernels(*row);
        TestMatrix c = start;
        Syrk(a.view(), c.view());
        EXPECT_TRUE(SameBits(c.all(), expected.all())) << row->name << " M=" << m << " K=" << k;
      }
    }
  }
}

TEST(GemmTest, ReferenceIsOneFmaChain) {
  // 1 + 2^-12 squared needs 25 bits: a product rounded before its sum would lose the last one.
  const float x = 1.0f + 0x1p-12f;
  const float a[2] = {x, x};
  const float b[2] = {x, -1.0f};
  float c = 0;
  GemmReference({a, 1, 2}, false, {b, 1, 2}, true, {&c, 1, 1}, false);
  EXPECT_EQ(c, std::fma(x, -1.0f, std::fma(x, x, 0.0f)));
  const float d[2] = {-(x * x), x};
  const float e[2] = {1.0f, x};
  GemmReference({d, 1, 2}, false, {e, 1, 2}, true, {&c, 1, 1}, false);
  EXPECT_EQ(c, 0x1p-24f);  // the exact square less the rounded one: fused
}

TEST(GemmTest, RowDoesNotDependOnItsBatch) {
  const TestMatrix a = RandomMatrix(61, 300, 0, 1);
  const TestMatrix w = RandomMatrix(70, 300, 0, 2);
  std::vector<float> packed(static_cast<size_t>(PackedSize(70, 300)));
  Everywhere([&] {
    PackNT(w.view(), packed.data());
    TestMatrix whole = RandomMatrix(61, 70, 0, 3);
    GemmNT(a.view(), w.view(), whole.view());
    for (const int64_t batch : {1, 2, 5, 8, 13}) {
      TestMatrix parts = RandomMatrix(61, 70, 0, 4);
      for (int64_t row = 0; row < 61; row += batch) {
        const int64_t rows = std::min<int64_t>(batch, 61 - row);
        GemmPacked(a.view().Rows(row, rows), packed.data(), parts.view().Rows(row, rows));
      }
      EXPECT_TRUE(SameBits(parts.all(), whole.all())) << batch;
    }
  });
}

TEST(GemmTest, InsideAParallelRegionGivesTheSame) {
  const TestMatrix a = RandomMatrix(80, 130, 0, 1);
  const TestMatrix b = RandomMatrix(90, 130, 0, 2);
  TestMatrix expected = RandomMatrix(80, 90, 0, 3);
  GemmReference(a.view(), false, b.view(), true, expected.view(), false);
  Everywhere([&] {
    std::vector<TestMatrix> c(3, TestMatrix(80, 90, 0, 4));
    ParallelFor(3,
                [&](int64_t i) { GemmNT(a.view(), b.view(), c[static_cast<size_t>(i)].view()); });
    for (const TestMatrix& x : c) EXPECT_TRUE(SameBits(x.all(), expected.all()));
  });
}

TEST(GemmTest, NonFinitePropagates) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Everywhere([&] {
    TestMatrix a = RandomMatrix(9, 20, 0, 1);
    TestMatrix b = RandomMatrix(37, 20, 0, 2);
    a.view()(2, 3) = NAN;
    a.view()(4, 5) = kInf;
    b.view()(36, 7) = -kInf;
    for (const Form form : {Form::kNT, Form::kPacked}) {
      TestMatrix c = RandomMatrix(9, 37, 0, 3);
      RunForm(form, a.view(), b.view(), c.view(), false);
      for (int64_t i = 0; i < 9; ++i) {
        for (int64_t j = 0; j < 37; ++j) {
          const float x = c.view()(i, j);
          if (i == 2) {
            EXPECT_TRUE(std::isnan(x)) << i << " " << j;
          } else if (i == 4 || j == 36) {
            EXPECT_FALSE(std::isfinite(x)) << i << " " << j;
          } else {
            EXPECT_TRUE(std::isfinite(x)) << i << " " << j;
          }
        }
      }
    }
  });
}

// Groups of 0, 1, many rows, and more than one work item holds.
std::vector<int64_t> GroupBorders() { return {0, 0, 1, 8, 8, 60, 61, 1100, 1100}; }

TEST(GemmTest, GroupedGemmNTIsOneProductPerGroup) {
  const std::vector<int64_t> begin = GroupBorders();
  for (const int64_t n : {133, 700}) {  // narrower and wider than one item
    const int64_t k = 21;
    const TestMatrix x = RandomMatrix(begin.back(), k, 3, 1);
    std::vector<TestMatrix> w;
    std::vector<std::vector<float>> packed(begin.size() - 1);
    for (size_t g = 0; g + 1 < begin.size(); ++g) w.push_back(RandomMatrix(n, k, 2, 10 + g));
    TestMatrix expected = RandomMatrix(begin.back(), n, 1, 2);
    const TestMatrix start = expected;
    for (size_t g = 0; g + 1 < begin.size(); ++g) {
      const int64_t rows = begin[g + 1] - begin[g];
      GemmReference(x.view().Rows(begin[g], rows), false, w[g].view(), true,
                    expected.view().Rows(begin[g], rows), false);
    }
    Everywhere([&] {
      std::vector<Weight> weights;
      for (size_t g = 0; g < w.size(); ++g) {
        weights.push_back({w[g].view()});
        if (g % 2 == 0) continue;  // some packed, some not
        packed[g].assign(static_cast<size_t>(PackedSize(n, k)), NAN);
        PackNT(w[g].view(), packed[g].data());
        weights.back().forward = packed[g].data();
      }
      TestMatrix c = start;
      GroupedGemmNT(x.view(), begin, weights, c.view());
      EXPECT_TRUE(SameBits(c.all(), expected.all()));
    });
  }
}

TEST(GemmTest, GroupedGemmNNIsOneProductPerGroup) {
  const std::vector<int64_t> begin = GroupBorders();
  for (const int64_t k : {133, 700}) {
    const int64_t n = 21;
    const TestMatrix x = RandomMatrix(begin.back(), n, 3, 1);
    std::vector<TestMatrix> w;
    std::vector<Weight> weights;
    for (size_t g = 0; g + 1 < begin.size(); ++g) w.push_back(RandomMatrix(n, k, 2, 10 + g));
    for (TestMatrix& matrix : w) weights.push_back({matrix.view()});
    const TestMatrix start = RandomMatrix(begin.back(), k, 1, 2);
    for (const bool accumulate : {false, true}) {
      TestMatrix expected = start;
      for (size_t g = 0; g < w.size(); ++g) {
        const int64_t rows = begin[g + 1] - begin[g];
        GemmReference(x.view().Rows(begin[g], rows), false, w[g].view(), false,
                      expected.view().Rows(begin[g], rows), accumulate);
      }
      Everywhere([&] {
        TestMatrix c = start;
        GroupedGemmNN(x.view(), begin, weights, c.view(), accumulate);
        EXPECT_TRUE(SameBits(c.all(), expected.all()));
      });
    }
  }
}

TEST(GemmTest, GroupedGemmTNAccumulatesEachGroup) {
  const std::vector<int64_t> begin = GroupBorders();
  constexpr size_t kUnwanted = 4;  // a group of many rows
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{13, 35}, {1030, 3}, {5, 700}}) {
    const TestMatrix dy = RandomMatrix(begin.back(), n, 3, 1);
    const TestMatrix x = RandomMatrix(begin.back(), k, 1, 2);
    std::vector<TestMatrix> start;
    for (size_t g = 0; g + 1 < begin.size(); ++g) start.push_back(RandomMatrix(n, k, 2, 10 + g));
    std::vector<TestMatrix> expected = start;
    for (size_t g = 0; g < start.size(); ++g) {
      const int64_t rows = begin[g + 1] - begin[g];
      GemmReference(dy.view().Rows(begin[g], rows), true, x.view().Rows(begin[g], rows), false,
                    expected[g].view(), true);
    }
    expected[kUnwanted] = start[kUnwanted];
    Everywhere([&] {
      std::vector<TestMatrix> grads = start;
      std::vector<Matrix> dw;
      for (TestMatrix& matrix : grads) dw.push_back(matrix.view());
      dw[kUnwanted] = Matrix();
      GroupedGemmTN(dy.view(), x.view(), begin, dw);
      for (size_t g = 0; g < grads.size(); ++g)
        EXPECT_TRUE(SameBits(grads[g].all(), expected[g].all())) << g;
    });
  }
}

// A buffer for packed matrices that sees what is written beyond its end.
class Guarded {
 public:
  explicit Guarded(int64_t floats) : floats_(static_cast<size_t>(floats)) {
    data_.assign(floats_, NAN);
    data_.resize(floats_ + 64, kGuard);
  }
  float* data() { return data_.data(); }
  float operator[](int64_t i) const { return data_[static_cast<size_t>(i)]; }
  bool intact() const {
    return std::all_of(data_.begin() + static_cast<int64_t>(floats_), data_.end(),
                       [](float x) { return x == kGuard; });
  }

 private:
  static constexpr float kGuard = 12345;
  size_t floats_;
  std::vector<float> data_;
};

// The table's loops, alone: what is packed is where gemm_loops.h says, and zero beyond the edges;
// nothing else is written.
TEST(GemmTest, PackingFollowsTheLayout) {
  for (const KernelRow* row : SupportedKernels()) {
    SCOPED_TRACE(row->name);
    const GemmLoops& loops = row->gemm;
    const int64_t tile = loops.tile_rows;
    for (const int64_t k : {1, 2, 7, 8, 9, 31}) {
      for (int64_t rows = 1; rows <= 40; ++rows) {
        const TestMatrix plain = RandomMatrix(rows, k, 3, 1);
        const TestMatrix transposed = RandomMatrix(k, rows, 5, 2);
        const auto check = [&](const char* what, auto pack, const TestMatrix& from,
                               bool is_transposed, int64_t width) {
          Guarded packed((rows + width - 1) / width * width * k);
          pack(from.view(), packed.data());
          EXPECT_TRUE(packed.intact()) << what << " of " << rows << " x " << k;
          for (int64_t i = 0; i < (rows + width - 1) / width * width; ++i) {
            for (int64_t j = 0; j < k; ++j) {
              const float expected = i >= rows       ? 0
                                     : is_transposed ? from.view()(j, i)
                                                     : from.view()(i, j);
              ASSERT_EQ(packed[i / width * width * k + j * width + i % width], expected)
                  << what << " of " << rows << " x " << k << " at " << i << ", " << j;
            }
          }
        };
        check(
            "pack_slivers",
            [&](ConstMatrix m, float* to) { loops.pack_slivers(m.data, m.stride, rows, k, to); },
            plain, false, tile);
        check(
            "pack_slivers_t",
            [&](ConstMatrix m, float* to) { loops.pack_slivers_t(m.data, m.stride, rows, k, to); },
            transposed, true, tile);
        check(
            "pack_panels_nt",
            [&](ConstMatrix m, float* to) {
              loops.pack_panels_nt(m.data, m.stride, rows, k, to, k * kPanel);
            },
            plain, false, kPanel);
        check(
            "pack_panels_nn",
            [&](ConstMatrix m, float* to) {
              loops.pack_panels_nn(m.data, m.stride, rows, k, to, k * kPanel);
            },
            transposed, true, kPanel);
      }
    }
  }
}

TEST(GemmTest, LoopsAreTheChain) {
  for (const KernelRow* row : SupportedKernels()) {
    SCOPED_TRACE(row->name);
    const GemmLoops& loops = row->gemm;
    for (const Shape& s : Shapes()) {
      if (s.m * s.n * s.k > 200000) continue;
      const TestMatrix a = RandomMatrix(s.m, s.k, 2, 1);
      const TestMatrix b = RandomMatrix(s.k, s.n, 3, 2);
      const TestMatrix start = RandomMatrix(s.m, s.n, 1, 3);
      for (const bool accumulate : {false, true}) {
        TestMatrix expected = start;
        GemmReference(a.view(), false, b.view(), false, expected.view(), accumulate);
        const int64_t tile = loops.tile_rows;
        Guarded slivers((s.m + tile - 1) / tile * tile * s.k);
        Guarded panels(PackedSize(s.n, s.k));
        loops.pack_slivers(a.view().data, a.view().stride, s.m, s.k, slivers.data());
        loops.pack_panels_nn(b.view().data, b.view().stride, s.n, s.k, panels.data(), s.k * kPanel);
        TestMatrix c = start;
        loops.sliver_product(slivers.data(), s.m, panels.data(), s.k * kPanel, s.n, s.k,
                             c.view().data, c.view().stride, accumulate);
        EXPECT_TRUE(SameBits(c.all(), expected.all())) << "sliver_product " << Name(s);
        TestMatrix d = start;
        loops.panel_product(a.view().data, a.view().stride, s.m, panels.data(), s.k * kPanel, s.n,
                            s.k, d.view().data, d.view().stride, accumulate);
        EXPECT_TRUE(SameBits(d.all(), expected.all())) << "panel_product " << Name(s);
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
