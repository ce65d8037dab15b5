#include <gtest/gtest.h>

#include "base/random.h"
#include "model/reference_cases_testing.h"
#include "model/reference_gradient_testing.h"
#include "model/reference_testing.h"

namespace darkhorse {
namespace {

template <typename T>
ReferenceOutput<T> RunReference(const ReferenceCase& c) {
  const std::vector<T> weights(c.weights.begin(), c.weights.end());
  return Reference<T>(c.config, ParamLayout(c.config)).Run(weights.data(), c.input());
}

double MaxAbs(const std::vector<double>& x) {
  double most = 0;
  for (const double value : x) most = std::max(most, std::abs(value));
  return most;
}

class ReferenceTest : public testing::TestWithParam<ReferenceCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, ReferenceTest, testing::ValuesIn(ReferenceCases()),
                         [](const auto& test) { return test.param.name; });

// Two ways that share no code. Each is exact but for double rounding: as many operations and as
// much cancellation as in f32, in units smaller by 2^29, so the f32 bound shrunk as much holds.
TEST_P(ReferenceTest, ComplexStepAndTapeAgree) {
  const ReferenceCase& c = GetParam();
  const ParamLayout layout(c.config);
  const auto complex_step = ComplexStepGradient(c.config, layout, c.weights, c.input());
  const auto tape = TapedForward(c.config, layout, c.weights, c.input()).Gradient();
  const TapedGradient bounds(c.config, layout, c.weights, c.input());
  for (const ParamInfo& param : layout.params()) {
    std::vector<double> probe(param.size);
    double sum = 0;
    for (int64_t i = 0; i < param.size; ++i) {
      probe[i] = RandomNormal(3, RandomStream::kTest, param.offset, i);
      sum += probe[i] * (complex_step[param.offset + i] - tape[param.offset + i]);
      ASSERT_EQ(tape[param.offset + i], bounds.value(param.offset + i));
    }
    ASSERT_LE(std::abs(sum), 2 * 0x1p-29 * bounds.Bound(param.offset, probe)) << param.name;
  }
}

// Central differences with step h are off by O(h^2) and, from rounding, O(2^-53 / h): some 1e-10 at
// h = 1e-5. Coarse, but it shares nothing with the other two: it sees the loss alone.
TEST_P(ReferenceTest, CentralDifferencesAgree) {
  const ReferenceCase& c = GetParam();
  const ParamLayout layout(c.config);
  const auto gradient = TapedForward(c.config, layout, c.weights, c.input()).Gradient();
  const Reference<double> reference(c.config, layout);
  std::vector<double> weights(c.weights.begin(), c.weights.end());
  constexpr double kStep = 1e-5;
  for (const ParamInfo& param : layout.params()) {
    if (param.kind == ParamKind::kRouterBias) continue;
    const int64_t i = param.offset + param.size / 2;
    const double middle = weights[i];
    weights[i] = middle + kStep;
    const double above = reference.Run(weights.data(), c.input()).loss;
    weights[i] = middle - kStep;
    const double below = reference.Run(weights.data(), c.input()).loss;
    weights[i] = middle;
    ASSERT_NEAR((above - below) / (2 * kStep), gradient[i], 1e-7 * (1 + MaxAbs(gradient)))
        << param.name;
  }
}

TEST_P(ReferenceTest, FloatStaysWithinItsBound) {
  const ReferenceCase& c = GetParam();
  const auto f32 = RunReference<float>(c);
  const TapedForward exact(c.config, ParamLayout(c.config), c.weights, c.input());
  const auto& want = exact.output();
  EXPECT_GT(want.margin, 0);
  EXPECT_EQ(f32.expert_load, want.expert_load);
  for (size_t i = 0; i < f32.logp.size(); ++i)
    ASSERT_LE(std::abs(f32.logp[i] - want.logp[i].value()), exact.Bound(want.logp[i]));
  for (size_t i = 0; i < f32.logits.data.size(); ++i) {
    ASSERT_LE(std::abs(f32.logits.data[i] - want.logits.data[i].value()),
              exact.Bound(want.logits.data[i]));
  }
}

// Each document alone gives what it gives packed with others, and the losses add up.
TEST_P(ReferenceTest, PackingDocumentsChangesNothing) {
  ReferenceCase c = GetParam();
  c.batch.sequence_rows = 0;
  const auto packed = RunReference<double>(c);
  double main_loss = 0, mtp_loss = 0, balance_loss = 0;
  for (const Segment& segment : c.batch.segments) {
    const auto cut = [&](const auto& all) {
      return std::decay_t<decltype(all)>(all.begin() + segment.row,
                                         all.begin() + segment.row + segment.rows);
    };
    ReferenceCase one = c;
    one.batch = {cut(c.batch.tokens), {{0, segment.rows, 0, -1}}, 0};
    one.target = cut(c.target);
    one.weight = cut(c.weight);
    const auto alone = RunReference<double>(one);
    EXPECT_EQ(alone.logp, cut(packed.logp));
    for (size_t k = 0; k < alone.mtp_logp.size(); ++k)
      EXPECT_EQ(alone.mtp_logp[k], cut(packed.mtp_logp[k]));
    main_loss += alone.main_loss;
    mtp_loss += alone.mtp_loss;
    balance_loss += alone.balance_loss;
  }
  // Only the order in which the same doubles are added differs. A sum of n is off by at most n
  // 2^-53 of the sum of absolute values, in either order.
  const auto bound = [](double count, double magnitude) { return 2 * count * 0x1p-53 * magnitude; };
  const double most_weight = MaxAbs({c.weight.begin(), c.weight.end()});
  const auto magnitude = [&](const std::vector<double>& logp) {
    double sum = 0;
    for (const double x : logp) sum += most_weight * std::abs(x);
    return sum;
  };
  const auto rows = static_cast<double>(c.batch.rows());
  double mtp = 0;
  for (const auto& logp : packed.mtp_logp) mtp += magnitude(logp);
  EXPECT_NEAR(main_loss, packed.main_loss, bound(rows, magnitude(packed.logp)));
  EXPECT_NEAR(mtp_loss, packed.mtp_loss,
              bound(rows * static_cast<double>(packed.mtp_logp.size()), mtp));
  // f_i P_i of each expert, in each layer and document; none is negative.
  const size_t terms =
      packed.expert_load.size() * c.batch.segments.size() * c.config.n_routed_experts;
  EXPECT_NEAR(balance_loss, packed.balance_loss,
              bound(static_cast<double>(terms), packed.balance_loss));
}

TEST_P(ReferenceTest, ALaterTokenChangesNoEarlierRow) {
  ReferenceCase c = GetParam();
  const auto before = RunReference<double>(c);
  const Segment segment = c.batch.segments.back();
  const int64_t changed = segment.row + segment.rows - 1;
  c.batch.tokens[changed] =
      (c.batch.tokens[changed] + 1) % static_cast<int32_t>(c.config.vocab_size);
  const auto after = RunReference<double>(c);
  for (int64_t i = 0; i < changed * before.hidden.cols; ++i)
    ASSERT_EQ(before.hidden.data[i], after.hidden.data[i]);
  EXPECT_NE(before.hidden[changed][0], after.hidden[changed][0]);
}

// Rotary scores depend on distances alone. Each side is exact but for double rounding, that of the
// angles included: the f32 bounds, in units smaller by 2^29.
TEST_P(ReferenceTest, ShiftingPositionsChangesNothing) {
  ReferenceCase c = GetParam();
  const ParamLayout layout(c.config);
  const auto bounds = [&] {
    const TapedForward taped(c.config, layout, c.weights, c.input());
    std::vector<double> out;
    for (const auto& logp : taped.output().logp) out.push_back(0x1p-29 * taped.Bound(logp));
    return out;
  };
  const auto before = RunReference<double>(c);
  const std::vector<double> here = bounds();
  for (Segment& segment : c.batch.segments) segment.position += 11;
  const auto after = RunReference<double>(c);
  const std::vector<double> there = bounds();
  for (size_t i = 0; i < before.logp.size(); ++i) {
    EXPECT_NEAR(before.logp[i], after.logp[i], here[i] + there[i]);
  }
}

// With equal affinities f_i P_i sums to 1 whatever is chosen: f averages to 1 over the experts and
// P_i is 1/E (DeepSeek-V3 eq. 17-20).
TEST(ReferenceBalanceTest, IsOneASequenceForEqualAffinities) {
  for (ReferenceCase c : ReferenceCases()) {
    const ParamLayout layout(c.config);
    int64_t moe_layers = 0;
    for (const ParamInfo& param : layout.params()) {
      if (param.kind != ParamKind::kRouter) continue;
      ++moe_layers;
      std::fill_n(c.weights.begin() + param.offset, param.size, 0.0f);
    }
    const int64_t step = c.batch.sequence_rows;
    const int64_t sequences = step > 0 ? (c.batch.rows() + step - 1) / step
                                       : static_cast<int64_t>(c.batch.segments.size());
    EXPECT_NEAR(RunReference<double>(c).balance_loss, static_cast<double>(moe_layers * sequences),
                1e-12)
        << c.name;
  }
}

// By hand: one pair, two positions, theta irrelevant: the angle of pair 0 is the position itself.
TEST(ReferenceRotationTest, RotatesInterleavedPairsByThePosition) {
  ReferenceCase c;
  c.config = TinyConfig();
  c.config.num_hidden_layers = 1;
  c.config.num_attention_heads = 1;
  c.config.q_lora_rank = 0;
  c.config.hidden_size = 2;
  c.config.kv_lora_rank = c.config.qk_nope_head_dim = c.config.v_head_dim = 1;
  c.config.qk_rope_head_dim = 2;
  c.config.vocab_size = 2;
  c.config.rms_norm_eps = 1e-12;
  const ParamLayout layout(c.config);
  c.weights.assign(layout.buffer_size(), 0.0f);
  const auto set = [&](const char* name, std::vector<float> values) {
    std::copy(values.begin(), values.end(), c.weights.begin() + layout.Find(name)->offset);
  };
  // Tokens (1,1) and (-1,-1) after the norm; queries [0 | 1 0], keys [0 | 1 0] or its negative,
  // values 1 or -1; the output is the mixed value.
  set("model.embed_tokens.weight", {1, 1, -1, -1});
  set("model.layers.0.input_layernorm.weight", {1, 1});
  set("model.layers.0.self_attn.q_proj.weight", {0, 0, 1, 0, 0, 0});
  set("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", {1, 0, 1, 0, 0, 0});
  set("model.layers.0.self_attn.kv_a_layernorm.weight", {1});
  set("model.layers.0.self_attn.kv_b_proj.weight", {0, 1});
  set("model.layers.0.self_attn.o_proj.weight", {1, 0});
  set("model.norm.weight", {1, 1});
  c.batch.tokens = {0, 1};
  c.batch.segments = {{0, 2, 0, -1}};
  c.target = {-1, -1};
  c.weight = {0, 0};
  const auto out = RunReference<double>(c);
  // Row 1: query -(cos 1, sin 1), keys (1, 0) and -(cos 1, sin 1); scale 3^-1/2.
  const double scale = 1 / std::sqrt(3.0);
  const double p = 1 / (1 + std::exp(scale * (1 + std::cos(1.0))));  // of row 0
  const double a = -1 + p * 1 + (1 - p) * -1, b = -1;
  EXPECT_NEAR(out.hidden[1][0], a / std::sqrt((a * a + b * b) / 2), 1e-10);
}

}  // namespace
}  // namespace darkhorse
