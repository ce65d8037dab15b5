#include "kernel/attention.h"

#include <complex>
#include <limits>

#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  int64_t positions, key_dim, value_dim;
};
// Around the tile (6), the panel (16), the block (64), the query block (48); widths that are no
// multiples of 16.
const std::vector<Shape> kShapes = {
    {1, 1, 1},    {2, 3, 5},    {6, 16, 16},  {7, 17, 33},  {16, 8, 64},   {17, 24, 15}, {48, 5, 7},
    {49, 32, 31}, {64, 96, 64}, {65, 20, 48}, {97, 16, 80}, {130, 48, 32}, {193, 9, 70}};

std::string Name(const Shape& s) {
  return std::to_string(s.positions) + " positions, key " + std::to_string(s.key_dim) + ", value " +
         std::to_string(s.value_dim);
}

// One head of one document. Keys and values of positions that a query may not see are NaN wherever
// they may be.
struct Document {
  explicit Document(const Shape& s, uint64_t seed = 1, double scale_of_q = 3.0)
      : shape(s),
        q(TestMatrix::Random(seed, s.positions, s.key_dim, 3, scale_of_q)),
        k(TestMatrix::Random(seed + 100, s.positions, s.key_dim, 5)),
        v(TestMatrix::Random(seed + 200, s.positions, s.value_dim, 2)),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(s.key_dim)))),
        panels(static_cast<size_t>(KeyPanelSize(s.positions, s.key_dim))) {
    WriteKeyPanels(k, 0, panels.data());
  }
  AttentionJob Job(int64_t begin, int64_t count, TestMatrix* out, std::vector<float>* lse) const {
    return {q.view().Rows(begin, count),    panels.data(),       v,
            out->view().Rows(begin, count), lse->data() + begin, begin};
  }
  Shape shape;
  TestMatrix q, k, v;
  float scale;
  std::vector<float> panels;
};

struct Forward {
  explicit Forward(const Shape& s)
      : out(s.positions, s.value_dim, 1, kNan), lse(static_cast<size_t>(s.positions), kNan) {}
  std::vector<float> Bits() const {
    std::vector<float> all = out.all();
    Append(lse, &all);
    return all;
  }
  TestMatrix out;
  std::vector<float> lse;
};

Forward WholeDocument(const Document& d) {
  Forward f(d.shape);
  const AttentionJob job = d.Job(0, d.shape.positions, &f.out, &f.lse);
  AttentionForward({&job, 1}, d.scale);
  return f;
}

TEST(KeyPanels, HoldEveryKeyAndTouchNothingElse) {
  const TestMatrix keys = TestMatrix::Random(1, 37, 5, 2);
  std::vector<float> panels(static_cast<size_t>(KeyPanelSize(37, 5)), kGuard);
  EXPECT_EQ(panels.size(), 48u * 5);
  WriteKeyPanels(keys.view().Rows(0, 10), 0, panels.data());
  WriteKeyPanels(keys.view().Rows(10, 27), 10, panels.data());
  for (int64_t j = 0; j < 48; ++j) {
    for (int64_t d = 0; d < 5; ++d) {
      EXPECT_EQ(panels[static_cast<size_t>((j / 16 * 5 + d) * 16 + j % 16)],
                j < 37 ? keys(j, d) : kGuard);
    }
  }
}

TEST(AttentionForward, IsTheReferenceToTheBit) {
  for (const Shape& shape : kShapes) {
    const Document d(shape);
    Forward expected(shape);
    AttentionReference(d.Job(0, shape.positions, &expected.out, &expected.lse), d.k, d.scale);
    EXPECT_TRUE(SameBits(WholeDocument(d).Bits(), expected.Bits())) << Name(shape);
  }
}

TEST(AttentionForward, GivesTheSameBitsOnAllInstructionSetsAndThreads) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    ExpectSameEverywhere([&] { return WholeDocument(d).Bits(); });
  }
}

