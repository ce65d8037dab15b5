// How the pieces of a step are joined: scripted rewards in, and what has to come of them worked out
// here from the samples.
#include "rl/learner.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "base/format.h"
#include "model/head.h"
#include "model/loss.h"
#include "rl/sample_metrics.h"
#include "rl/tiny_run_testing.h"
#include "train/schedule.h"

namespace darkhorse {
namespace {

// Every problem of every part is the same, and `score` says what its samples are worth.
class Scripted : public Environment {
 public:
  using Script = std::function<Score(size_t call, size_t sample)>;
  Scripted(std::vector<MixturePart> parts, Script score)
      : parts_(std::move(parts)), score_(std::move(score)) {}

  std::vector<MixturePart> Parts() const override { return parts_; }
  Problem TrainingProblemOf(size_t part, uint64_t seed, uint64_t index) override {
    drawn.push_back({part, index});
    seeds.insert(seed);
    return MakeProblem(FindTask("parity"), 1, 3, 1, Split::kTrain);
  }
  std::vector<std::vector<Problem>> HeldOut(int64_t count) const override {
    asked = count;
    return held_out;
  }
  std::vector<Score> ScoreAll(std::span<const Answer> answers, const StopRequest&) override {
    std::vector<Score> scores;
    for (size_t i = 0; i < answers.size(); ++i) scores.push_back(score_(said.size(), i));
    auto& texts = said.emplace_back();
    for (const Answer& answer : answers) texts.emplace_back(answer.completion);
    return scores;
  }

  std::vector<std::vector<Problem>> held_out;
  mutable int64_t asked = 0;                       // of each task's held-out problems
  std::vector<std::pair<size_t, uint64_t>> drawn;  // part and index of each problem
  std::set<uint64_t> seeds;                        // that they were drawn with
  std::vector<std::vector<std::string>> said;      // completions, in a list per call

 private:
  const std::vector<MixturePart> parts_;
  const Script score_;
};

Score Worth(double value) { return {.value = value, .correct = value == 1}; }
Score Unscored() { return {.failed = true}; }

class LearnerTest : public ReinforceTest {
 protected:
  // One optimizer step per step, so small that no weight moves: every ratio is exactly 1.
  static ReinforceRecipe Still() {
    ReinforceRecipe recipe = Recipe();
    recipe.rl.prompts_per_step = 8;
    recipe.rl.max_tokens = 5;  // of two kinds of completion one has room
    recipe.rl.max_refills = 0;
    recipe.rl.router_bias_gamma = 0;
    recipe.optimizer.learning_rate = 1e-30;
    recipe.optimizer.epsilon = 1;
    return recipe;
  }
  // The first round of the first step, drawn again: what the learner was scored on.
  static std::vector<Sample> FirstRound(const ReinforceRecipe& recipe, Scripted& environment) {
    return Round(recipe, environment, trained_->mutable_weights(), 0);
  }
  // A round of samples of this model from this stream of random numbers.
  static std::vector<Sample> Round(const ReinforceRecipe& recipe, Scripted& environment,
                                   float* weights, uint64_t stream) {
    const size_t count = static_cast<size_t>(recipe.rl.prompts_per_step);
    const std::vector<Problem> problems(count, environment.TrainingProblemOf(0, 0, 0));
    const PackedWeights packed(trained_->config(), trained_->layout(), weights);
    RolloutOptions options;
    options.samples = recipe.rl.group_size;
    options.max_tokens = recipe.rl.max_tokens;
    options.seed = recipe.rl.seed;
    options.stream = stream;
    Engine engine(trained_->model(), packed.model(), CacheForm::kExpanded, 32, 64);
    return Rollout(engine, *tokenizer_, 0, {1}, problems, environment, options, {});
  }
  static std::unique_ptr<Learner> Make(const ReinforceRecipe& recipe, Environment& environment) {
    return Learner::FromCheckpoint(recipe, Base(), environment);
  }
  std::vector<float> WeightsOf(Learner& learner) {
    const std::string directory = RunPath("model") + std::to_string(published_++);
    learner.PublishModel(directory);
    std::vector<float> weights(static_cast<size_t>(trained_->layout().buffer_size()));
    LoadWeights(directory, trained_->config(), trained_->layout(), weights.data());
    return weights;
  }

