#include "rl/grpo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace darkhorse {
namespace {

using Complex = std::complex<double>;

// The equations of grpo.h on any number type. Minima, clips and stop-gradients are decided by the
// real part, so that a step along the imaginary axis differentiates the branch taken.
template <typename T>
struct OracleInput {
  double advantage;
  std::vector<T> logp, entropy;
  std::vector<double> logp_old, logp_sample, logp_ref;
};

template <typename T>
T OracleLoss(const GrpoOptions& o, const GrpoScale& scale, const OracleInput<T>& x) {
  const size_t n = x.logp.size();
  double weight = 1.0 / static_cast<double>(scale.tokens);
  if (o.normalization == "sequence") weight = 1.0 / static_cast<double>(scale.samples * n);
  if (o.normalization == "constant")
    weight = 1.0 / static_cast<double>(scale.samples * scale.max_tokens);
  T mean = 0;
  for (size_t t = 0; t < n; ++t) mean += (x.logp[t] - x.logp_old[t]) / static_cast<double>(n);
  T loss = 0;
  for (size_t t = 0; t < n; ++t) {
    const T ratio = std::exp(o.ratio == "sequence" ? mean : x.logp[t] - x.logp_old[t]);
    const double a = x.advantage, r = std::real(ratio);
    const double importance =
        o.importance_cap > 0
            ? std::min(std::exp(x.logp_old[t] - x.logp_sample[t]), o.importance_cap)
            : 1.0;
    T term = 0;
    if (o.objective == "clip") {
      T clipped = ratio;
      if (r < 1 - o.clip_low) clipped = 1 - o.clip_low;
      if (r > 1 + o.clip_high) clipped = 1 + o.clip_high;
      term = std::real(clipped) * a < r * a ? clipped * a : ratio * a;
    } else if (o.objective == "cispo") {
      term = std::min(r, 1 + o.clip_high) * a * x.logp[t];
    } else {
      term = a * x.logp[t];
    }
    loss -= weight * importance * term;
    if (o.kl_beta > 0) {
      const T d = x.logp_ref[t] - x.logp[t];
      loss += o.kl_beta * weight * (std::exp(d) - d - 1.0);
    }
    loss -= o.entropy_bonus * weight * x.entropy[t];
  }
  return loss;
}

std::vector<double> Doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

struct Case {
  double advantage;
  std::vector<float> logp, logp_old, logp_sample, logp_ref;

  explicit Case(uint64_t index) {
    RandomSequence random(3, RandomStream::kTest, index);
    // Lengths 1 to 9; both signs; ratios of a standard deviation of 0.4 cross either clip. In the
    // sequence form the mean must, so half the cases are shifted as a whole.
    const size_t n = 1 + random.Below(9);
    advantage = (index % 2 ? 1 : -1) * (0.1 + random.Uniform());
    const double shift = index % 4 < 2 ? 0 : (random.Below(2) ? 0.5 : -0.5);
    const auto near = [&](float x, double by) {
      return static_cast<float>(x + by * (2 * random.Uniform() - 1));
    };
    for (size_t t = 0; t < n; ++t) {
      logp_old.push_back(static_cast<float>(-0.01 - 4 * random.Uniform()));
      logp.push_back(near(static_cast<float>(logp_old[t] + shift), 0.7));
      logp_sample.push_back(near(logp_old[t], 0.7));
      logp_ref.push_back(near(logp[t], 1.0));
    }
  }

  GrpoSample Sample() const { return {advantage, false, logp, logp_old, logp_sample, logp_ref}; }

