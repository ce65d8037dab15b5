// Linear layers of every format against the products that define them.
#include "kernel/linear.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "base/buffer.h"
#include "kernel/block_definitions_testing.h"
#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"
#include "kernel/unpack.h"

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
      LinearBackward(dy.view(), x.view(), layer.weight, dx.view(), add, {dw.view()});
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
  LinearBackward(dy.view(), x.view(), layer.weight, {}, false, {dw.view()});
  LinearBackward(dy.view(), x.view(), layer.weight, dx.view(), false, {});
  EXPECT_FALSE(SameBits(dw.all(), dw0.all()));
  EXPECT_FALSE(SameBits(dx.all(), dx0.all()));
}

// Rounded or quantised once for two layers: what each gets of an input of its own. One asks first
// in the forward pass, the other in the backward pass.
TEST_P(Linear, ASharedInputIsEachLayersOwn) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 3);
  const TestMatrix dy = TestMatrix::Random(2, kRows, kOut);
  Layer first(GetParam(), 3), second(GetParam(), 4);
  first.Pack();
  TestMatrix y1(kRows, kOut), y2 = y1, want1 = y1, want2 = y1, dw(kOut, kIn), want_dw = dw;
  {
    const LinearInput in = LinearInput::Shared(x.view());
    LinearForward(in, first.weight, y1.view());
    LinearForward(dy.view().Cols(0, kIn), second.weight, y2.view());  // another, not shared
    LinearForward(in, second.weight, y2.view());
    LinearBackward(dy.view(), in, second.weight, {}, false, {dw.view()});
  }
  LinearForward(x.view(), first.weight, want1.view());
  LinearForward(x.view(), second.weight, want2.view());
  LinearBackward(dy.view(), x.view(), second.weight, {}, false, {want_dw.view()});
  EXPECT_TRUE(SameBits(y1.all(), want1.all()));
  EXPECT_TRUE(SameBits(y2.all(), want2.all()));
  EXPECT_TRUE(SameBits(dw.all(), want_dw.all()));
  // The next may be of other numbers.
  const TestMatrix other = TestMatrix::Random(9, kRows, kIn, 2);
  LinearForward(LinearInput::Shared(other.view()), first.weight, y1.view());
  LinearForward(other.view(), first.weight, want1.view());
  EXPECT_TRUE(SameBits(y1.all(), want1.all()));
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
      std::vector<WeightGradient> wanted;
      for (TestMatrix& one : dw) wanted.push_back({one.view()});
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

// A weight that exists packed only gives the same as one that is there.
TEST_P(Linear, AFrozenWeightIsReadFromItsPackedForm) {
  const TestMatrix dx0 = TestMatrix::Random(5, kRows, 45, 1);
  for (const int64_t out : {1, 16, 70, 512, 1100}) {
    const TestMatrix w = TestMatrix::Random(3, out, 45), dy = TestMatrix::Random(2, kRows, out, 2);
    FloatBuffer packed(ForwardBytes(GetParam(), out, 45) / 4 + 16);
    PackForward({TestMatrix(w).view(), GetParam()}, packed.data());
    const Weight frozen{{nullptr, out, 45}, GetParam(), packed.data()};
    for (const bool add : {false, true}) {
      TestMatrix dx = dx0, want = dx0;
      LinearBackward(dy.view(), ConstMatrix(), frozen, dx.view(), add, {});
      Define(GetParam(), dy, false, w, false, want, add);
      EXPECT_TRUE(SameBits(dx.all(), want.all())) << out << add;
    }
  }
}

// A matrix of few numbers, and what it adds to a product.
struct AdaptedLayer {
  AdaptedLayer(Format format, uint64_t seed, int64_t rank)
      : base(format, seed),
        a(TestMatrix::Random(seed + 1, rank, kIn, 2)),
        b(TestMatrix::Random(seed + 2, kOut, rank)),
        adapter{{a.view(), format}, {b.view(), format}, 0.75f} {
    base.weight.adapters = {&adapter, 1};
  }
  Format format() const { return base.weight.format; }
  // u = scale * (x . A^T)
  TestMatrix Reduced(ConstMatrix x) const {
    TestMatrix u(x.rows, a.rows());
    Define(format(), x, false, a, true, u, false);
    Scale(u);
    return u;
  }
  void Scale(TestMatrix& x) const {
    for (int64_t i = 0; i < x.rows(); ++i) {
      for (int64_t j = 0; j < x.cols(); ++j) x(i, j) *= adapter.scale;
    }
  }
  void DefineForward(ConstMatrix x, Matrix y, bool accumulate) const {
    Define(format(), x, false, base.matrix, true, y, accumulate);
    Define(format(), Reduced(x), false, b, true, y, true);
  }
  void DefineBackward(ConstMatrix dy, ConstMatrix x, Matrix dx, bool add, Matrix da,
                      Matrix db) const {
    Define(format(), dy, false, base.matrix, false, dx, add);
    Define(format(), dy, true, Reduced(x), false, db, true);
    TestMatrix du(dy.rows, a.rows());
    Define(format(), dy, false, b, false, du, false);
    Scale(du);
    Define(format(), du, true, x, false, da, true);
    Define(format(), du, false, a, false, dx, true);
  }
  Layer base;
  TestMatrix a, b;
  LowRank adapter;
};

