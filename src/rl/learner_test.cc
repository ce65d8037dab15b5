// How the pieces of a step are joined: scripted rewards in, and what has to come of them worked out
// here from the samples.
#include "rl/learner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/head.h"
#include "model/loss.h"
#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

// The loss where every ratio is 1, -sum_i w_i A_i len_i, of samples that lie group by group.
double ExpectedLoss(const ReinforceRecipe& recipe, std::span<const Sample> samples) {
  const size_t group = static_cast<size_t>(recipe.rl.group_size);
  double sum = 0, tokens = 0, count = 0;
  for (size_t begin = 0; begin < samples.size(); begin += group) {
    const auto own = samples.subspan(begin, group);
    double total = 0, scored = 0;
    for (const Sample& s : own) {
      if (s.score.failed) continue;
      total += s.score.value;
      ++scored;
    }
    // One that could not be scored is worth the others' mean, so the mean is theirs.
    const double mean = total / scored;
    for (const Sample& s : own) {
      if (s.score.failed || s.truncated) continue;
      const double length = static_cast<double>(s.completion.size());
      const double advantage = s.score.value - mean;
      sum -= recipe.grpo.normalization == "sequence" ? advantage : advantage * length;
      tokens += length;
      ++count;
    }
  }
  if (recipe.grpo.normalization == "token") return sum / tokens;
  if (recipe.grpo.normalization == "sequence") return sum / count;
  return sum / count / static_cast<double>(recipe.rl.max_tokens);
}

TEST_F(LearnerTest, TheLossIsDividedByWhatIsTrainedOn) {
  for (const std::string normalization : {"token", "sequence", "constant"}) {
    ReinforceRecipe recipe = Still();
    recipe.grpo.normalization = normalization;
    recipe.rl.mask_truncated = true;
    Scripted environment({{"all", 1}}, ByPlace);
    const std::vector<Sample> samples = FirstRound(recipe, environment);
    const auto truncated = std::ranges::count_if(samples, &Sample::truncated);
    ASSERT_GT(truncated, 2);
    ASSERT_LT(truncated, 20);
    const ReinforceMetrics metrics = Make(recipe, environment)->Step({});
    EXPECT_EQ(environment.said[0], environment.said[1]) << "not the samples looked at";
    ASSERT_EQ(metrics.frac_reward_zero_std, 0);
    // At most 32 * 14 terms, each below 1 in all forms and rounded a few times.
    EXPECT_NEAR(metrics.loss, ExpectedLoss(recipe, samples), 32 * 14 * 8 * 0x1p-53)
        << normalization;
    EXPECT_EQ(metrics.sampling_gap, 0);
    EXPECT_EQ(metrics.clip_ratio_low, 0);
    EXPECT_EQ(metrics.clip_ratio_high, 0);
  }
}

TEST_F(LearnerTest, EachMinibatchIsDividedByItsOwnSamples) {
  for (const int64_t minibatches : {2, 3}) {
    ReinforceRecipe recipe = Still();
    recipe.rl.mask_truncated = true;
    recipe.rl.minibatches = minibatches;
    recipe.rl.inner_epochs = 2;
    Scripted environment({{"all", 1}}, ByPlace);
    const std::vector<Sample> samples = FirstRound(recipe, environment);
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    const ReinforceMetrics metrics = learner->Step({});
    // Groups [8 k / n, 8 (k + 1) / n) make minibatch k.
    double expected = 0;
    for (int64_t k = 0; k < minibatches; ++k) {
      const size_t begin = static_cast<size_t>(8 * k / minibatches) * 4;
      const size_t end = static_cast<size_t>(8 * (k + 1) / minibatches) * 4;
      expected += ExpectedLoss(recipe, std::span(samples).subspan(begin, end - begin)) /
                  static_cast<double>(minibatches);
    }
    EXPECT_NEAR(metrics.loss, expected, 32 * 14 * 8 * 0x1p-53) << minibatches;
    EXPECT_EQ(learner->progress().updates, 2 * minibatches);
  }
}

