// Documents that begin alike: their first tokens as rows of one segment (model/batch.h) against
// rows of each document's own. Values and gradients against the reference:
// transformer_oracle_test.cc.
#include <gtest/gtest.h>

#include <cstring>

#include "base/random.h"
#include "kernel/attention.h"
#include "model/attention.h"
#include "model/reference_cases_testing.h"
#include "model/reference_gradient_testing.h"
#include "model/transformer.h"

namespace darkhorse {
namespace {

class SharedPrefix : public testing::TestWithParam<ReferenceCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, SharedPrefix, testing::ValuesIn(SharedPrefixCases()),
                         [](const auto& test) { return test.param.name; });

// Of the reference, in double: as many operations and as much cancellation as in f32, in units
// smaller by 2^29, in either.
TEST_P(SharedPrefix, IsTheSameLossAndGradient) {
  const ReferenceCase& c = GetParam();
  std::vector<int64_t> row_of;
  const ReferenceCase whole = Unshared(c, &row_of);
  ASSERT_EQ(whole.batch.rows(), c.batch.rows() + 2 * 3);
  const ParamLayout layout(c.config);
  std::vector<std::vector<double>> probes;
  std::vector<double> probed, bounds;
  {
    const TapedGradient shared(c.config, layout, c.weights, c.input());
    for (const ParamInfo& param : layout.params()) {
      std::vector<double>& probe = probes.emplace_back();
      double sum = 0;
      for (int64_t i = 0; i < param.size; ++i) {
        probe.push_back(RandomNormal(3, RandomStream::kTest, param.offset, i));
        sum += probe.back() * shared.value(param.offset + i);
      }
      probed.push_back(sum);
      bounds.push_back(shared.Bound(param.offset, probe));
    }
  }
  const auto gradient = TapedForward(c.config, layout, c.weights, whole.input()).Gradient();
  for (size_t p = 0; p < probes.size(); ++p) {
    const ParamInfo& param = layout.params()[p];
    double sum = 0;
    for (int64_t i = 0; i < param.size; ++i) sum += probes[p][i] * gradient[param.offset + i];
    // Unshared there are three times as many terms of the prefix, of a third the size.
    EXPECT_NEAR(sum, probed[p], 4 * 0x1p-29 * bounds[p]) << param.name;
  }
}

// With a prefix and documents around the blocks of keys, and with rests that are longer.
ReferenceCase Long(ReferenceCase c, int64_t prefix) {
  c.config.max_position_embeddings = 256;
  c.batch = {};
  c.target.clear();
  c.weight.clear();
  FillBatch({9, prefix, 1, 80, 6}, 1, c);
  for (size_t i = 2; i < 5; ++i) {
    c.batch.segments[i].position = prefix;
    c.batch.segments[i].prefix = 9;
  }
  return c;
}

void ExpectTheBitsOfWholeDocuments(const ReferenceCase& of) {
  for (const Format format : {Format::kF32, Format::kBf16}) {
    for (const int64_t prefix : {1, 15, 16, 33, 63, 64, 65, 130}) {
      const ReferenceCase c = Long(of, prefix);
      std::vector<int64_t> row_of;
      const ReferenceCase whole = Unshared(c, &row_of);
      const ParamLayout layout(c.config);
      std::vector<float> weights = c.weights;
      const ModelWeights model = Bind(c.config, layout, weights.data(), format);
      const Transformer transformer(c.config);
      Arena arena;
      const Matrix got = transformer.Forward(model, c.batch, nullptr, arena, nullptr);
      const Matrix want = transformer.Forward(model, whole.batch, nullptr, arena, nullptr);
      for (int64_t row = 0; row < got.rows; ++row) {
        ASSERT_EQ(std::memcmp(got.Row(row), want.Row(row_of[static_cast<size_t>(row)]),
                              static_cast<size_t>(got.cols) * sizeof(float)),
                  0)
            << "row " << row << ", prefix of " << prefix << ", format " << static_cast<int>(format);
      }
    }
  }
}

TEST_P(SharedPrefix, RowsHaveTheBitsOfWholeDocuments) { ExpectTheBitsOfWholeDocuments(GetParam()); }

// As those of all models of use are: a tile of bf16's products has 16 columns.
TEST(SharedPrefixes, RowsOfWideHeadsHaveTheBitsOfWholeDocuments) {
  ReferenceCase c = SharedPrefixCases().front();
  c.config.v_head_dim = 40;
  c.config.qk_nope_head_dim = 38;
  c.weights = RandomWeights(c.config, 1);
  ExpectTheBitsOfWholeDocuments(c);
}

// The order that model/attention.h promises, to the bit: of the prefix its own share, then each
// document's, of each the heads in order. A document's share is what its whole would have where
// nothing is asked of the prefix's outputs.
TEST_P(SharedPrefix, GradientsOfKeysAreSummedInOrder) {
  for (const int64_t prefix : {1, 16, 63, 65, 130}) {
    const ReferenceCase c = Long(GetParam(), prefix);
    const ModelConfig& config = c.config;
    const int64_t rows = c.batch.rows(), query_heads = config.num_attention_heads,
                  key_heads = config.key_value_heads(), group = query_heads / key_heads,
                  key = config.key_dim(), value = config.value_dim();
    Arena arena;
    uint64_t seed = 0;
    const auto random = [&](int64_t cols) {
      const Matrix m = arena.NewMatrix(rows, cols);
      ++seed;
      for (int64_t i = 0; i < m.size(); ++i)
        m.data[i] = static_cast<float>(RandomNormal(seed, RandomStream::kTest, i));
      return m;
    };
    const Transformer transformer(config);
    const PassContext pass{config,  transformer.rope().table(c.batch.positions()),
                           c.batch, RowPositions(c.batch, config, arena),
                           nullptr, arena,
                           nullptr};
    const AttentionHeads heads = {{random(query_heads * key), key},
                                  {random(key_heads * key), key},
                                  {random(key_heads * value), value},
                                  {random(query_heads * value), value},
                                  arena.Floats(query_heads * rows)};
    const AttentionHeads dheads = {{random(query_heads * key), key},
                                   {random(key_heads * key), key},
                                   {random(key_heads * value), value},
                                   {random(query_heads * value), value},
                                   nullptr};
    AttendOwnRows(pass, c.batch.segments, heads, Format::kF32);
    AttendBackward(pass, heads, dheads, Format::kF32);

    const Matrix dk = random(key_heads * key), dv = random(key_heads * value);
    for (Matrix m : {dk, dv}) std::fill_n(m.data, m.size(), 0.0f);
    for (const Segment& segment : c.batch.segments) {
      const int64_t before = segment.prefix_rows(), all = before + segment.rows;
      const auto row_of = [&](int64_t i) {
        return i < before ? segment.prefix + i : segment.row + i - before;
      };
      const auto joined = [&](const HeadColumns& of, int64_t head, bool zero_before) {
        const Matrix m = arena.NewMatrix(all, of.width);
        for (int64_t i = 0; i < all; ++i) {
          const float* from = of[head].Row(row_of(i));
          for (int64_t d = 0; d < of.width; ++d) m(i, d) = zero_before && i < before ? 0 : from[d];
        }
        return m;
      };
      for (int64_t head = 0; head < query_heads; ++head) {
        std::vector<float> lse;
        for (int64_t i = 0; i < all; ++i) lse.push_back(heads.lse[head * rows + row_of(i)]);
        const Matrix own_dq = arena.NewMatrix(all, key), own_dk = arena.NewMatrix(all, key),
                     own_dv = arena.NewMatrix(all, value);
        const AttentionBackwardJob job = {joined(heads.q, head, false),
                                          joined(heads.k, head / group, false),
                                          joined(heads.v, head / group, false),
                                          joined(heads.out, head, false),
                                          joined(dheads.out, head, true),
                                          lse.data(),
                                          own_dq,
                                          own_dk,
                                          own_dv};
        AttentionBackward({&job, 1}, static_cast<float>(config.SoftmaxScale()));
        for (int64_t i = 0; i < all; ++i) {
          for (int64_t d = 0; d < key; ++d) dk(row_of(i), head / group * key + d) += own_dk(i, d);
          for (int64_t d = 0; d < value; ++d)
            dv(row_of(i), head / group * value + d) += own_dv(i, d);
          if (i < before) continue;
          for (int64_t d = 0; d < key; ++d)
            ASSERT_EQ(dheads.q[head](row_of(i), d), own_dq(i, d)) << row_of(i);
        }
      }
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t d = 0; d < dk.cols; ++d) ASSERT_EQ(dheads.k.all(row, d), dk(row, d)) << row;
      for (int64_t d = 0; d < dv.cols; ++d) ASSERT_EQ(dheads.v.all(row, d), dv(row, d)) << row;
    }
  }
}

}  // namespace
}  // namespace darkhorse
