#include "kernel/attention_bf16.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "kernel/definitions_testing.h"
#include "kernel/kernel_testing.h"

namespace darkhorse {
namespace {

struct Shape {
  int64_t positions, key_dim, value_dim;
};
// Around the tile (16, 32), the block (64), the query block (64); widths that are no multiples.
const std::vector<Shape> kShapes = {{1, 1, 1},    {2, 3, 5},    {16, 32, 16},
                                    {17, 33, 31}, {48, 5, 7},   {64, 96, 64},
                                    {65, 20, 48}, {97, 16, 80}, {130, 48, 32}};

std::string Name(const Shape& s) {
  return fmt::format("{} positions, key {}, value {}", s.positions, s.key_dim, s.value_dim);
}

struct Document {
  explicit Document(const Shape& s, uint64_t seed = 1, double scale_of_q = 3.0)
      : shape(s),
        q(TestMatrix::Random(seed, s.positions, s.key_dim, 3, scale_of_q)),
        k(TestMatrix::Random(seed + 100, s.positions, s.key_dim, 5)),
        v(TestMatrix::Random(seed + 200, s.positions, s.value_dim, 2)),
        dout(TestMatrix::Random(seed + 300, s.positions, s.value_dim, 1)),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(s.key_dim)))) {}
  Shape shape;
  TestMatrix q, k, v, dout;
  float scale;
};

struct Forward {
  explicit Forward(const Shape& s)
      : out(s.positions, s.value_dim, 1), lse(static_cast<size_t>(s.positions)) {}
  std::vector<float> Bits() const {
    std::vector<float> all = out.all();
    Append(lse, &all);
    return all;
  }
  TestMatrix out;
  std::vector<float> lse;
};

// Keys and values that arrive `chunk` positions at a time, and are asked for at once.
Forward Attend(const Document& d, int64_t chunk) {
  const Shape& s = d.shape;
  const int64_t room = s.positions + 37;
  std::vector<Bf16> keys(static_cast<size_t>(KeyTilesSize(room, s.key_dim)));
  std::vector<Bf16> values(static_cast<size_t>(ValueTilesSize(room, s.value_dim)));
  Forward f(s);
  for (int64_t begin = 0; begin < s.positions; begin += chunk) {
    const int64_t count = std::min(chunk, s.positions - begin);
    WriteKeyTiles(d.k.view().Rows(begin, count), begin, keys.data());
    WriteValueTiles(d.v.view().Rows(begin, count), begin, room, values.data());
    const Bf16AttentionJob job = {
        d.q.view().Rows(begin, count),   keys.data(),          values.data(), room,
        f.out.view().Rows(begin, count), f.lse.data() + begin, begin};
    Bf16AttentionForward({&job, 1}, d.scale);
  }
  return f;
}

TEST(Bf16Attention, IsTheDefinitionHoweverItsPositionsCome) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    Forward expected(shape);
    Bf16AttentionReference(d.q, d.k, d.v, d.scale, expected.out, expected.lse.data());
    Everywhere([&] {
      for (const int64_t chunk : {shape.positions, int64_t{1}, int64_t{19}, int64_t{64}})
        EXPECT_TRUE(SameBits(Attend(d, chunk).Bits(), expected.Bits())) << chunk << " at a time";
    });
  }
}

// A token that is decoded: what each head would get alone.
TEST(Bf16Attention, HeadsThatShareKeysAreRowsOfOnePosition) {
  for (const int64_t heads : {1, 2, 3, 7, 16, 17, 50, 70}) {
    std::vector<Shape> shapes = kShapes;
    // Behind so many positions all threads share one job, by rounds of 4,096.
    if (heads != 50) shapes.insert(shapes.end(), {{513, 6, 9}, {600, 40, 50}, {4097, 20, 33}});
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(Name(shape) + fmt::format(", {} heads", heads));
      Document d(shape);
      // A round that begins with a higher score than all before.
      for (int64_t c = 0; shape.positions > 4096 && c < shape.key_dim; ++c) d.k(4096, c) *= 8;
      const int64_t room = shape.positions;
      std::vector<Bf16> keys(static_cast<size_t>(KeyTilesSize(room, shape.key_dim)));
      std::vector<Bf16> values(static_cast<size_t>(ValueTilesSize(room, shape.value_dim)));
      WriteKeyTiles(d.k, 0, keys.data());
      WriteValueTiles(d.v, 0, room, values.data());
      const TestMatrix q = TestMatrix::Random(9, heads, shape.key_dim, 3);
      Everywhere([&] {
        Forward together({heads, 1, shape.value_dim}), alone = together;
        Bf16AttentionJob job = {
            q, keys.data(), values.data(), room, together.out, together.lse.data(), room - 1, true};
        Bf16AttentionForward({&job, 1}, d.scale);
        for (int64_t head = 0; head < heads; ++head) {
          const Bf16AttentionJob one = {q.view().Rows(head, 1),
                                        keys.data(),
                                        values.data(),
                                        room,
                                        alone.out.view().Rows(head, 1),
                                        alone.lse.data() + head,
                                        room - 1};
          Bf16AttentionForward({&one, 1}, d.scale);
        }
        EXPECT_TRUE(SameBits(together.Bits(), alone.Bits()));
      });
    }
  }
}

