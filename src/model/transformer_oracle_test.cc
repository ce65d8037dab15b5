// The fast model against the reference. Every tolerance is the bound that reference_tape_testing.h
// derives for this very model and input: the first-order worst case of f32 arithmetic.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>

#include "base/arena.h"
#include "base/random.h"
#include "model/loss.h"
#include "model/reference_cases_testing.h"
#include "model/reference_gradient_testing.h"
#include "model/transformer.h"

namespace darkhorse {
namespace {

struct FastRun {
  LossResult result;
  std::vector<float> logp, hidden, gradient;
};

FastRun RunFast(const ReferenceCase& c, Activations activations = Activations::kKept) {
  const ParamLayout layout(c.config);
  std::vector<float> weights = c.weights;
  FastRun run;
  run.logp.resize(c.batch.rows());
  run.gradient.resize(layout.buffer_size());
  const ModelWeights model = Bind(c.config, layout, weights.data());
  const ModelGradients gradient = BindGradients(c.config, layout, run.gradient.data());
  const Transformer transformer(c.config, activations);
  Arena arena;
  const Matrix hidden = transformer.Forward(model, c.batch, nullptr, arena, nullptr);
  run.hidden.assign(hidden.data, hidden.data + hidden.size());
  run.result = LossForwardBackward(
      transformer, model, {c.batch, c.target, c.weight}, static_cast<float>(c.mtp_lambda),
      static_cast<float>(c.balance_alpha), arena, gradient, run.logp.data());
  return run;
}

// Compares numbers with their bounds and remembers the worst share of a bound that was used.
class Comparison {
 public:
  void Check(double got, double want, double bound, const std::string& what) {
    const double error = std::abs(got - want);
    ASSERT_LE(error, bound) << what << ": got " << got << ", want " << want;
    worst_error_ = std::max(worst_error_, error);
    worst_bound_ = std::max(worst_bound_, bound);
    if (bound > 0) worst_share_ = std::max(worst_share_, error / bound);
  }
  void Report(const std::string& what) const {
    testing::Test::RecordProperty(what, fmt::format("error {:.1e} bound {:.1e} share {:.3f}",
                                                    worst_error_, worst_bound_, worst_share_));
  }