TEST_P(Linear, AnAdapterAddsItsProduct) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 1);
  const TestMatrix dy = TestMatrix::Random(2, kRows, kOut, 2);
  for (const int64_t rank : {1, 8, 33}) {
    const AdaptedLayer layer(GetParam(), 3, rank);
    const TestMatrix y0 = TestMatrix::Random(4, kRows, kOut);
    const TestMatrix dx0 = TestMatrix::Random(5, kRows, kIn);
    const TestMatrix da0 = TestMatrix::Random(6, rank, kIn);
    const TestMatrix db0 = TestMatrix::Random(7, kOut, rank);
    for (const bool add : {false, true}) {
      TestMatrix y = y0, want_y = y0, dx = dx0, want_dx = dx0;
      TestMatrix da = da0, want_da = da0, db = db0, want_db = db0;
      LinearForward(x, layer.base.weight, y, add);
      LinearBackward(dy, x, layer.base.weight, dx, add, {{}, da, db});
      layer.DefineForward(x, want_y, add);
      layer.DefineBackward(dy, x, want_dx, add, want_da, want_db);
      EXPECT_TRUE(SameBits(y.all(), want_y.all())) << rank << add;
      EXPECT_TRUE(SameBits(dx.all(), want_dx.all())) << rank << add;
      EXPECT_TRUE(SameBits(da.all(), want_da.all())) << rank << add;
      EXPECT_TRUE(SameBits(db.all(), want_db.all())) << rank << add;
    }
    // What is not wanted changes nothing that is.
    TestMatrix dx = dx0, want_dx = dx0, da = da0, want_da = da0, db = db0, want_db = db0;
    layer.DefineBackward(dy, x, want_dx, false, want_da, want_db);
    LinearBackward(dy, x, layer.base.weight, {}, false, {{}, da, {}});
    LinearBackward(dy, x, layer.base.weight, {}, false, {{}, {}, db});
    LinearBackward(dy, x, layer.base.weight, dx, false, {});
    EXPECT_TRUE(SameBits(dx.all(), want_dx.all())) << rank;
    EXPECT_TRUE(SameBits(da.all(), want_da.all())) << rank;
    EXPECT_TRUE(SameBits(db.all(), want_db.all())) << rank;
  }
}

TEST_P(Linear, GroupsHaveAdaptersOfTheirOwn) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 1);
  const TestMatrix dy = TestMatrix::Random(2, kRows, kOut, 2);
  std::vector<std::unique_ptr<AdaptedLayer>> layers;
  std::vector<Weight> weights;
  for (uint64_t g = 0; g < 4; ++g) {
    layers.push_back(std::make_unique<AdaptedLayer>(GetParam(), 10 + 3 * g, 4));
    weights.push_back(layers.back()->base.weight);
  }
  const TestMatrix dx0 = TestMatrix::Random(5, kRows, kIn);
  for (const bool add : {false, true}) {
    TestMatrix y(kRows, kOut), want_y = y, dx = dx0, want_dx = dx0;
    std::vector<TestMatrix> da(4, TestMatrix(4, kIn)), want_da = da;
    std::vector<TestMatrix> db(4, TestMatrix(kOut, 4)), want_db = db;
    std::vector<WeightGradient> wanted;
    for (size_t g = 0; g < 4; ++g) wanted.push_back({{}, da[g], db[g]});
    GroupedForward(x, kGroups, weights, y);
    GroupedBackward(dy, x, kGroups, weights, dx, add, wanted);
    for (size_t g = 0; g < 4; ++g) {
      const int64_t begin = kGroups[g], rows = kGroups[g + 1] - begin;
      const auto own = [&](auto& m) { return m.view().Rows(begin, rows); };
      layers[g]->DefineForward(own(x), own(want_y), false);
      layers[g]->DefineBackward(own(dy), own(x), own(want_dx), add, want_da[g], want_db[g]);
      EXPECT_TRUE(SameBits(da[g].all(), want_da[g].all())) << g;
      EXPECT_TRUE(SameBits(db[g].all(), want_db[g].all())) << g;
    }
    EXPECT_TRUE(SameBits(y.all(), want_y.all())) << add;
    EXPECT_TRUE(SameBits(dx.all(), want_dx.all())) << add;
  }
}