// Decoding one position at a time from a cache that holds nothing but the past.
TEST(AttentionForward, DecodingEqualsTheWholeDocument) {
  for (const Shape& shape : kShapes) {
    const Document d(shape);
    std::vector<float> panels(static_cast<size_t>(KeyPanelSize(shape.positions, shape.key_dim)),
                              kNan);
    TestMatrix v(shape.positions, shape.value_dim, 2, kNan);
    Forward f(shape);
    for (int64_t p = 0; p < shape.positions; ++p) {
      if (p % kKeyPanel == 0)
        std::fill_n(panels.data() + p * shape.key_dim, kKeyPanel * shape.key_dim, 0.0f);
      WriteKeyPanels(d.k.view().Rows(p, 1), p, panels.data());
      std::copy_n(d.v.view().Row(p), shape.value_dim, v.view().Row(p));
      AttentionJob job = d.Job(p, 1, &f.out, &f.lse);
      job.key_panels = panels.data();
      job.v = v;
      AttentionForward({&job, 1}, d.scale);
    }
    EXPECT_TRUE(SameBits(f.Bits(), WholeDocument(d).Bits())) << Name(shape);
  }
}

// A token that is decoded: what each head would get alone.
TEST(AttentionForward, HeadsThatShareKeysAreRowsOfOnePosition) {
  for (const int64_t heads : {1, 2, 3, 6, 7, 12, 13, 50}) {
    for (const Shape& shape : kShapes) {
      const Document d(shape);
      const TestMatrix q = TestMatrix::Random(9, heads, shape.key_dim, 3);
      Forward together({heads, 1, shape.value_dim}), alone = together;
      const int64_t position = shape.positions - 1;
      AttentionJob job = d.Job(position, 1, &together.out, &together.lse);
      job.q = q;
      job.out = together.out.view();
      job.lse = together.lse.data();
      job.one_position = true;
      AttentionForward({&job, 1}, d.scale);
      for (int64_t head = 0; head < heads; ++head) {
        AttentionJob one = job;
        one.q = q.view().Rows(head, 1);
        one.out = alone.out.view().Rows(head, 1);
        one.lse = alone.lse.data() + head;
        one.one_position = false;
        AttentionForward({&one, 1}, d.scale);
      }
      EXPECT_TRUE(SameBits(together.Bits(), alone.Bits())) << Name(shape) << ", heads " << heads;
    }
  }
}

TEST(AttentionForward, ChunksOfQueriesEqualTheWholeDocument) {
  for (uint64_t trial = 0; trial < 30; ++trial) {
    RandomSequence random(trial, RandomStream::kTest, 77);
    const Shape shape = {random.Between(1, 210), random.Between(1, 40), random.Between(1, 40)};
    const Document d(shape, trial);
    Forward f(shape);
    std::vector<AttentionJob> jobs;  // all in one call
    for (int64_t begin = 0; begin < shape.positions;) {
      const int64_t count = std::min(shape.positions - begin, random.Between(1, 70));
      jobs.push_back(d.Job(begin, count, &f.out, &f.lse));
      begin += count;
    }
    AttentionForward(jobs, d.scale);
    EXPECT_TRUE(SameBits(f.Bits(), WholeDocument(d).Bits())) << Name(shape) << ", trial " << trial;
  }
}

// Products that underflow to -0 must not show whether a masked key was multiplied in after them.
TEST(AttentionForward, KeepsBitsWhenValuesUnderflow) {
  const Shape shape = {70, 4, 20};
  Document d(shape, 1, 0.1);  // no weight of a half, after the first rows
  for (int64_t j = 0; j < shape.positions; ++j) {
    for (int64_t c = 0; c < shape.value_dim; ++c)
      d.v(j, c) = std::numeric_limits<float>::denorm_min() * (j % 2 == 0 ? -1.0f : 1.0f);
  }
  Forward f(shape);
  for (int64_t p = 0; p < shape.positions; ++p) {
    const AttentionJob job = d.Job(p, 1, &f.out, &f.lse);
    AttentionForward({&job, 1}, d.scale);
  }
  EXPECT_TRUE(SameBits(f.Bits(), WholeDocument(d).Bits()));
}

TEST(AttentionForward, WorksWithoutLse) {
  const Document d(kShapes[7]);
  Forward f(d.shape);
  AttentionJob job = d.Job(0, d.shape.positions, &f.out, &f.lse);
  job.lse = nullptr;
  AttentionForward({&job, 1}, d.scale);
  EXPECT_TRUE(SameBits(f.out.all(), WholeDocument(d).out.all()));
}

template <typename T>
using Grid = std::vector<std::vector<T>>;  // [position][column]

template <typename T>
Grid<T> ToGrid(ConstMatrix m) {
  Grid<T> grid;
  for (int64_t r = 0; r < m.rows; ++r) grid.emplace_back(m.Row(r), m.Row(r) + m.cols);
  return grid;
}