// What an evaluation of the entropy by hand gives: over the tokens of samples that are trained on.
TEST_F(LearnerTest, EntropyIsOfTheTokensTrainedOn) {
  ReinforceRecipe recipe = Still();
  recipe.rl.mask_truncated = true;
  Scripted environment({{"all", 1}}, ByPlace);
  double sum = 0, tokens = 0;
  Arena arena;
  for (const Sample& s : FirstRound(recipe, environment)) {
    if (s.score.failed || s.truncated) continue;
    const PolicySample sample{.sample = &s};
    const PolicyBatch batch = PackSamples({&sample, 1}, 1000).front();
    ArenaScope scope(arena);
    const ModelWeights& weights = trained_->bound_weights();
    const ConstMatrix hidden =
        trained_->model().Forward(weights, batch.batch, nullptr, arena, nullptr);
    std::vector<float> logp(batch.target.size()), entropy(batch.target.size());
    HeadForward(hidden, weights.lm_head, batch.target.data(), arena, logp.data(), entropy.data());
    for (size_t row = s.prompt.size() - 1; row < entropy.size(); ++row) sum += entropy[row];
    tokens += static_cast<double>(s.completion.size());
  }
  const ReinforceMetrics metrics = Make(recipe, environment)->Step({});
  EXPECT_NEAR(metrics.entropy, sum / tokens, tokens * 0x1p-53 * sum / tokens);
  // Of several updates the mean: where no weight moves, each is the first again.
  recipe.rl.inner_epochs = 2;
  const ReinforceMetrics twice = Make(recipe, environment)->Step({});
  EXPECT_EQ(twice.entropy, metrics.entropy);
  EXPECT_EQ(twice.grad_norm, metrics.grad_norm);
  EXPECT_TRUE(metrics.scored && metrics.trained);
  EXPECT_FALSE(metrics.kl);  // there is no reference
}

// The old policy of a second pass is that which sampled, not the one that the first pass made.
TEST_F(LearnerTest, EveryPassIsComparedWithThePolicyThatSampled) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-2;
  recipe.optimizer.epsilon = 1e-8;
  recipe.rl.inner_epochs = 3;
  Scripted environment({{"all", 1}}, ByPlace);
  const ReinforceMetrics metrics = Make(recipe, environment)->Step({});
  EXPECT_EQ(metrics.sampling_gap, 0);
  EXPECT_GT(metrics.clip_ratio_low + metrics.clip_ratio_high, 0);
}

// Rewards that differ are one thing, samples to train on another.
TEST_F(LearnerTest, GroupsOfMaskedSamplesTeachNothing) {
  ReinforceRecipe recipe = Still();
  recipe.rl.max_tokens = 2;  // holds no answer
  recipe.rl.mask_truncated = true;
  recipe.rl.max_refills = 1;
  recipe.optimizer.learning_rate = 1;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const std::vector<float> before = WeightsOf(*learner);
  const ReinforceMetrics metrics = learner->Step({});
  EXPECT_EQ(metrics.frac_reward_zero_std, 0);
  EXPECT_EQ(metrics.refills, 1);
  EXPECT_FALSE(metrics.trained);
  EXPECT_EQ(metrics.mean_terminated_length, std::nullopt);  // all were cut off
  EXPECT_EQ(learner->progress().updates, 0);
  EXPECT_EQ(learner->progress().completed, 1);
  EXPECT_EQ(WeightsOf(*learner), before);
}

TEST_F(LearnerTest, AStepUsesItsOwnLearningRate) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-3;
  recipe.optimizer.epsilon = 1e-30;
  recipe.optimizer.max_grad_norm = 0;
  recipe.schedule.warmup_steps = 4;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const std::vector<float> before = WeightsOf(*learner);
  EXPECT_EQ(learner->Step({}).learning_rate, 1e-3 * 0.25);
  const std::vector<float> after = WeightsOf(*learner);
  // AdamW's first update is the sign of the gradient times the rate, whatever its size.
  double largest = 0, weight = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(after[i]) - before[i]));
    weight = std::max(weight, std::abs(static_cast<double>(before[i])));
  }
  // The new weight is rounded to float, and the update a few times.
  EXPECT_NEAR(largest, 1e-3 * 0.25, (weight + 1) * 0x1p-24 + 1e-3 * 8 * 0x1p-24);
  EXPECT_EQ(learner->Step({}).learning_rate, 1e-3 * 0.5);
}