// Sums of products that would be denormal vanish alike.
TEST(Bf16Attention, FlushesDenormals) {
  Document d({70, 4, 20});
  for (int64_t j = 0; j < d.shape.positions; ++j) {
    for (int64_t c = 0; c < d.shape.value_dim; ++c)
      d.v(j, c) = std::ldexp(j % 2 == 0 ? -1.0f : 1.0f, -126 + static_cast<int>(c % 3));
  }
  Forward expected(d.shape);
  Bf16AttentionReference(d.q, d.k, d.v, d.scale, expected.out, expected.lse.data());
  Everywhere([&] { EXPECT_TRUE(SameBits(Attend(d, 70).Bits(), expected.Bits())); });
}

struct Gradients {
  explicit Gradients(const Shape& s, int64_t first = 0)
      : dq(s.positions - first, s.key_dim, 2, NAN),
        dk(s.positions, s.key_dim, 1, NAN),
        dv(s.positions, s.value_dim, 3, NAN) {}
  std::vector<float> Bits() const {
    std::vector<float> all = dq.all();
    Append(dk.all(), &all);
    Append(dv.all(), &all);
    return all;
  }
  TestMatrix dq, dk, dv;
};

TEST(Bf16Attention, GradientsAreTheDefinition) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(Name(shape));
    const Document d(shape);
    const Forward f = Attend(d, shape.positions);
    const auto job = [&](Gradients& g) -> AttentionBackwardJob {
      return {d.q, d.k, d.v, f.out, d.dout, f.lse.data(), g.dq, g.dk, g.dv};
    };
    Gradients expected(shape);
    Bf16AttentionBackwardReference(job(expected), d.scale);
    Everywhere([&] {
      Gradients got(shape);
      const AttentionBackwardJob one = job(got);
      Bf16AttentionBackward({&one, 1}, d.scale);
      EXPECT_TRUE(SameBits(got.Bits(), expected.Bits()));
    });
  }
}

TEST(Bf16Attention, GradientsOfLaterQueriesAreTheDefinition) {
  for (const Shape& shape : kShapes) {
    const Document d(shape);
    const Forward f = Attend(d, shape.positions);
    for (const int64_t first : {1, 2, 15, 16, 33, 63, 64, 65, 80, 129}) {
      if (first >= shape.positions) continue;
      SCOPED_TRACE(Name(shape) + fmt::format(", queries from {}", first));
      const auto from = [&](ConstMatrix m) { return m.Rows(first, m.rows - first); };
      const auto job = [&](Gradients& g) -> AttentionBackwardJob {
        return {from(d.q),
                from(d.k),
                from(d.v),
                from(f.out.view()),
                from(d.dout),
                f.lse.data() + first,
                g.dq,
                g.dk,
                g.dv,
                d.k.view().Rows(0, first),
                d.v.view().Rows(0, first)};
      };
      Gradients expected(shape, first);
      Bf16AttentionBackwardReference(job(expected), d.scale);
      Everywhere([&] {
        Gradients got(shape, first);
        const AttentionBackwardJob one = job(got);
        Bf16AttentionBackward({&one, 1}, d.scale);
        EXPECT_TRUE(SameBits(got.Bits(), expected.Bits()));
      });
    }
  }
}

}  // namespace
}  // namespace darkhorse
