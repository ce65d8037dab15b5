// Which problems and samples a step takes, and what their scores count for.

#include <algorithm>

#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

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

TEST_F(LearnerTest, TheCompletionShownIsOfTheProblemShown) {
  const ReinforceRecipe recipe = Recipe();
  const auto environment = MakeTaskEnvironment(recipe.rl.tasks);
  const ReinforceMetrics metrics = Make(recipe, *environment)->Step({});
  const Problem problem = environment->TrainingProblem(recipe.rl.seed, 0);
  EXPECT_EQ(metrics.shown_problem.prompt, problem.prompt);
  EXPECT_EQ(metrics.shown.prompt, Prompter({"", *tokenizer_, 0}).Of(problem).tokens);
}

}  // namespace
}  // namespace darkhorse
