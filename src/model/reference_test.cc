#include "model/reference.h"

#include <gtest/gtest.h>

#include <chrono>

#include "model/reference_cases.h"
#include "model/reference_gradient.h"

namespace darkhorse {
namespace {
TEST(ReferenceTest, Probe) {
  for (const ReferenceCase& c : ReferenceCases()) {
    const ParamLayout layout(c.config);
    auto t0 = std::chrono::steady_clock::now();
    auto ms = [&] {
      auto t = std::chrono::steady_clock::now();
      double d = std::chrono::duration<double>(t - t0).count() * 1e3;
      t0 = t;
      return d;
    };
    const TapedForward run(c.config, layout, c.weights, c.input());
    double m1 = ms();
    double lb = 0, hb = 0, le = 0, he = 0;
    const std::vector<float>& wf = c.weights;
    const auto f32 = Reference<float>(c.config, layout).Run(wf.data(), c.input());
    double ratio = 0;
    for (size_t i = 0; i < f32.logp.size(); ++i) {
      const auto& x = run.output().logp[i];
      double b = run.Bound(x), e = std::abs(x.value() - f32.logp[i]);
      lb = std::max(lb, b);
      le = std::max(le, e);
      if (b > 0) ratio = std::max(ratio, e / b);
    }
    for (size_t i = 0; i < f32.hidden.data.size(); ++i) {
      const auto& x = run.output().hidden.data[i];
      double b = run.Bound(x), e = std::abs(x.value() - f32.hidden.data[i]);
      hb = std::max(hb, b);
      he = std::max(he, e);
      ratio = std::max(ratio, e / b);
    }
    const auto tg = run.Gradient();
    double m2 = ms();
    const auto g = ComplexStepGradient(c.config, layout, c.weights, c.input());
    double m3 = ms();
    double worst = 0, scale = 0, worst2 = 0;
    {}
    printf(
        "%-20s P=%ld logp %.2g/%.2g hidden %.2g/%.2g ratio %.2g margin %.2g loss %g ms %g %g %g\n",
        c.name.c_str(), (long)layout.parameter_count(), le, lb, he, hb, ratio, run.output().margin,
        run.output().loss.value(), m1, m2, m3);
    for (size_t i = 0; i < g.size(); ++i) {
      worst = std::max(worst, std::abs(g[i] - tg[i]));
      scale = std::max(scale, std::abs(g[i]));
    }
    (void)worst2;
    printf("    tape-cs %.2g scale %.2g\n", worst, scale);
  }
}
TEST(ReferenceTest, Probe2) {
  for (const ReferenceCase& c : ReferenceCases()) {
    const ParamLayout layout(c.config);
    auto t0 = std::chrono::steady_clock::now();
    auto ms = [&] {
      auto t = std::chrono::steady_clock::now();
      double d = std::chrono::duration<double>(t - t0).count() * 1e3;
      t0 = t;
      return d;
    };
    const TapedGradient run(c.config, layout, c.weights, c.input());
    double m1 = ms();
    double worst = 0, rel = 0;
    for (const auto& p : layout.params()) {
      std::vector<double> probe(p.size, 0.0);
      double n = 0;
      for (int i = 0; i < p.size; ++i) n = std::max(n, std::abs(run.value(p.offset + i)));
      probe[p.size / 2] = 1;
      double b = run.Bound(p.offset, probe);
      worst = std::max(worst, b);
      if (n > 0) rel = std::max(rel, b / n);
    }
    printf("%s gradient bound %.2g rel %.2g ms %g %g\n", c.name.c_str(), worst, rel, m1, ms());
  }
}
}  // namespace
}  // namespace darkhorse