 private:
  int published_ = 0;
};

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

// In each group of four the first is right, the second half right; the third, of every other group,
// could not be scored.
Score ByPlace(size_t, size_t sample) {
  if (sample % 4 == 0) return Worth(1);
  if (sample % 4 == 1) return Worth(0.5);
  return sample % 8 == 2 ? Unscored() : Worth(0);
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

TEST_F(LearnerTest, UnscorableSamplesAreNeitherRightNorWrong) {
  ReinforceRecipe recipe = Still();
  recipe.curriculum.by_success = true;
  recipe.curriculum.rate = 1;  // success is the step's own mean
  // Of each four one is right, one half right, and two could not be scored.
  Scripted environment({{"a", 1}, {"b", 3}}, [](size_t, size_t sample) {
    return sample % 4 > 1 ? Unscored() : Worth(sample % 4 == 0 ? 1 : 0.5);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const ReinforceMetrics metrics = learner->Step({});
  EXPECT_EQ(metrics.accuracy, 0.5);
  EXPECT_EQ(metrics.reward, 0.75);
  EXPECT_EQ(metrics.reward_std, 0.25);
  EXPECT_EQ(learner->progress().success, (PartSuccess{0.5, 0.5}));
  // The shares are those the step was drawn by.
  ASSERT_EQ(metrics.curriculum.size(), 2u);
  EXPECT_EQ(metrics.curriculum[0].share, 0.25);
  EXPECT_EQ(metrics.curriculum[1].share, 0.75);
}

TEST_F(LearnerTest, TheCurriculumCountsPartByPartAndInRefills) {
  ReinforceRecipe recipe = Still();
  recipe.rl.max_refills = 1;
  recipe.curriculum.by_success = true;
  recipe.curriculum.rate = 1;
  recipe.curriculum.floor = 0.5;
  // No sample of the first round is right, and of groups of the second all but the last.
  Scripted environment({{"a", 1}, {"b", 1}}, [](size_t call, size_t sample) {
    return Worth(call == 0 || sample % 4 == 3 ? 0 : 1);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  environment.drawn.clear();
  const ReinforceMetrics metrics = learner->Step({});
  std::vector<double> first(2), second(2);
  ASSERT_EQ(environment.drawn.size(), 16u);
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(environment.drawn[i].second, i);  // each index once
    ++(i < 8 ? first : second)[environment.drawn[i].first];
  }
  EXPECT_EQ(learner->progress().next_problem, 16);
  for (size_t part = 0; part < 2; ++part) {
    ASSERT_GT(first[part] * second[part], 0);
    const double success = 0.75 * second[part] / (first[part] + second[part]);
    EXPECT_DOUBLE_EQ(learner->progress().success[part], success);
    EXPECT_DOUBLE_EQ(metrics.curriculum[part].success, success);
  }
  // The metrics are the first round's.
  EXPECT_EQ(metrics.accuracy, 0);
  EXPECT_EQ(metrics.frac_reward_zero_std, 1);
  EXPECT_EQ(metrics.refills, 1);
  EXPECT_NE(metrics.loss, 0);
  EXPECT_EQ(metrics.num_tokens, learner->progress().generated);
}

TEST_F(LearnerTest, RefillsReplaceGroupsWithoutASignalByOtherSamples) {
  ReinforceRecipe recipe = Still();
  recipe.rl.max_refills = 3;
  // Of the first round's eight groups the last five are equal, of the second's the last two.
  Scripted environment({{"all", 1}}, [](size_t call, size_t sample) {
    const size_t good = call == 0 ? 3 : call == 1 ? 3 : 2;
    return Worth(sample / 4 < good && sample % 4 == 0 ? 1 : 0);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const ReinforceMetrics metrics = learner->Step({});
  ASSERT_EQ(environment.said.size(), 3u);
  EXPECT_EQ(environment.said[0].size(), 32u);
  EXPECT_EQ(environment.said[1].size(), 20u);
  EXPECT_EQ(environment.said[2].size(), 8u);
  EXPECT_EQ(metrics.refills, 2);
  EXPECT_EQ(metrics.frac_reward_zero_std, 5.0 / 8);
  // The problems are all the same, so equal random numbers would make equal completions.
  for (size_t a = 0; a < 3; ++a) {
    for (size_t b = a + 1; b < 3; ++b) {
      const std::span<const std::string> head(environment.said[a].data(),
                                              environment.said[b].size());
      EXPECT_FALSE(std::ranges::equal(head, environment.said[b])) << a << " " << b;
    }
  }
  // Nor does the next step draw what this one drew.
  learner->Step({});
  EXPECT_NE(environment.said[3], environment.said[0]);
  EXPECT_EQ(learner->progress().completed, 2);
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
  recipe.rl.minibatches = 2;
  recipe.rl.inner_epochs = 3;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::vector<Sample> samples = FirstRound(recipe, environment);
  int64_t rows = 0;
  for (const Sample& s : samples)
    rows += static_cast<int64_t>(s.prompt.size() + s.completion.size()) - 1;
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
  // Six updates, each a quarter up or down (or none where the load is the mean).
  double steps = 0;
  for (size_t e = 0; e < still.size(); ++e) {
    const double change = (moved[e] - still[e]) / 0.25;
    EXPECT_EQ(change, std::round(change));
    EXPECT_LE(std::abs(change), 6);
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

TEST_F(LearnerTest, EvaluatesAsTheRecipeSays) {
  ReinforceRecipe recipe = Still();
  Scripted environment({{"all", 1}}, ByPlace);
  const Problem problem = environment.TrainingProblemOf(0, 0, 0);
  environment.held_out = {{problem, problem, problem}, {problem, problem}};
  recipe.rl.evaluate_samples = 5;
  recipe.rl.evaluate_problems = 77;
  const std::vector<TaskEvaluation> evaluations = Make(recipe, environment)->Evaluate({});
  ASSERT_EQ(evaluations.size(), 2u);
  EXPECT_EQ(environment.asked, 77);
  EXPECT_EQ(evaluations[0].problems, 3);
  EXPECT_EQ(evaluations[0].samples, 5);
  EXPECT_EQ(evaluations[1].problems, 2);
  // Equal problems, and yet every sample of a problem and of a list draws its own numbers.
  ASSERT_EQ(environment.said.size(), 2u);
  std::vector<std::string> by_problem[5];
  for (size_t i = 0; i < 25; ++i)
    by_problem[i / 5].push_back(environment.said[i / 15][i < 15 ? i : i - 15]);
  for (size_t a = 0; a < 5; ++a) {
    for (size_t b = a + 1; b < 5; ++b) EXPECT_NE(by_problem[a], by_problem[b]) << a << b;
  }
}

TEST_F(LearnerTest, AnEvaluationsTemperatureAndSeedCount) {
  Scripted environment({{"all", 1}}, ByPlace);
  environment.held_out = {std::vector<Problem>(6, environment.TrainingProblemOf(0, 0, 0))};
  const PackedWeights packed(trained_->config(), trained_->layout(), trained_->mutable_weights());
  const auto said = [&](const EvaluationOptions& options) {
    Evaluate(trained_->model(), packed.model(), *tokenizer_, environment, options, {});
    return environment.said.back();
  };
  EvaluationOptions options;
  options.samples = 4;
  options.max_tokens = 8;
  const std::vector<std::string> first = said(options);
  EXPECT_EQ(said(options), first);
  options.seed = 1;
  EXPECT_NE(said(options), first);
  options.temperature = 0;
  for (const std::string& text : said(options)) EXPECT_EQ(text, environment.said.back().front());
  options.samples = 0;
  EXPECT_NE(MessageOf([&] { said(options); }).find("samples is 0"), std::string::npos);
}

TEST_F(LearnerTest, TheProbeCountsWhatWasSaidAndWhatItCosts) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = 5;
  recipe.rl.evaluate_every = 0;
  recipe.rl.steps = 10;
  recipe.rl.max_refills = 2;
  // Two samples of each problem have an answer, and none is worth anything.
  Scripted environment({{"all", 1}}, [](size_t, size_t sample) {
    Score score = Worth(0);
    if (sample % 4 < 2) score.parsed = "7";
    return score;
  });
  const ProbeReport silent = Make(recipe, environment)->Probe({});
  ASSERT_EQ(silent.parts.size(), 1u);
  const PartProbe& part = silent.parts[0];
  const Problem problem = environment.TrainingProblemOf(0, 0, 0);
  EXPECT_DOUBLE_EQ(part.prompt_length,
                   static_cast<double>(PromptTokens(*tokenizer_, 0, problem).size()));
  EXPECT_DOUBLE_EQ(part.answered, 0.5);
  EXPECT_EQ(part.signal_groups, 0);
  EXPECT_TRUE(silent.hopeless);
  // No group teaches: ten steps of one round and two refills of 32 samples, and no update.
  EXPECT_DOUBLE_EQ(silent.seconds,
                   10 * 3 * 32 * part.evaluation.mean_length / silent.tokens_per_second);
  // Evaluations come before the first step, after steps 4, 8 and the last, each of 7 problems with
  // 5 samples.
  recipe.rl.evaluate_every = 4;
  recipe.rl.evaluate_problems = 7;
  recipe.rl.evaluate_samples = 5;
  const ProbeReport evaluated = Make(recipe, environment)->Probe({});
  EXPECT_DOUBLE_EQ(evaluated.seconds, (10 * 3 * 32 + 4 * 7 * 5) *
                                          evaluated.parts[0].evaluation.mean_length /
                                          evaluated.tokens_per_second);
  recipe.rl.evaluate_every = 0;
  // Where every group does, there are no refills but updates.
  Scripted good({{"all", 1}}, [](size_t, size_t sample) { return Worth(sample % 4 == 0); });
  const ProbeReport report = Make(recipe, good)->Probe({});
  EXPECT_EQ(report.parts[0].signal_groups, 5);
  EXPECT_DOUBLE_EQ(report.parts[0].pass_at_group, 1);
  const double sampling =
      10 * 32 * report.parts[0].evaluation.mean_length / report.tokens_per_second;
  EXPECT_GT(report.seconds, sampling);
  recipe.rl.inner_epochs = 3;
  EXPECT_DOUBLE_EQ(ForwardPasses(recipe), 10);  // the old policy's, and three times three
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

// Whatever the recipe says of training's randomness; only how long a completion may be is its own.
TEST_F(LearnerTest, EvaluationsOfAllRunsAreComparable) {
  ReinforceRecipe recipe = Still();
  Scripted environment({{"all", 1}}, ByPlace);
  environment.held_out = {std::vector<Problem>(8, environment.TrainingProblemOf(0, 0, 0))};
  recipe.rl.evaluate_samples = 4;
  const TaskEvaluation first = Make(recipe, environment)->Evaluate({}).front();
  EXPECT_LE(first.mean_length, recipe.rl.max_tokens);
  EXPECT_GT(first.truncated_rate, 0);
  recipe.rl.seed = 9;
  recipe.rl.temperature = 0.01;
  recipe.rl.slots = 3;
  Make(recipe, environment)->Evaluate({});
  EXPECT_EQ(environment.said[1], environment.said[0]);
  recipe.rl.max_tokens = 2;
  EXPECT_EQ(Make(recipe, environment)->Evaluate({}).front().truncated_rate, 1);
  // Nor does it draw what training draws of the same problems.
  const std::vector<Sample> trained = FirstRound(Still(), environment);
  EXPECT_NE(environment.said.back(), environment.said.front());
}

// As the recipe samples, but neither the problems nor the random numbers that training will meet.
TEST_F(LearnerTest, AProbeDrawsFromASeedOfItsOwn) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = recipe.rl.prompts_per_step;
  Scripted environment({{"all", 1}}, ByPlace);
  const auto probe = [&] {
    std::unique_ptr<Learner> learner = Make(recipe, environment);
    environment.seeds.clear();
    const ProbeReport report = learner->Probe({});
    EXPECT_EQ(environment.seeds.size(), 1u);
    EXPECT_FALSE(environment.seeds.contains(recipe.rl.seed));
    EXPECT_LE(report.parts[0].evaluation.mean_length, recipe.rl.max_tokens);
    EXPECT_GT(report.parts[0].evaluation.truncated_rate, 0);
    return learner;
  };
  probe()->Step({});
  EXPECT_NE(environment.said[0], environment.said[1]);
  const uint64_t seed = *environment.seeds.begin();
  recipe.rl.seed = 2;
  probe();
  EXPECT_FALSE(environment.seeds.contains(seed));
  EXPECT_NE(environment.said[2], environment.said[0]);
  recipe.rl.temperature = 1e-3;
  probe();
  for (const std::string& text : environment.said[3]) EXPECT_EQ(text, environment.said[3][0]);
}

// Of every round's passes, and of the samples that are trained on, each by its own length.
TEST_F(LearnerTest, OperationsAreCountedOfEveryRoundAndOfWhatIsTrainedOn) {
  ReinforceRecipe recipe = Still();
  recipe.rl.max_refills = 1;
  recipe.rl.inner_epochs = 2;  // seven passes: the old policy's, and two times three
  // Half of the first round's groups teach, and what replaces the others.
  Scripted environment({{"all", 1}}, [](size_t call, size_t sample) {
    return Worth((call > 0 || sample < 16) && sample % 4 == 0);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const ModelCost& cost = learner->cost();
  double expected = 0;
  learner->on_engine_step = [&](const EngineStep& pass) { expected += Flops(cost, pass); };
  const ReinforceMetrics metrics = learner->Step({});
  for (const uint64_t round : {0, 1}) {
    const std::vector<Sample> samples =
        Round(recipe, environment, trained_->mutable_weights(), round << 20);
    for (size_t i = 0; i < 16; ++i) {
      EXPECT_EQ(samples[i].text, environment.said[round][i]);
      const auto tokens =
          static_cast<double>(samples[i].prompt.size() + samples[i].completion.size());
      expected += 7 * tokens * cost.ForwardFlopsPerToken((tokens + 1) / 2);
    }
  }
  EXPECT_NEAR(metrics.flops, expected, 1e-12 * expected);
}

TEST_F(LearnerTest, AProbesSecondsAreSamplingAndTrainingAtTheSpeedsMeasured) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = 5;
  recipe.rl.steps = 10;
  recipe.rl.evaluate_every = 0;
  recipe.rl.max_tokens = 9;
  Scripted environment({{"all", 1}}, ByPlace);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const ProbeReport report = learner->Probe({});
  const auto seconds = [&](double length) {
    const double tokens = report.parts[0].prompt_length + length;
    return 320 * length / report.tokens_per_second +
           320 * 3 * tokens * learner->cost().ForwardFlopsPerToken((tokens + 1) / 2) /
               report.training_flops_per_second;
  };
  EXPECT_NEAR(report.seconds / seconds(report.parts[0].evaluation.mean_length), 1, 1e-12);
  EXPECT_NEAR(report.seconds_longest / seconds(9), 1, 1e-12);
  EXPECT_LT(report.seconds, report.seconds_longest);
}

// Nobody is asked, so nobody fails; and every step draws its own.
TEST_F(LearnerTest, RandomRewardsAreDrawnAnewAndForWhatCouldNotBeScored) {
  ReinforceRecipe recipe = Still();
  recipe.rl.random_rewards = true;
  Scripted environment({{"all", 1}}, [](size_t, size_t) { return Unscored(); });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  std::set<double> rewards;
  for (int step = 0; step < 5; ++step) {
    const ReinforceMetrics metrics = learner->Step({});
    EXPECT_EQ(metrics.reward * 32, std::round(metrics.reward * 32));  // each is 0 or 1
    EXPECT_LT(metrics.frac_reward_zero_std, 1);
    EXPECT_GT(metrics.grad_norm, 0);
    rewards.insert(metrics.reward);
  }
  EXPECT_GT(rewards.size(), 1u);
}

TEST_F(LearnerTest, AProbeTellsOfARunThatThisMachineCannotHold) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = 2;
  recipe.rl.evaluate_samples = 100;
  recipe.rl.slots = 300;
  Scripted environment({{"all", 1}}, ByPlace);
  const Problem problem = environment.TrainingProblemOf(0, 0, 0);
  environment.held_out = {{problem, problem}, {problem}};  // of the longer list 200 samples
  const auto prompt = static_cast<int64_t>(PromptTokens(*tokenizer_, 0, problem).size());
  const int64_t needed = ReinforceMemory(recipe, trained_->config(), prompt, 2);
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const auto finding = [&](int64_t memory) {
    setenv("DARKHORSE_MEMORY", std::to_string(memory).c_str(), 1);
    const ProbeReport report = learner->Probe({});
    unsetenv("DARKHORSE_MEMORY");
    EXPECT_EQ(report.memory_bytes, needed);
    const std::string last = report.findings.empty() ? "" : report.findings.back();
    return last.starts_with("the run takes") ? last : "";
  };
  EXPECT_EQ(finding(needed), "");
  EXPECT_EQ(finding(needed * 3 / 4),
            fmt::format("the run takes about {} of memory, this machine has {}; lower rl.slots "
                        "(now 300), rl.max_tokens or rl.micro_batch_tokens",
                        FormatBytes(static_cast<double>(needed)),
                        FormatBytes(static_cast<double>(needed * 3 / 4))));
}

}  // namespace
}  // namespace darkhorse