 private:
  double worst_error_ = 0, worst_bound_ = 0, worst_share_ = 0;
};

void CompareForward(const ReferenceCase& c, const FastRun& fast) {
  const ParamLayout layout(c.config);
  const TapedForward reference(c.config, layout, c.weights, c.input());
  const auto& want = reference.output();
  ASSERT_GT(want.margin, 0) << "a routing decision is too close for f32: choose another seed";
  const auto value = [](const Taped<double>& x) { return x.value(); };
  Comparison forward;
  for (size_t i = 0; i < fast.logp.size(); ++i) {
    if (c.target[i] < 0) continue;  // no target: logp is unspecified
    forward.Check(fast.logp[i], value(want.logp[i]), reference.Bound(want.logp[i]),
                  fmt::format("logp[{}]", i));
  }
  for (size_t i = 0; i < fast.hidden.size(); ++i) {
    forward.Check(fast.hidden[i], value(want.hidden.data[i]), reference.Bound(want.hidden.data[i]),
                  fmt::format("hidden[{}]", i));
  }
  forward.Check(fast.result.loss, value(want.main_loss), reference.Bound(want.main_loss), "loss");
  forward.Check(fast.result.mtp_loss, value(want.mtp_loss), reference.Bound(want.mtp_loss),
                "mtp_loss");
  forward.Check(fast.result.balance, value(want.balance_loss), reference.Bound(want.balance_loss),
                "balance");
  EXPECT_EQ(fast.result.load, want.expert_load);
  forward.Report("forward");
}

// For each tensor: the element with the largest error and that with the largest relative error
// against their own bounds, and a random linear function of all elements against its bound. (A
// bound takes a sweep over the tape; one for each element would take minutes.)
void CompareGradient(const ReferenceCase& c, const FastRun& fast) {
  const ParamLayout layout(c.config);
  const TapedGradient reference(c.config, layout, c.weights, c.input());
  Comparison gradient;
  for (const ParamInfo& param : layout.params()) {
    int64_t worst = 0, worst_relative = 0;
    double most = -1, most_relative = -1, probed = 0;
    std::vector<double> probe;
    for (int64_t i = 0; i < param.size; ++i) {
      const double want = reference.value(param.offset + i);
      const double error = fast.gradient[param.offset + i] - want;
      const double relative = error == 0 ? 0 : std::abs(error) / std::max(std::abs(want), 1e-300);
      if (std::abs(error) > most) worst = i, most = std::abs(error);
      if (relative > most_relative) worst_relative = i, most_relative = relative;
      probe.push_back(RandomNormal(7, RandomStream::kTest, param.offset, i));
      probed += probe.back() * error;
    }
    for (const int64_t i : {worst, worst_relative}) {
      std::vector<double> one(param.size, 0.0);
      one[i] = 1;
      gradient.Check(fast.gradient[param.offset + i], reference.value(param.offset + i),
                     reference.Bound(param.offset, one), fmt::format("d {}[{}]", param.name, i));
    }
    gradient.Check(probed, 0, reference.Bound(param.offset, probe),
                   fmt::format("d {} along a random direction", param.name));
  }
  gradient.Report("gradient");
}

void Compare(const ReferenceCase& c) {
  SCOPED_TRACE(c.name);
  const FastRun fast = RunFast(c);
  CompareForward(c, fast);
  CompareGradient(c, fast);
}

class TransformerOracleTest : public testing::TestWithParam<ReferenceCase> {};

TEST_P(TransformerOracleTest, ValuesAndGradientsAreTheReferences) { Compare(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Cases, TransformerOracleTest, testing::ValuesIn(ReferenceCases()),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(SharedPrefixes, TransformerOracleTest,
                         testing::ValuesIn(SharedPrefixCases()),
                         [](const auto& test) { return test.param.name; });

class TransformerOracleRandomTest : public testing::TestWithParam<uint64_t> {};

// Seeds whose routing has a margin that f32 cannot cross.
TEST_P(TransformerOracleRandomTest, ValuesAndGradientsAreTheReferences) {
  Compare(RandomCase(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, TransformerOracleRandomTest,
                         testing::Range(uint64_t{1}, uint64_t{13}));

// A gradient that is null is not wanted: nothing is written for it, and every other one keeps its
// bits. Each tensor alone is left out, then all of them.
TEST(TransformerGradientTest, UnwantedGradientsAreSkippedAndChangeNoOther) {
  for (const ReferenceCase& c : ReferenceCases()) {
    SCOPED_TRACE(c.name);
    const ParamLayout layout(c.config);
    std::vector<float> weights = c.weights;
    const ModelWeights model = Bind(c.config, layout, weights.data());
    const Transformer transformer(c.config);
    const auto run = [&](const std::function<bool(const std::string&)>& wanted) {
      std::vector<float> buffer(static_cast<size_t>(layout.buffer_size()));
      ModelGradients grads = BindGradients(c.config, layout, buffer.data());
      ListTensors(c.config, grads, [&](auto& tensor, const ParamSpec& spec) {
        if (!wanted(spec.name)) tensor = {};
      });
      // Tied, the head is the embedding under another name.
      if (c.config.tie_word_embeddings) grads.lm_head = grads.embed_tokens;
      Arena arena;
      LossForwardBackward(transformer, model, {c.batch, c.target, c.weight},
                          static_cast<float>(c.mtp_lambda), static_cast<float>(c.balance_alpha),
                          arena, grads);
      return buffer;
    };
    const std::vector<float> all = run([](const std::string&) { return true; });
    for (const ParamInfo& param : layout.params()) {
      std::vector<float> expected = all;
      std::fill_n(expected.begin() + param.offset, param.size, 0.0f);
      const auto got = run([&](const std::string& name) { return name != param.name; });
      ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
          << param.name;
    }
    const auto none = run([](const std::string&) { return false; });
    EXPECT_TRUE(std::all_of(none.begin(), none.end(), [](float x) { return x == 0; }));
  }
}

TEST(TransformerGradientTest, RecomputingChangesNoBit) {
  for (const ReferenceCase& c : ReferenceCases()) {
    SCOPED_TRACE(c.name);
    const FastRun kept = RunFast(c), recomputed = RunFast(c, Activations::kRecomputed);
    EXPECT_EQ(recomputed.gradient, kept.gradient);
    EXPECT_EQ(recomputed.logp, kept.logp);
    EXPECT_EQ(recomputed.result.loss, kept.result.loss);
    EXPECT_EQ(recomputed.result.balance, kept.result.balance);
    EXPECT_EQ(recomputed.result.load, kept.result.load);
  }
}

TEST(TransformerGradientTest, EveryParameterGetsAGradient) {
  for (ReferenceCase c : ReferenceCases()) {
    SCOPED_TRACE(c.name);
    c.batch = {};
    c.target.clear();
    c.weight.clear();
    FillBatch({40, 7, 33}, 1, c);  // enough for every token and every expert to occur
    c.weight.assign(c.weight.size(), 1);
    const FastRun fast = RunFast(c);
    const ParamLayout layout(c.config);
    for (const ParamInfo& param : layout.params()) {
      for (int64_t i = 0; i < param.size; ++i) {
        const bool zero = fast.gradient[param.offset + i] == 0;
        ASSERT_EQ(zero, param.kind == ParamKind::kRouterBias) << param.name << "[" << i << "]";
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