// Rows that take adapters of their own, by turns and in stretches, one of which is absent.
TEST_P(Linear, EveryRowTakesItsAdapter) {
  const TestMatrix x = TestMatrix::Random(1, kRows, kIn, 1);
  const AdaptedLayer first(GetParam(), 3, 5), third(GetParam(), 3, 8);  // of one base
  const std::vector<LowRank> adapters = {first.adapter, {}, third.adapter};
  Weight weight = first.base.weight;
  weight.adapters = adapters;
  const std::vector<Weight> weights(kGroups.size() - 1, weight);
  std::vector<int32_t> chosen(kRows, 1);
  for (size_t row = 0; row < 12; ++row) chosen[row] = static_cast<int32_t>(row % 3);
  std::fill_n(chosen.begin() + 15, 12, 2);
  const auto defined = [&](const TestMatrix& y0, bool add) {
    TestMatrix y = y0;
    for (int64_t row = 0; row < kRows; ++row) {
      const auto own = [&](auto& m) { return m.view().Rows(row, 1); };
      const int32_t which = chosen[static_cast<size_t>(row)];
      if (which == 1) {
        Define(GetParam(), own(x), false, first.base.matrix, true, own(y), add);
      } else {
        (which == 0 ? first : third).DefineForward(own(x), own(y), add);
      }
    }
    return y;
  };
  const TestMatrix y0 = TestMatrix::Random(4, kRows, kOut);
  for (const bool add : {false, true}) {
    TestMatrix y = y0, of_shared = y0;
    LinearForward({x.view(), chosen}, weight, y, add);
    LinearForward(LinearInput::Shared(x.view(), chosen), weight, of_shared, add);
    EXPECT_TRUE(SameBits(y.all(), defined(y0, add).all())) << add;
    EXPECT_TRUE(SameBits(of_shared.all(), y.all())) << add;
  }
  TestMatrix grouped = y0;
  GroupedForward(x, kGroups, weights, grouped, chosen);
  EXPECT_TRUE(SameBits(grouped.all(), defined(y0, false).all()));
  // Rows that choose nothing take the first.
  TestMatrix y = y0, want = y0;
  LinearForward(x, weight, y);
  first.DefineForward(x, want, false);
  EXPECT_TRUE(SameBits(y.all(), want.all()));
}

// Of weights in integers the input gradient is the bf16 product with the numbers that they stand
// for, and an input that layers share is each one's own.
class FrozenIntegers : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, FrozenIntegers,
                         testing::Values(Format::kQ8, Format::kQ4, Format::kQ4_0, Format::kQ4_1,
                                         Format::kQ5_0, Format::kQ5_1, Format::kQ8_0,
                                         Format::kIq4Nl, Format::kQ4K, Format::kQ5K, Format::kQ6K));

TEST_P(FrozenIntegers, InputGradientIsTheProductWithTheirNumbers) {
  for (const int64_t out : {5, 70, 529}) {
    // Of q8 and q4 the last block of 64 is cut off; blocks of files end in the middle of 64 or 256.
    const int64_t in = !IsBlocks(GetParam())                          ? 150
                       : InfoOf(GgmlTypeOf(GetParam())).numbers == 32 ? 96
                                                                      : 512;
    FloatBuffer packed(ForwardBytes(GetParam(), out, in) / 4 + 16);
    TestMatrix numbers(out, in);
    std::vector<float> stands_for;
    if (IsBlocks(GetParam())) {
      const FileBlocks file(GetParam(), out, in, 7);
      file.Pack(packed.data());
      stands_for = file.Numbers();
    } else {
      const TestMatrix w = TestMatrix::Random(3, out, in);
      QuantizeWeights(GetParam(), w, packed.data());
      stands_for = QuantisedWeights(GetParam(), w);
    }
    std::copy(stands_for.begin(), stands_for.end(), numbers.data());
    const Weight frozen{{nullptr, out, in}, GetParam(), packed.data()};
    const TestMatrix dy = TestMatrix::Random(2, kRows, out, 2);
    TestMatrix dx(kRows, in), want = dx, rows(out, in);
    UnpackRows(frozen, 0, rows);
    EXPECT_TRUE(SameBits(rows.all(), numbers.all())) << out;
    const TestMatrix x = TestMatrix::Random(4, kRows, in, 1);
    const TestMatrix other = TestMatrix::Random(5, kRows, in);
    TestMatrix y(kRows, out), again = y, want_y = y;
    LinearForward(x, frozen, want_y);
    {
      const LinearInput shared = LinearInput::Shared(x.view());
      LinearForward(shared, frozen, y);
      LinearForward(other, frozen, again);  // not shared
      LinearForward(shared, frozen, again);
    }
    EXPECT_TRUE(SameBits(y.all(), want_y.all())) << out;
    EXPECT_TRUE(SameBits(again.all(), want_y.all())) << out;
    LinearBackward(dy, ConstMatrix(), frozen, dx, false, {});
    Bf16GemmReference(dy, false, numbers, false, want, false);
    EXPECT_TRUE(SameBits(dx.all(), want.all())) << out;
    // Also where the numbers that they were made from, which are others, lie beside them.
    TestMatrix origin = TestMatrix::Random(8, out, in), beside_dx(kRows, in);
    Weight beside = frozen;
    beside.w = origin;
    LinearBackward(dy, ConstMatrix(), beside, beside_dx, false, {});
    EXPECT_TRUE(SameBits(beside_dx.all(), want.all())) << out;
  }
}

}  // namespace
}  // namespace darkhorse