template <typename T>
T Dot(const std::vector<T>& a, const std::vector<T>& b) {
  T sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// P[i][j] = softmax over j <= i of scale * q_i . k_j, by the definition.
template <typename T>
Grid<T> Probabilities(const Grid<T>& q, const Grid<T>& k, double scale) {
  Grid<T> p(q.size());
  for (size_t i = 0; i < q.size(); ++i) {
    T sum = 0;
    for (size_t j = 0; j <= i; ++j) sum += p[i].emplace_back(std::exp(scale * Dot(q[i], k[j])));
    for (T& pij : p[i]) pij /= sum;
  }
  return p;
}

template <typename T>
T Loss(const Grid<T>& q, const Grid<T>& k, const Grid<T>& v, const Grid<double>& dout,
       double scale) {
  const Grid<T> p = Probabilities(q, k, scale);
  T loss = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    for (size_t j = 0; j <= i; ++j) {
      for (size_t c = 0; c < v[j].size(); ++c) loss += p[i][j] * v[j][c] * dout[i][c];
    }
  }
  return loss;
}

// Attention and its gradient in double, each value with a bound on the error of computing it in
// float: first order, in units of 2^-24. A chain of n fused multiply-adds errs by at most n units
// of the sum of its terms' magnitudes.
struct Exact {
  Exact(const Document& d, ConstMatrix dout_in)
      : q(ToGrid<double>(d.q)),
        k(ToGrid<double>(d.k)),
        v(ToGrid<double>(d.v)),
        dout(ToGrid<double>(dout_in)) {
    const size_t positions = q.size();
    const size_t key_dim = q[0].size();
    const size_t value_dim = v[0].size();
    const double scale = d.scale;
    const double t = static_cast<double>(positions);
    const Grid<double> p = Probabilities(q, k, scale);
    const auto zeros = [&](size_t cols) {
      return Grid<double>(positions, std::vector<double>(cols));
    };
    out = out_units = dv = dv_units = zeros(value_dim);
    dq = dq_units = dk = dk_units = zeros(key_dim);
    for (size_t i = 0; i < positions; ++i) {
      std::vector<double> score(i + 1), score_units(i + 1);
      double max = -1e300, worst_score = 0, sum = 0;
      for (size_t j = 0; j <= i; ++j) {
        double magnitude = 0;
        for (size_t c = 0; c < key_dim; ++c) magnitude += std::abs(q[i][c] * k[j][c]);
        score[j] = scale * Dot(q[i], k[j]);
        score_units[j] = static_cast<double>(key_dim + 1) * scale * magnitude;
        max = std::max(max, score[j]);
        worst_score = std::max(worst_score, score_units[j]);
      }
      for (size_t j = 0; j <= i; ++j) sum += std::exp(score[j] - max);
      lse.push_back(max + std::log(sum));
      // Every exp: its score, the subtraction (twice the spread below the maximum, over the
      // rescalings), 2 ulp and the products of the rescalings (one exp and product a block); then
      // the sums.
      const double blocks = t / 64 + 1;
      double spread = 0;
      for (size_t j = 0; j <= i; ++j) spread = std::max(spread, max - score[j]);
      const double exp_units = 4 + 5 * blocks;
      const double sum_units = worst_score + spread + exp_units + t / 16 + 5;
      lse_units.push_back(sum_units + std::abs(lse[i]));

      double dot = 0, dot_magnitude = 0, dot_units = 0;
      for (size_t c = 0; c < value_dim; ++c) {
        double magnitude = 0;
        for (size_t j = 0; j <= i; ++j) {
          out[i][c] += p[i][j] * v[j][c];
          magnitude += p[i][j] * std::abs(v[j][c]);
          out_units[i][c] +=
              p[i][j] * std::abs(v[j][c]) * (score_units[j] + max - score[j] + exp_units);
        }
        out_units[i][c] += magnitude * (sum_units + t + blocks + 2);
        dot += out[i][c] * dout[i][c];
        dot_magnitude += std::abs(out[i][c] * dout[i][c]);
        dot_units += std::abs(dout[i][c]) * out_units[i][c];
      }
      dot_units += dot_magnitude * (static_cast<double>(value_dim) / 16 + 5);

      for (size_t j = 0; j <= i; ++j) {
        const double dp = Dot(dout[i], v[j]);
        double dp_magnitude = 0;
        for (size_t c = 0; c < value_dim; ++c) dp_magnitude += std::abs(dout[i][c] * v[j][c]);
        const double p_units =
            p[i][j] * (score_units[j] + lse_units[i] + std::abs(score[j] - lse[i]) + 4);
        const double ds = scale * p[i][j] * (dp - dot);
        const double difference_units =
            static_cast<double>(value_dim) * dp_magnitude + dot_units + std::abs(dp - dot);
        const double ds_units =
            scale * (p_units * std::abs(dp - dot) + p[i][j] * difference_units) + 2 * std::abs(ds);
        for (size_t c = 0; c < value_dim; ++c) {
          dv[j][c] += p[i][j] * dout[i][c];
          dv_units[j][c] += (p_units + t * p[i][j]) * std::abs(dout[i][c]);
        }
        for (size_t c = 0; c < key_dim; ++c) {
          dq[i][c] += ds * k[j][c];
          dq_units[i][c] += (ds_units + t * std::abs(ds)) * std::abs(k[j][c]);
          dk[j][c] += ds * q[i][c];
          dk_units[j][c] += (ds_units + t * std::abs(ds)) * std::abs(q[i][c]);
        }
      }
    }
  }
  Grid<double> q, k, v, dout;
  Grid<double> out, dq, dk, dv;
  Grid<double> out_units, dq_units, dk_units, dv_units;
  std::vector<double> lse, lse_units;
};