  // Value and gradients by the complex step: d f(x + ih) / h is exact but for rounding, h = 1e-100.
  double Loss(const GrpoOptions& o, const GrpoScale& scale, std::vector<double>* dlogp,
              std::vector<double>* dentropy) const {
    constexpr double kStep = 1e-100;
    OracleInput<Complex> x{
        advantage,         {logp.begin(), logp.end()}, std::vector<Complex>(logp.size()),
        Doubles(logp_old), Doubles(logp_sample),       Doubles(logp_ref)};
    for (auto [input, gradient] : {std::pair{&x.logp, dlogp}, {&x.entropy, dentropy}}) {
      for (Complex& value : *input) {
        value += Complex(0, kStep);
        gradient->push_back(std::imag(OracleLoss(o, scale, x)) / kStep);
        value = std::real(value);
      }
    }
    return std::real(OracleLoss(o, scale, x));
  }
};

constexpr GrpoScale kScale{.tokens = 37, .samples = 5, .max_tokens = 16};
constexpr int kCases = 200;

// What is counted beside the loss, by its words.
void ExpectCounts(const GrpoOptions& o, const Case& c, const GrpoMetrics& metrics) {
  const size_t n = c.logp.size();
  double log_ratio = 0;
  for (size_t t = 0; t < n; ++t)
    log_ratio += (static_cast<double>(c.logp[t]) - c.logp_old[t]) / static_cast<double>(n);
  int64_t low = 0, high = 0;
  double ratios = 0, kl = 0, gap = 0;
  for (size_t t = 0; t < n; ++t) {
    const double ratio = std::exp(
        o.ratio == "sequence" ? log_ratio : static_cast<double>(c.logp[t]) - c.logp_old[t]);
    ratios += ratio;
    // A clipped ratio has no gradient of clip's: at the end towards which the advantage pulls.
    low += o.objective == "clip" && c.advantage < 0 && ratio < 1 - o.clip_low;
    high += (o.objective == "cispo" || (o.objective == "clip" && c.advantage > 0)) &&
            ratio > 1 + o.clip_high;
    const double d = static_cast<double>(c.logp_ref[t]) - c.logp[t];
    if (o.kl_beta > 0) kl += std::exp(d) - d - 1;
    gap = std::max(gap, std::abs(static_cast<double>(c.logp_old[t]) - c.logp_sample[t]));
  }
  EXPECT_EQ(metrics.clipped_low, low);
  EXPECT_EQ(metrics.clipped_high, high);
  EXPECT_EQ(metrics.tokens, static_cast<int64_t>(n));
  EXPECT_EQ(metrics.sampling_gap, gap);
  EXPECT_DOUBLE_EQ(metrics.ratio_sum, ratios);
  EXPECT_DOUBLE_EQ(metrics.kl, kl);
}

void CheckGradient(const GrpoOptions& o, GrpoMetrics& seen) {
  Validate(o);
  for (uint64_t index = 0; index < kCases; ++index) {
    const Case c(index);
    const size_t n = c.logp.size();
    std::vector<float> dlogp(n), dentropy(n);
    const GrpoMetrics metrics = GrpoSampleLoss(o, kScale, c.Sample(), dlogp, dentropy);
    seen.Add(metrics);
    ExpectCounts(o, c, metrics);
    std::vector<double> want_logp, want_entropy;
    const double loss = c.Loss(o, kScale, &want_logp, &want_entropy);
    // Every term is at most w * exp(|d|) * (|A| + beta) * |logp| with |d| < 2.4 and |logp| < 6: 100
    // w bounds a token. Double arithmetic over n of them is good to (n + 20) * 2^-53 of that.
    const double w = 1.0 / 5;
    const double rounding =
        0x1p-53 * static_cast<double>(n + 20) * 100 * w * static_cast<double>(n);
    EXPECT_NEAR(metrics.loss, loss, rounding);
    for (size_t t = 0; t < n; ++t) {
      // Two roundings to float: the KL part, then the sum with what the sequence shares.
      const double kl =
          o.kl_beta * w * std::abs(1 - std::exp(static_cast<double>(c.logp_ref[t]) - c.logp[t]));
      EXPECT_NEAR(dlogp[t], want_logp[t], 0x1p-24 * (std::abs(want_logp[t]) + kl) + rounding)
          << "token " << t << " of case " << index;
      EXPECT_NEAR(dentropy[t], want_entropy[t], 0x1p-23 * std::abs(want_entropy[t]));
    }
  }
}

TEST(Grpo, EveryVariantHasTheGradientOfItsEquation) {
  for (const std::string objective : {"clip", "cispo", "reinforce"}) {
    for (const std::string ratio : {"token", "sequence"}) {
      for (const std::string normalization : {"token", "sequence", "constant"}) {
        for (const double kl_beta : {0.0, 0.3}) {
          for (const double cap : {0.0, 1.2}) {
            SCOPED_TRACE(fmt::format("{} {} {} kl {} cap {}", objective, ratio, normalization,
                                     kl_beta, cap));
            GrpoOptions o;
            o.objective = objective;
            o.ratio = ratio;
            o.normalization = normalization;
            o.kl_beta = kl_beta;
            o.importance_cap = cap;
            // The loss of the metrics leaves the bonus out, and so does OracleLoss: its
            // entropies are 0, only their derivative is not.
            o.entropy_bonus = 0.01;
            GrpoMetrics seen;
            CheckGradient(o, seen);
            // What an objective clips was exercised.
            EXPECT_EQ(seen.clipped_low > 10, objective == "clip");
            EXPECT_EQ(seen.clipped_high > 10, objective != "reinforce");
          }
        }
      }
    }
  }
}

TEST(Grpo, OnPolicyTheObjectivesAgree) {
  // At logp = logp_old every ratio is 1: clip, cispo and reinforce have one gradient, -w A.
  Case c(1);
  c.logp = c.logp_old;
  const size_t n = c.logp.size();
  for (const std::string objective : {"clip", "cispo", "reinforce"}) {
    for (const std::string ratio : {"token", "sequence"}) {
      GrpoOptions o;
      o.objective = objective;
      o.ratio = ratio;
      std::vector<float> dlogp(n), dentropy(n);
      const GrpoMetrics metrics = GrpoSampleLoss(o, kScale, c.Sample(), dlogp, dentropy);
      EXPECT_EQ(metrics.clipped_low + metrics.clipped_high, 0);
      EXPECT_EQ(metrics.ratio_sum, static_cast<double>(n));
      // n terms of -wA/n, summed in double, then one rounding to float.
      for (const float d : dlogp) EXPECT_NEAR(d, -c.advantage / 37, 0x1p-23 * c.advantage / 37);
    }
  }
}

TEST(Grpo, MaskedSamplesTeachNothingButAreCompared) {
  const Case c(2);
  GrpoSample sample = c.Sample();
  sample.masked = true;
  std::vector<float> dlogp(c.logp.size(), 7.0f), dentropy(c.logp.size(), 7.0f);
  GrpoOptions o;
  o.entropy_bonus = 1;
  const GrpoMetrics metrics = GrpoSampleLoss(o, kScale, sample, dlogp, dentropy);
  EXPECT_EQ(metrics.loss, 0);
  EXPECT_EQ(metrics.tokens, 0);
  EXPECT_EQ(dlogp, std::vector<float>(c.logp.size(), 0.0f));
  EXPECT_EQ(dentropy, std::vector<float>(c.logp.size(), 0.0f));
  double gap = 0;
  for (size_t t = 0; t < c.logp.size(); ++t)
    gap = std::max(gap, std::abs(static_cast<double>(c.logp_old[t]) - c.logp_sample[t]));
  EXPECT_EQ(metrics.sampling_gap, gap);
}

TEST(Grpo, AdvantagesOfGroups) {
  GrpoOptions o;
  const std::vector<double> rewards = {1, 0, 0, 1, 0.1, 0.1, 0.1, 0.1, 1, 0, 0, 0};
  // Exact: all group means are representable.
  EXPECT_EQ(Advantages(o, rewards, 4),
            (std::vector<double>{0.5, -0.5, -0.5, 0.5, 0, 0, 0, 0, 0.75, -0.25, -0.25, -0.25}));
  o.advantage = "mean_std";
  // Deviations 1/2 and sqrt(3)/4.
  const double high = 3 / std::sqrt(3.0), low = -1 / std::sqrt(3.0);
  const std::vector<double> by_group = {1, -1, -1, 1, 0, 0, 0, 0, high, low, low, low};
  const std::vector<double> got = Advantages(o, rewards, 4);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], by_group[i], 8 * 0x1p-52);
  o.advantage = "batch_std";
  // sum 3.4 and sum of squares 3.04 over 12.
  const double deviation = std::sqrt(3.04 / 12 - 3.4 * 3.4 / 144);
  const std::vector<double> by_batch = Advantages(o, rewards, 4);
  const std::vector<double> centred = Advantages(GrpoOptions{}, rewards, 4);
  for (size_t i = 0; i < rewards.size(); ++i)
    EXPECT_NEAR(by_batch[i], centred[i] / deviation, 32 * 0x1p-52);
}

