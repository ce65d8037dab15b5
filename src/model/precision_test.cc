// The whole model in bf16 beside itself in f32, whose values and gradients are the reference's
// (transformer_oracle_test.cc). Products are held to their definition in kernel/; here it shows
// that the layers hand them the right operands, forward and backward.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/loss.h"
#include "model/reference_cases_testing.h"

namespace darkhorse {
namespace {

struct Outcome {
  LossResult result;
  std::vector<float> gradient;
};

Outcome RunIn(const ReferenceCase& c, Format format) {
  const ParamLayout layout(c.config);
  std::vector<float> weights = c.weights;
  Outcome run;
  run.gradient.resize(weights.size());
  Arena arena;
  run.result =
      LossForwardBackward(Transformer(c.config), Bind(c.config, layout, weights.data(), format),
                          {c.batch, c.target, c.weight}, static_cast<float>(c.mtp_lambda),
                          static_cast<float>(c.balance_alpha), arena,
                          BindGradients(c.config, layout, run.gradient.data()), nullptr);
  return run;
}

double Norm(const std::vector<double>& x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  return std::sqrt(squares);
}

// To first order, and with matrices of unit gain as these are, rounding an operand to 8 bits moves
// a result by at most 2^-9 of its norm. A token's loss passes nine products a layer (of queries
// two, of latents two, scores, values, output, and the feed-forward's two), modules' layers
// included, and the head's; a gradient passes them all again. Each rounds two operands.
double Bound(const ModelConfig& config) {
  const auto layers =
      static_cast<double>(config.num_hidden_layers + config.num_nextn_predict_layers);
  return 2 * (2 * (9 * layers + 1)) * 0x1p-9;
}

TEST(Precision, GradientsInBf16AreThoseOfF32) {
  int compared = 0;
  for (const ReferenceCase& c : ReferenceCases()) {
    SCOPED_TRACE(c.name);
    const Outcome f32 = RunIn(c, Format::kF32), bf16 = RunIn(c, Format::kBf16);
    if (f32.result.load != bf16.result.load) continue;  // other experts: another function
    ++compared;
    EXPECT_NE(f32.result.loss, bf16.result.loss);
    EXPECT_NEAR(bf16.result.loss / f32.result.loss, 1, Bound(c.config));
    const ParamLayout layout(c.config);
    for (const ParamInfo& param : layout.params()) {
      std::vector<double> size, difference;
      for (int64_t i = param.offset; i < param.offset + param.size; ++i) {
        const auto k = static_cast<size_t>(i);
        size.push_back(f32.gradient[k]);
        difference.push_back(static_cast<double>(bf16.gradient[k]) - f32.gradient[k]);
      }
      EXPECT_LE(Norm(difference), Bound(c.config) * Norm(size)) << param.name;
    }
  }
  EXPECT_GE(compared, 5);
}

}  // namespace
}  // namespace darkhorse