TEST_F(LearnerTest, TheReferenceMovesWhenItIsDue) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-3;
  recipe.grpo.kl_beta = 0.1;
  const auto kls = [&](int64_t every) {
    recipe.rl.reference_every = every;
    Scripted environment({{"all", 1}}, ByPlace);
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    std::vector<bool> apart;
    for (int step = 0; step < 6; ++step) apart.push_back(learner->Step({}).kl > 0);
    return apart;
  };
  // Before its update a step's policy is the reference where that has just moved, to the bit.
  EXPECT_EQ(kls(0), (std::vector<bool>{false, true, true, true, true, true}));
  EXPECT_EQ(kls(1), std::vector<bool>(6, false));
  EXPECT_EQ(kls(2), (std::vector<bool>{false, true, false, true, false, true}));
  EXPECT_EQ(kls(3), (std::vector<bool>{false, true, true, false, true, true}));
}

TEST_F(LearnerTest, TheReferenceCountsStepsWithoutAnUpdateToo) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-3;
  recipe.grpo.kl_beta = 0.1;
  recipe.rl.reference_every = 3;
  Scripted environment({{"all", 1}}, [](size_t call, size_t sample) {
    return call == 0 ? Worth(0) : Worth(sample % 4 == 0);  // the first step teaches nothing
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  std::vector<bool> apart;
  for (int step = 0; step < 6; ++step) apart.push_back(learner->Step({}).kl > 0);
  EXPECT_EQ(learner->progress().updates, 5);
  EXPECT_EQ(apart, (std::vector<bool>{false, false, true, false, true, true}));
}

TEST_F(LearnerTest, LoadsAddUpAndMoveTheRouterBiases) {
  ReinforceRecipe recipe = Still();
  recipe.rl.minibatches = 3;
  recipe.rl.inner_epochs = 3;
  recipe.rl.micro_batch_tokens = 4096;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::vector<Sample> samples = FirstRound(recipe, environment);
  // All problems are the same here: their prompt's rows are computed once for a minibatch.
  int64_t rows = 3 * static_cast<int64_t>(samples.front().prompt.size() - 1);
  for (const Sample& s : samples) rows += static_cast<int64_t>(s.completion.size());
  const auto biases = [&](double gamma) {
    recipe.rl.router_bias_gamma = gamma;
    const std::unique_ptr<Learner> learner = Make(recipe, environment);
    const ReinforceMetrics metrics = learner->Step({});
    EXPECT_EQ(metrics.load.size(), 1u);
    EXPECT_EQ(std::accumulate(metrics.load[0].begin(), metrics.load[0].end(), int64_t{0}),
              3 * rows * trained_->config().num_experts_per_tok);
    // Uneven by what the worst of the updates was.
    EXPECT_GT(metrics.max_violation, 0);
    EXPECT_LT(metrics.max_violation, trained_->config().n_routed_experts - 1);
    std::vector<float> weights = WeightsOf(*learner);
    const ModelWeights bound = Bind(trained_->config(), trained_->layout(), weights.data());
    const float* bias = RouterBiases(bound).front();
    return std::vector<float>(bias, bias + trained_->config().n_routed_experts);
  };
  const std::vector<float> still = biases(0), moved = biases(0.25);
  // Nine updates, each a quarter up or down (or none where the load is the mean).
  double steps = 0;
  for (size_t e = 0; e < still.size(); ++e) {
    const double change = (moved[e] - still[e]) / 0.25;
    EXPECT_EQ(change, std::round(change));
    EXPECT_LE(std::abs(change), 9);
    steps += std::abs(change);
  }
  EXPECT_GT(steps, 0);
}

TEST_F(LearnerTest, TheTemperatureIsTheRecipes) {
  ReinforceRecipe recipe = Still();
  recipe.rl.temperature = 1e-3;  // the most probable token, as good as always
  Scripted environment({{"all", 1}}, ByPlace);
  Make(recipe, environment)->Step({});
  for (const std::string& text : environment.said[0]) EXPECT_EQ(text, environment.said[0][0]);
}

TEST_F(LearnerTest, MoreMinibatchesThanGroupsAreOneEach) {
  ReinforceRecipe recipe = Still();
  recipe.rl.minibatches = 5;
  Scripted environment({{"all", 1}}, [](size_t, size_t sample) {
    return Worth(sample < 8 && sample % 4 == 0 ? 1 : 0);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  EXPECT_EQ(learner->Step({}).frac_reward_zero_std, 6.0 / 8);
  EXPECT_EQ(learner->progress().updates, 2);
}

TEST_F(LearnerTest, KlIsTheMeanOverTokensOfTheEstimate) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-2;
  recipe.optimizer.epsilon = 1e-8;
  recipe.grpo.kl_beta = 0.1;
  Scripted environment({{"all", 1}},
                       [](size_t, size_t sample) { return Worth(sample % 2 ? 1 : 0); });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  learner->Step({});
  // The second step's samples, from the policy after the first; the reference is as it began.
  std::vector<float> weights = WeightsOf(*learner);
  const std::vector<Sample> samples = Round(recipe, environment, weights.data(), uint64_t{1} << 32);
  std::vector<PolicySample> policy;
  for (const Sample& s : samples) policy.push_back({.sample = &s});
  const auto reference = CompletionLogps(trained_->model(), trained_->bound_weights(), 1000,
                                         trained_->arena(), policy);
  double sum = 0, tokens = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    for (size_t t = 0; t < reference[i].size(); ++t) {
      const double d = static_cast<double>(reference[i][t]) - samples[i].logp[t];
      sum += std::exp(d) - d - 1;
      ++tokens;
    }
  }
  const ReinforceMetrics metrics = learner->Step({});
  EXPECT_EQ(environment.said.back(), environment.said[environment.said.size() - 2]);
  EXPECT_GT(sum, 0);
  EXPECT_NEAR(metrics.kl.value(), sum / tokens, 4 * tokens * 0x1p-53);
}

TEST_F(LearnerTest, AnInterruptedStepLeavesEverythingAsItWas) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-3;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  int asked = 0;
  EXPECT_THROW(learner->Step([&] { return ++asked == 30; }), Interruption);
  EXPECT_EQ(asked, 30);
  EXPECT_EQ(learner->progress().next_problem, 0);
  EXPECT_EQ(learner->progress().generated, 0);
  EXPECT_EQ(learner->progress().completed, 0);
  Scripted other({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> fresh = Make(recipe, other);
  EXPECT_EQ(learner->Step({}).loss, fresh->Step({}).loss);
  EXPECT_EQ(WeightsOf(*learner), WeightsOf(*fresh));
}

// A step that teaches nothing counts, and several updates of one step count once.
TEST_F(LearnerTest, TheLearningRateFollowsSteps) {
  ReinforceRecipe recipe = Still();
  recipe.optimizer.learning_rate = 1e-3;
  recipe.schedule.warmup_steps = 4;
  recipe.rl.inner_epochs = 3;
  Scripted environment({{"all", 1}}, [](size_t call, size_t sample) {
    return call == 0 ? Worth(0) : Worth(sample % 4 == 0);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  EXPECT_EQ(learner->Step({}).learning_rate, 0);  // none was used
  EXPECT_EQ(learner->Step({}).learning_rate, 1e-3 * 0.5);
  EXPECT_EQ(learner->Step({}).learning_rate, 1e-3 * 0.75);
}

TEST_F(LearnerTest, UnevennessIsOfTheWorstUpdate) {
  ReinforceRecipe recipe = Still();
  recipe.rl.minibatches = recipe.rl.prompts_per_step;  // a group each
  recipe.rl.seed = 3;                                  // neither first nor last is the worst
  Scripted environment({{"all", 1}}, ByPlace);
  const std::vector<Sample> samples = FirstRound(recipe, environment);
  TrainedModel still(trained_->config(), {});
  std::copy_n(trained_->weights(), trained_->layout().buffer_size(), still.mutable_weights());
  std::vector<double> unevenness;
  for (size_t begin = 0; begin < samples.size(); begin += 4) {
    std::vector<PolicySample> group;
    for (size_t i = begin; i < begin + 4; ++i) group.push_back({.sample = &samples[i]});
    unevenness.push_back(MaxViolation(
        PolicyUpdate(still, {}, ScaleOf(group, 5), 1000, /*lr_factor=*/0, group).load));
  }
  const ReinforceMetrics metrics = Make(recipe, environment)->Step({});
  EXPECT_EQ(metrics.max_violation, *std::ranges::max_element(unevenness));
  EXPECT_GT(metrics.max_violation, MaxViolation(metrics.load));
  EXPECT_GT(metrics.max_violation, unevenness.front());
  EXPECT_GT(metrics.max_violation, unevenness.back());
}

}  // namespace
}  // namespace darkhorse
