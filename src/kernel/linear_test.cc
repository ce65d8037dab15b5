// Linear layers of every format against the products that define them.
#include "kernel/linear.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/buffer.h"
#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

constexpr int64_t kRows = 37, kIn = 50, kOut = 70;
const std::vector<int64_t> kGroups = {0, 5, 5, 21, 37};  // one of them empty

void Define(Format format, ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed,
            Matrix c, bool accumulate) {
  (format == Format::kF32 ? GemmReference : Bf16GemmReference)(a, a_transposed, b, b_transposed, c,
                                                               accumulate);
}

// A weight, and the forms that its products may read.
struct Layer {
  Layer(Format format, uint64_t seed)
      : matrix(TestMatrix::Random(seed, kOut, kIn, 3)),
        forward(ForwardBytes(format, kOut, kIn) / 4 + 16),
        backward(BackwardBytes(format, kOut, kIn) / 4 + 16),
        weight{matrix.view(), format} {}
  void Pack() {
    weight.forward = forward.data();
    PackForward(weight, forward.data());
    if (BackwardBytes(weight.format, kOut, kIn) == 0) return;
    weight.backward = backward.data();
    PackBackward(weight, backward.data());
  }
  TestMatrix matrix;
  FloatBuffer forward, backward;
  Weight weight;
};

class Linear : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, Linear, testing::Values(Format::kF32, Format::kBf16));

TEST_P(Linear, IsItsFormatsProducts) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 1);
  const TestMatrix dy = TestMatrix::Random(2, kRows, kOut, 2);
  Layer layer(GetParam(), 3);
  const TestMatrix y0 = TestMatrix::Random(4, kRows, kOut), dx0 = TestMatrix::Random(5, kRows, kIn);
  const TestMatrix dw0 = TestMatrix::Random(6, kOut, kIn);
  for (const bool packed : {false, true}) {
    if (packed) layer.Pack();
    for (const bool add : {false, true}) {
      TestMatrix y = y0, dx = dx0, dw = dw0, want_y = y0, want_dx = dx0, want_dw = dw0;
      LinearForward(x.view(), layer.weight, y.view(), add);
      LinearBackward(dy.view(), x.view(), layer.weight, dx.view(), add, dw.view());
      Define(GetParam(), x, false, layer.matrix, true, want_y, add);
      Define(GetParam(), dy, false, layer.matrix, false, want_dx, add);
      Define(GetParam(), dy, true, x, false, want_dw, true);
      EXPECT_TRUE(SameBits(y.all(), want_y.all())) << packed << add;
      EXPECT_TRUE(SameBits(dx.all(), want_dx.all())) << packed << add;
      EXPECT_TRUE(SameBits(dw.all(), want_dw.all())) << packed << add;
    }
  }
  TestMatrix dx = dx0, dw = dw0;
  LinearBackward(dy.view(), x.view(), layer.weight, {}, false, {});  // nothing is wanted
  LinearBackward(dy.view(), x.view(), layer.weight, {}, false, dw.view());
  LinearBackward(dy.view(), x.view(), layer.weight, dx.view(), false, {});
  EXPECT_FALSE(SameBits(dw.all(), dw0.all()));
  EXPECT_FALSE(SameBits(dx.all(), dx0.all()));
}

// Some of the outputs, as weights of their own.
TEST_P(Linear, RowsOfAWeightAreAWeight) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn);
  Layer layer(GetParam(), 3);
  layer.Pack();
  TestMatrix whole(kRows, kOut), part(kRows, 9);
  LinearForward(x.view(), layer.weight, whole.view());
  LinearForward(x.view(), layer.weight.Rows(20, 9), part.view());
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < 9; ++i) EXPECT_EQ(part(row, i), whole(row, 20 + i));
  }
}

TEST_P(Linear, GroupsAreLayersOfTheirRows) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 1);
  const TestMatrix dy = TestMatrix::Random(2, kRows, kOut, 2);
  std::vector<Layer> layers;
  for (uint64_t g = 0; g < 4; ++g) layers.emplace_back(GetParam(), 10 + g);
  const TestMatrix dx0 = TestMatrix::Random(5, kRows, kIn), dw0 = TestMatrix::Random(6, kOut, kIn);
  for (const bool packed : {false, true}) {
    std::vector<Weight> weights;
    for (Layer& layer : layers) {
      if (packed) layer.Pack();
      weights.push_back(layer.weight);
    }
    for (const bool add : {false, true}) {
      TestMatrix y(kRows, kOut), want_y = y, dx = dx0, want_dx = dx0;
      std::vector<TestMatrix> dw(4, dw0), want_dw(4, dw0);
      std::vector<Matrix> wanted;
      for (TestMatrix& one : dw) wanted.push_back(one.view());
      wanted[3] = {};
      GroupedForward(x.view(), kGroups, weights, y.view());
      GroupedBackward(dy.view(), x.view(), kGroups, weights, dx.view(), add, wanted);
      for (size_t g = 0; g < 4; ++g) {
        const int64_t begin = kGroups[g], rows = kGroups[g + 1] - begin;
        const auto own = [&](auto& m) { return m.view().Rows(begin, rows); };
        Define(GetParam(), own(x), false, layers[g].matrix, true, own(want_y), false);
        Define(GetParam(), own(dy), false, layers[g].matrix, false, own(want_dx), add);
        if (g < 3) Define(GetParam(), own(dy), true, own(x), false, want_dw[g], true);
        EXPECT_TRUE(SameBits(dw[g].all(), want_dw[g].all())) << packed << add << g;
      }
      EXPECT_TRUE(SameBits(y.all(), want_y.all())) << packed << add;
      EXPECT_TRUE(SameBits(dx.all(), want_dx.all())) << packed << add;
    }
  }
}

}  // namespace
}  // namespace darkhorse