void ExpectWithin(ConstMatrix value, const Grid<double>& expected, const Grid<double>& units,
                  const char* what) {
  for (size_t r = 0; r < expected.size(); ++r) {
    for (size_t c = 0; c < expected[r].size(); ++c) {
      const double error =
          std::abs(value(static_cast<int64_t>(r), static_cast<int64_t>(c)) - expected[r][c]);
      ASSERT_LE(error, 1.01 * kUnit * units[r][c])
          << what << " at " << r << ", " << c << ": expected " << expected[r][c];
    }
  }
}

struct Backward {
  Backward(const Document& d, const Forward& f, ConstMatrix dout)
      : dq(d.shape.positions, d.shape.key_dim, 1, kNan),
        dk(dq),
        dv(d.shape.positions, d.shape.value_dim, 4, kNan) {
    const AttentionBackwardJob job = {d.q, d.k, d.v, f.out, dout, f.lse.data(), dq, dk, dv};
    AttentionBackward({&job, 1}, d.scale);
  }
  std::vector<float> Bits() const {
    std::vector<float> all = dq.all();
    Append(dk.all(), &all);
    Append(dv.all(), &all);
    return all;
  }
  TestMatrix dq, dk, dv;
};

TestMatrix RandomDout(const Shape& shape) {
  return TestMatrix::Random(9, shape.positions, shape.value_dim, 6);
}

TEST(AttentionForward, MatchesTheDefinitionInDouble) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    const Forward f = WholeDocument(d);
    const Exact exact(d, RandomDout(shape));
    ExpectWithin(f.out, exact.out, exact.out_units, "out");
    for (size_t i = 0; i < f.lse.size(); ++i) {
      ASSERT_LE(std::abs(f.lse[i] - exact.lse[i]), 1.01 * kUnit * exact.lse_units[i])
          << "lse " << i;
    }
  }
}

// The double-precision gradient that the next test trusts, against the complex step of the loss.
TEST(AttentionBackward, ItsOracleIsTheGradient) {
  using Complex = std::complex<double>;
  const Document d({9, 4, 3});
  const Exact exact(d, RandomDout(d.shape));
  const auto check = [&](int which, const Grid<double>& expected) {
    Grid<Complex> inputs[] = {ToGrid<Complex>(d.q), ToGrid<Complex>(d.k), ToGrid<Complex>(d.v)};
    for (size_t r = 0; r < expected.size(); ++r) {
      for (size_t c = 0; c < expected[r].size(); ++c) {
        inputs[which][r][c] += Complex(0, 1e-30);
        const double slope =
            Loss(inputs[0], inputs[1], inputs[2], exact.dout, d.scale).imag() / 1e-30;
        inputs[which][r][c] = inputs[which][r][c].real();
        EXPECT_NEAR(slope, expected[r][c], 1e-12) << which << " at " << r << ", " << c;
      }
    }
  };
  check(0, exact.dq);
  check(1, exact.dk);
  check(2, exact.dv);
}

