// Tests only: small models with adapters whose products f32 holds exactly.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/random.h"
#include "model/adapter.h"
#include "model/loss.h"
#include "model/reference_cases_testing.h"
#include "model/reference_gradient_testing.h"
#include "model/transformer.h"

namespace darkhorse {

inline AdapterOptions Options(int64_t rank, std::vector<std::string> targets = {"all"}) {
  AdapterOptions options;
  options.rank = rank;
  options.alpha = 2.0 * static_cast<double>(rank);  // counts twice
  options.targets = std::move(targets);
  return options;
}

inline float Rounded(float x, float step) { return std::round(x / step) * step; }

// A case whose weights are multiples of 2^-10 and a pair's of 2^-4, small enough that f32 holds the
// base with the pairs' products in it exactly.
struct AdaptedCase {
  AdaptedCase(ReferenceCase c, const AdapterOptions& options)
      : base(std::move(c)),
        layout(AdapterLayout(base.config, options)),
        scale(options.alpha / static_cast<double>(options.rank)),
        values(static_cast<size_t>(layout.buffer_size())) {
    for (float& w : base.weights) w = Rounded(w, 0x1p-10f);
    for (const ParamInfo& param : layout.params()) {
      if (param.shape.size() == 1) continue;
      for (int64_t i = 0; i < param.size; ++i) {
        const double z = RandomNormal(9, RandomStream::kTest, param.offset, i);
        values[static_cast<size_t>(param.offset + i)] =
            Rounded(static_cast<float>(0.2 * z), 0x1p-4f);
      }
    }
    merged = base;
    const ParamLayout whole(base.config);
    ForEachPair([&](const ParamInfo& weight, const ParamInfo& a, const ParamInfo& b) {
      for (int64_t o = 0; o < weight.shape[0]; ++o) {
        for (int64_t k = 0; k < weight.shape[1]; ++k) {
          double sum = 0;
          for (int64_t r = 0; r < a.shape[0]; ++r) sum += At(b, o, r) * At(a, r, k);
          float& w = merged.weights[static_cast<size_t>(weight.offset + o * weight.shape[1] + k)];
          w = static_cast<float>(w + scale * sum);
        }
      }
    });
  }
  template <typename Visit>
  void ForEachPair(const Visit& visit) const {
    const ParamLayout whole(base.config);
    for (const ParamInfo& weight : whole.params()) {
      if (!weight.name.ends_with(".weight")) continue;
      const ParamInfo* a = layout.Find(LoraName(weight.name, 'A'));
      if (a) visit(weight, *a, *layout.Find(LoraName(weight.name, 'B')));
    }
  }
  double At(const ParamInfo& param, int64_t i, int64_t j) const {
    return values[static_cast<size_t>(param.offset + i * param.shape[1] + j)];
  }
  ReferenceCase base, merged;
  ParamLayout layout;
  double scale;
  std::vector<float> values;
};

struct Trained {
  std::vector<float> logp, gradient;
};

inline Trained RunAdapted(AdaptedCase& c, const ModelWeights& base, Format format) {
  Trained run;
  run.logp.resize(static_cast<size_t>(c.base.batch.rows()));
  run.gradient.resize(c.values.size());
  const AdaptedWeights adapted(c.base.config, base, c.layout, c.scale, c.values.data(), format);
  Arena arena;
  LossForwardBackward(
      Transformer(c.base.config), adapted.model(), {c.base.batch, c.base.target, c.base.weight},
      static_cast<float>(c.base.mtp_lambda), static_cast<float>(c.base.balance_alpha), arena,
      BindAdapterGradients(c.base.config, c.layout, run.gradient.data()), run.logp.data());
  return run;
}

// What the run says and its gradients are compared with those of the case's merged model: within
// `bounds` of the tape's.
class MergedOracle {
 public:
  MergedOracle(const AdaptedCase& c, const Trained& run, double bounds)
      : run_(run), bounds_(bounds), whole_(c.base.config) {
    CompareLogps(c);  // one tape after the other
    gradient_.emplace(c.base.config, whole_, c.merged.weights, c.merged.input());
  }

  // One element, where it is that combination of the weight's gradients. A bound takes a sweep over
  // the tape. Returns the element.
  double Check(const ParamInfo& param, int64_t index, const ParamInfo& weight,
               const std::vector<double>& of_weight) const {
    double want = 0;
    for (int64_t i = 0; i < weight.size; ++i)
      want += of_weight[static_cast<size_t>(i)] * gradient_->value(weight.offset + i);
    const double got = run_.gradient[static_cast<size_t>(param.offset + index)];
    EXPECT_LE(std::abs(got - want), bounds_ * gradient_->Bound(weight.offset, of_weight))
        << param.name << "[" << index << "]";
    return got;
  }

 private:
  void CompareLogps(const AdaptedCase& c) const {
    const TapedForward forward(c.base.config, whole_, c.merged.weights, c.merged.input());
    EXPECT_GT(forward.output().margin, 0);
    for (size_t i = 0; i < run_.logp.size(); ++i) {
      if (c.base.target[i] < 0) continue;
      const auto& want = forward.output().logp[i];
      EXPECT_LE(std::abs(run_.logp[i] - want.value()), bounds_ * forward.Bound(want)) << i;
    }
  }

  const Trained& run_;
  double bounds_;
  ParamLayout whole_;
  std::optional<TapedGradient> gradient_;
};

}  // namespace darkhorse