TEST(Grpo, EqualRewardsHaveNoAdvantage) {
  // 0.1 * 7 / 7 is not 0.1: the rounding of a mean must not become a signal, least of all after a
  // division by it.
  for (const std::string advantage : {"mean", "mean_std", "batch_std"}) {
    GrpoOptions o;
    o.advantage = advantage;
    for (const double reward : {0.0, 0.1, 0.7, 1.0}) {
      EXPECT_EQ(Advantages(o, std::vector<double>(7, reward), 7), std::vector<double>(7, 0.0));
    }
  }
}

// ---- A bandit with a known optimum ----

constexpr size_t kArms = 5, kPulls = 3, kGroup = 16;
constexpr double kReward[kArms] = {0.25, 0.5, 0, 1, 0.75};  // best: 3, worst: 2

std::vector<double> Softmax(const std::vector<double>& logits) {
  std::vector<double> p;
  for (const double x : logits) p.push_back(std::exp(x));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

size_t Draw(const std::vector<double>& p, double uniform) {
  size_t arm = 0;
  while (arm + 1 < p.size() && (uniform -= p[arm]) >= 0) ++arm;
  return arm;
}

// A policy that is one softmax over arms; a sample is three pulls and is paid their mean reward
// times `sign`. Trained by plain gradient descent with these losses, two passes over each step's
// samples. Returns the policy.
std::vector<double> TrainBandit(const GrpoOptions& o, double sign) {
  std::vector<double> logits(kArms, 0.0);
  const GrpoScale scale{kGroup * kPulls, kGroup, kPulls};
  for (uint64_t step = 0; step < 150; ++step) {
    const std::vector<double> old = Softmax(logits);
    std::vector<std::vector<size_t>> pulls(kGroup);
    std::vector<double> rewards(kGroup, 0.0);
    for (size_t i = 0; i < kGroup; ++i) {
      for (size_t t = 0; t < kPulls; ++t) {
        const double u = RandomUniform(9, RandomStream::kTest, step, i * kPulls + t);
        pulls[i].push_back(Draw(old, u));
        rewards[i] += sign * kReward[pulls[i].back()] / kPulls;
      }
    }
    const std::vector<double> advantages = Advantages(o, rewards, kGroup);
    for (int epoch = 0; epoch < 2; ++epoch) {
      const std::vector<double> p = Softmax(logits);
      for (size_t i = 0; i < kGroup; ++i) {
        std::vector<float> logp, logp_old, dlogp(kPulls), dentropy(kPulls);
        for (const size_t arm : pulls[i]) {
          logp.push_back(static_cast<float>(std::log(p[arm])));
          logp_old.push_back(static_cast<float>(std::log(old[arm])));
        }
        GrpoSampleLoss(o, scale, {advantages[i], false, logp, logp_old, logp_old, {}}, dlogp,
                       dentropy);
        for (size_t t = 0; t < kPulls; ++t) {
          for (size_t arm = 0; arm < kArms; ++arm)
            logits[arm] -= 1.0 * dlogp[t] * ((arm == pulls[i][t]) - p[arm]);
        }
      }
    }
  }
  return Softmax(logits);
}

TEST(Grpo, BanditFindsTheBestArmAndFlippedTheWorst) {
  for (const std::string advantage : {"mean", "mean_std", "batch_std"}) {
    for (const std::string objective : {"clip", "cispo", "reinforce"}) {
      for (const std::string ratio : {"token", "sequence"}) {
        SCOPED_TRACE(advantage + " " + objective + " " + ratio);
        GrpoOptions o;
        o.advantage = advantage;
        o.objective = objective;
        o.ratio = ratio;
        EXPECT_GT(TrainBandit(o, 1)[3], 0.8);
        const std::vector<double> flipped = TrainBandit(o, -1);
        EXPECT_GT(flipped[2], 0.8);
        EXPECT_LT(flipped[3], 1.0 / kArms);
      }
    }
  }
}

TEST(Grpo, KlPenaltyStopsWhereItsEquationSays) {
  // In expectation over arms, k3 as a loss is KL(ref || policy) (its gradient is -E_ref[grad
  // logp]), so the fixed point of reward and penalty solves p_a (r_a - sum_b p_b r_b) + beta (ref_a
  // - p_a) = 0.
  GrpoOptions o;
  o.objective = "reinforce";
  o.kl_beta = 0.5;
  const std::vector<double> reference = {0.4, 0.1, 0.2, 0.1, 0.2};
  std::vector<double> logits(kArms, 0.0);
  std::vector<double> force(kArms);
  for (int step = 0; step < 2000; ++step) {
    const std::vector<double> p = Softmax(logits);
    double mean = 0;
    for (size_t arm = 0; arm < kArms; ++arm) mean += p[arm] * kReward[arm];
    std::vector<double> gradient(kArms, 0.0);
    for (size_t pulled = 0; pulled < kArms; ++pulled) {
      const std::vector<float> logp = {static_cast<float>(std::log(p[pulled]))};
      const std::vector<float> logp_ref = {static_cast<float>(std::log(reference[pulled]))};
      std::vector<float> dlogp(1), dentropy(1);
      GrpoSampleLoss(o, {1, 1, 1}, {kReward[pulled] - mean, false, logp, logp, logp, logp_ref},
                     dlogp, dentropy);
      for (size_t arm = 0; arm < kArms; ++arm)
        gradient[arm] += p[pulled] * dlogp[0] * ((arm == pulled) - p[arm]);
    }
    for (size_t arm = 0; arm < kArms; ++arm) {
      logits[arm] -= gradient[arm];
      force[arm] = p[arm] * (kReward[arm] - mean) + o.kl_beta * (reference[arm] - p[arm]);
    }
  }
  // dlogp is rounded to float and logp too (|logp| < 4): 2^-22 of values below 2.
  for (const double f : force) EXPECT_NEAR(f, 0, 0x1p-20);
}

TEST(Grpo, RefusesWhatItDoesNotKnow) {
  const auto refuses = [](auto change, const std::string& expected) {
    GrpoOptions o;
    change(o);
    try {
      Validate(o);
      ADD_FAILURE() << "accepted: " << expected;
    } catch (const UsageError& e) {
      EXPECT_NE(std::string(e.what()).find(expected), std::string::npos) << e.what();
    }
  };
  refuses([](GrpoOptions& o) { o.objective = "ppo"; }, "clip, cispo, reinforce");
  refuses([](GrpoOptions& o) { o.advantage = "std"; }, "mean, mean_std, batch_std");
  refuses([](GrpoOptions& o) { o.ratio = "group"; }, "token, sequence");
  refuses([](GrpoOptions& o) { o.normalization = "mean"; }, "token, sequence, constant");
  refuses([](GrpoOptions& o) { o.kl_beta = -1; }, "grpo.kl_beta is -1");
  refuses([](GrpoOptions& o) { o.clip_high = NAN; }, "grpo.clip_high is nan");
  refuses([](GrpoOptions& o) { o.entropy_bonus = -INFINITY; }, "grpo.entropy_bonus is -inf");
}

TEST(Grpo, MetricsAddUpButTheGapIsTheLargest) {
  GrpoMetrics sum{.loss = 1,
                  .kl = 2,
                  .tokens = 3,
                  .clipped_low = 4,
                  .clipped_high = 5,
                  .ratio_sum = 6,
                  .sampling_gap = 0.5};
  sum.Add({.loss = 10,
           .kl = 20,
           .tokens = 30,
           .clipped_low = 40,
           .clipped_high = 50,
           .ratio_sum = 60,
           .sampling_gap = 0.25});
  EXPECT_EQ(sum.loss, 11);
  EXPECT_EQ(sum.kl, 22);
  EXPECT_EQ(sum.tokens, 33);
  EXPECT_EQ(sum.clipped_low, 44);
  EXPECT_EQ(sum.clipped_high, 55);
  EXPECT_EQ(sum.ratio_sum, 66);
  EXPECT_EQ(sum.sampling_gap, 0.5);
  sum.Add({.sampling_gap = 0.75});
  EXPECT_EQ(sum.sampling_gap, 0.75);
}

}  // namespace
}  // namespace darkhorse