TEST(AttentionBackward, MatchesTheGradientInDouble) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    const TestMatrix dout = RandomDout(shape);
    const Backward b(d, WholeDocument(d), dout);
    const Exact exact(d, dout);
    ExpectWithin(b.dq, exact.dq, exact.dq_units, "dq");
    ExpectWithin(b.dk, exact.dk, exact.dk_units, "dk");
    ExpectWithin(b.dv, exact.dv, exact.dv_units, "dv");
  }
}

TEST(AttentionBackward, GivesTheSameBitsOnAllInstructionSetsAndThreads) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    const Forward f = WholeDocument(d);
    const TestMatrix dout = RandomDout(shape);
    ExpectSameEverywhere([&] { return Backward(d, f, dout).Bits(); });
  }
}

// Queries from a position on: what they add to the gradients of the whole document, which is what
// it gets where nothing is asked of the outputs before them. To the bit: a product with 0 leaves a
// chain as it is.
TEST(AttentionBackward, LaterQueriesGiveTheirShareOfTheWhole) {
  for (const Shape& shape : kShapes) {
    const Document d(shape);
    const Forward f = WholeDocument(d);
    for (const int64_t first : {1, 2, 6, 15, 16, 47, 63, 64, 65, 70, 128, 192}) {
      if (first >= shape.positions) continue;
      SCOPED_TRACE(Name(shape) + ", queries from " + std::to_string(first));
      TestMatrix dout = RandomDout(shape);
      for (int64_t row = 0; row < first; ++row)
        std::fill_n(dout.view().Row(row), shape.value_dim, 0.0f);
      const Backward whole(d, f, dout);
      const int64_t count = shape.positions - first;
      const auto from = [&](ConstMatrix m) { return m.Rows(first, count); };
      ExpectSameEverywhere([&] {
        TestMatrix dq(count, shape.key_dim, 1, kNan), dk(shape.positions, shape.key_dim, 1, kNan);
        TestMatrix dv(shape.positions, shape.value_dim, 4, kNan);
        const AttentionBackwardJob job = {from(d.q),
                                          from(d.k),
                                          from(d.v),
                                          from(f.out.view()),
                                          from(dout),
                                          f.lse.data() + first,
                                          dq,
                                          dk,
                                          dv,
                                          d.k.view().Rows(0, first),
                                          d.v.view().Rows(0, first)};
        AttentionBackward({&job, 1}, d.scale);
        std::vector<float> later = whole.dq.all();
        later.erase(later.begin(), later.begin() + first * (shape.key_dim + 1));
        EXPECT_TRUE(SameBits(dq.all(), later));
        EXPECT_TRUE(SameBits(dk.all(), whole.dk.all()));
        EXPECT_TRUE(SameBits(dv.all(), whole.dv.all()));
        return dq.all();
      });
    }
  }
}

TEST(AttentionBackward, ADocumentDoesNotDependOnTheOthers) {
  std::vector<Document> documents;
  std::vector<Forward> forwards;
  std::vector<TestMatrix> douts;
  std::vector<Backward> alone;
  for (const int64_t positions : {70, 3, 130, 1}) {
    const Shape shape = {positions, 10, 18};
    documents.emplace_back(shape, 5 + positions);
    forwards.push_back(WholeDocument(documents.back()));
    douts.push_back(RandomDout(shape));
    alone.emplace_back(documents.back(), forwards.back(), douts.back());
  }
  std::vector<Backward> together = alone;
  std::vector<AttentionBackwardJob> jobs;
  for (size_t i = 0; i < documents.size(); ++i) {
    const Document& d = documents[i];
    Backward& b = together[i];
    b = Backward(documents[0], forwards[0], douts[0]);  // forget the answer
    b.dq = b.dk = TestMatrix(d.shape.positions, 10, 1, kNan);
    b.dv = TestMatrix(d.shape.positions, 18, 4, kNan);
    jobs.push_back(
        {d.q, d.k, d.v, forwards[i].out, douts[i], forwards[i].lse.data(), b.dq, b.dk, b.dv});
  }
  AttentionBackward(jobs, documents[0].scale);
  for (size_t i = 0; i < documents.size(); ++i)
    EXPECT_TRUE(SameBits(together[i].Bits(), alone[i].Bits())) << i;
}

}  // namespace
}  // namespace darkhorse
