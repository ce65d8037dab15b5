#include "rl/guards.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/scratch_testing.h"
#include "rl/metrics.h"
#include "rl/sample_metrics.h"

namespace darkhorse {
namespace {

ReinforceMetrics Healthy() {
  ReinforceMetrics m;
  m.reward = 0.3;
  m.accuracy = 0.3;
  m.scored = m.trained = true;
  m.format_rate = 0.9;
  m.mean_length = 50;
  m.clipped_ratio = 0.05;
  m.entropy = 0.8;
  m.grad_norm = 0.5;
  m.frac_reward_zero_std = 0.2;
  return m;
}

std::vector<std::string> Names(const std::vector<Warning>& warnings) {
  std::vector<std::string> names;
  for (const Warning& warning : warnings) names.push_back(warning.name);
  return names;
}

// Warnings of a run of a healthy step and then `steps` times that step as `change` makes it.
template <typename Change>
std::vector<std::string> WarnedBy(Change change, int steps = 1) {
  GuardState state;
  EXPECT_TRUE(NewWarnings(Healthy(), state).empty());
  std::vector<std::string> all;
  for (int i = 0; i < steps; ++i) {
    ReinforceMetrics m = Healthy();
    change(m);
    for (const std::string& name : Names(NewWarnings(m, state))) all.push_back(name);
  }
  return all;
}

using List = std::vector<std::string>;

TEST(GuardsTest, EachWarningIsGivenOnce) {
  EXPECT_EQ(WarnedBy([](auto& m) { m.entropy = 0.07; }, 3), List{"entropy_collapse"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.mean_length = 151; }, 3), List{"length_explosion"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.clipped_ratio = 0.26; }, 3), List{"truncation"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.repeated_ratio = 0.2; }, 3), List{"repetition"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.loss = NAN; }, 3), List{"not_finite"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.grad_norm = INFINITY; }, 3), List{"not_finite"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.frac_reward_zero_std = 1, m.grad_norm = 0; }, 9),
            List{"no_signal"});
}

TEST(GuardsTest, WhatLooksAlikeButIsWellGivesNone) {
  EXPECT_EQ(WarnedBy([](auto& m) { m.entropy = 0.09; }), List{});
  // Sure of itself because it is right.
  EXPECT_EQ(WarnedBy([](auto& m) { m.entropy = 0.01, m.accuracy = 0.97; }), List{});
  // A step without an update measures no entropy.
  EXPECT_EQ(WarnedBy([](auto& m) { m.entropy = 0, m.grad_norm = 0; }), List{});
  // Longer and better: what reinforcement learning is for.
  EXPECT_EQ(WarnedBy([](auto& m) { m.mean_length = 170, m.accuracy = 0.6; }), List{});
  EXPECT_EQ(WarnedBy([](auto& m) { m.clipped_ratio = 0.2; }), List{});
  EXPECT_EQ(WarnedBy([](auto& m) { m.frac_reward_zero_std = 1, m.grad_norm = 0; }, 4), List{});
  // Samples that could not be scored are the scorer's fault; that is told elsewhere.
  EXPECT_EQ(WarnedBy(
                [](auto& m) {
                  m.frac_reward_zero_std = 1, m.grad_norm = 0, m.scored = m.trained = false;
                },
                9),
            List{});
  // Nor is the accuracy known of a step that could not be scored.
  EXPECT_EQ(WarnedBy([](auto& m) { m.mean_length = 170, m.scored = false, m.accuracy = 0; }, 9),
            List{});
  EXPECT_EQ(WarnedBy([](auto& m) { m.entropy = 0.01, m.scored = false, m.accuracy = 0; }, 9),
            List{});
  // Refills found what the first round lacked.
  EXPECT_EQ(WarnedBy([](auto& m) { m.frac_reward_zero_std = 1; }, 9), List{});
}

TEST(GuardsTest, AccuracyIsComparedWithTheFirstStepThatCouldBeScored) {
  GuardState state;
  ReinforceMetrics unscored = Healthy();
  unscored.scored = unscored.trained = false;
  unscored.accuracy = 0;
  EXPECT_TRUE(NewWarnings(unscored, state).empty());
  EXPECT_TRUE(NewWarnings(Healthy(), state).empty());
  ReinforceMetrics longer = Healthy();  // of the same accuracy
  longer.mean_length = 170;
  EXPECT_EQ(Names(NewWarnings(longer, state)), List{"length_explosion"});
}

TEST(GuardsTest, AFormThatIsLostIsToldWhenItStaysLost) {
  EXPECT_EQ(WarnedBy([](auto& m) { m.format_rate = 0.4; }, 9), List{"format_loss"});
  EXPECT_EQ(WarnedBy([](auto& m) { m.format_rate = 0.4; }, 2), List{});  // one or two odd steps
  EXPECT_EQ(WarnedBy([](auto& m) { m.format_rate = 0.75; }, 99), List{});
  EXPECT_EQ(WarnedBy([](auto& m) { m.format_rate = 0, m.scored = false; }, 9), List{});
  EXPECT_EQ(WarnedBy([](auto& m) { m.format_rate.reset(); }, 9), List{});
  // It is compared with the best there was, not with the first step.
  GuardState state;
  std::vector<std::string> names;
  for (int step = 0; step < 60; ++step) {
    ReinforceMetrics m = Healthy();
    m.format_rate = step < 30 ? 0.03 * step : 0.5;
    for (const std::string& name : Names(NewWarnings(m, state))) names.push_back(name);
    if (step < 30) {
      EXPECT_EQ(names, List{});
    }
  }
  EXPECT_EQ(names, List{"format_loss"});
}

TEST(GuardsTest, SilentStepsCountInARow) {
  GuardState state;
  for (int i = 0; i < 20; ++i) {
    ReinforceMetrics m = Healthy();
    if (i % 5 != 4) m.frac_reward_zero_std = 1, m.grad_norm = 0;
    EXPECT_TRUE(NewWarnings(m, state).empty()) << i;
  }
}

TEST(GuardsTest, SilenceIsCuredByProblemsNearerToWhatItCanDo) {
  for (const auto& [accuracy, cure] : {std::pair{0.9, "harder"}, {0.1, "easier"}}) {
    GuardState state;
    std::vector<Warning> warnings;
    while (warnings.empty()) {
      ReinforceMetrics m = Healthy();
      m.frac_reward_zero_std = 1, m.grad_norm = 0, m.accuracy = accuracy;
      warnings = NewWarnings(m, state);
      ASSERT_LT(state.silent_steps, 20);
    }
    EXPECT_NE(warnings[0].text.find(fmt::format("choose {} problems", cure)), std::string::npos)
        << warnings[0].text;
  }
}

TEST(GuardsTest, EntropyIsComparedWithTheFirstStepThatTrained) {
  GuardState state;
  ReinforceMetrics silent = Healthy();
  silent.entropy = silent.grad_norm = 0;
  NewWarnings(silent, state);
  ReinforceMetrics broken = Healthy();
  broken.entropy = NAN;
  NewWarnings(broken, state);
  NewWarnings(Healthy(), state);
  EXPECT_EQ(state.first_entropy, 0.8);
}

TEST(GuardsTest, StopsAtTheAccuracyAsked) {
  StopOptions options;
  options.accuracy = 0.8;
  GuardState state;
  EXPECT_EQ(StopReason(options, {0.79, 0.1}, -1, state), "");
  EXPECT_NE(StopReason(options, {0.8, 0.1}, 0.79, state).find("stop.accuracy 0.8"),
            std::string::npos);
  options.accuracy = 0;
  EXPECT_EQ(StopReason(options, {1, 0.1}, 0.79, state), "");
}

TEST(GuardsTest, StopsWhenPatienceEnds) {
  StopOptions options;
  options.patience = 2;
  GuardState state;
  double best = -1;
  const auto evaluate = [&](double accuracy) {
    const std::string reason = StopReason(options, {accuracy, 0.1}, best, state);
    best = std::max(best, accuracy);
    return reason;
  };
  EXPECT_EQ(evaluate(0.3), "");
  EXPECT_EQ(evaluate(0.3), "");  // as good is no better
  EXPECT_EQ(evaluate(0.4), "");
  EXPECT_EQ(evaluate(0.2), "");
  EXPECT_NE(evaluate(0.4).find("last 2 evaluations"), std::string::npos);
}

TEST(GuardsTest, StopRulesNeedEvaluations) {
  const auto message = [](double accuracy, int64_t patience, int64_t evaluate_every) {
    return MessageOf([&] {
      StopOptions options;
      options.accuracy = accuracy;
      options.patience = patience;
      Validate(options, evaluate_every);
    });
  };
  EXPECT_NE(message(0.5, 0, 0).find("stop.accuracy needs evaluations"), std::string::npos);
  EXPECT_NE(message(0, 3, 0).find("stop.patience needs evaluations"), std::string::npos);
  EXPECT_NE(message(1.5, 0, 1).find("stop.accuracy is 1.5"), std::string::npos);
  EXPECT_NE(message(NAN, 0, 1).find("stop.accuracy is nan"), std::string::npos);
  EXPECT_NE(message(0, -1, 1).find("stop.patience is -1"), std::string::npos);
  EXPECT_EQ(message(0, 0, 0), "");
  EXPECT_NE(MessageOf([] {
              Validate(StopOptions{.below_start = true}, 0);
            }).find("stop.below_start needs evaluations"),
            std::string::npos);
}

// By chance 0.3 may lie 0.06 lower and the other 0.08 higher, so they differ by up to 0.1.
TEST(GuardsTest, AModelThatFellBelowItsStartIsToldOnceAndEndsARunThatAsksForIt) {
  const Interval by_chance{0.21, 0.15, 0.29}, fallen{0.19, 0.13, 0.27};
  for (const bool stops : {false, true}) {
    const StopOptions options{.below_start = stops};
    GuardState state;
    EXPECT_TRUE(NewEvaluationWarnings(fallen, state).empty());  // the start is not known
    EXPECT_EQ(StopReason(options, fallen, 0.3, state), "");
    state.start = {0.3, 0.24, 0.4};
    EXPECT_TRUE(NewEvaluationWarnings(by_chance, state).empty());
    EXPECT_EQ(StopReason(options, by_chance, 0.3, state), "");
    const std::vector<Warning> warnings = NewEvaluationWarnings(fallen, state);
    ASSERT_EQ(Names(warnings), List{"below_start"});
    EXPECT_EQ(warnings[0].text,
              "held-out accuracy is 0.190 (0.130–0.270), before the first step it was 0.300 "
              "(0.240–0.400): the run makes the model worse; lower optimizer.learning_rate, e.g. "
              "to a third");
    EXPECT_TRUE(NewEvaluationWarnings(fallen, state).empty());
    EXPECT_EQ(StopReason(options, fallen, 0.3, state),
              stops ? "held-out accuracy is 0.190, before the first step it was 0.300 "
                      "(stop.below_start)"
                    : "");
  }
}

std::vector<int32_t> Phrases(size_t before, size_t phrase, size_t length) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < before; ++i) tokens.push_back(static_cast<int32_t>(1000 + i));
  for (size_t i = 0; i < length; ++i) tokens.push_back(static_cast<int32_t>(i % phrase));
  return tokens;
}

TEST(SampleMetricsTest, FindsCompletionsThatEndInRepetition) {
  EXPECT_TRUE(EndsInRepetition(Phrases(5, 1, 64)));
  EXPECT_TRUE(EndsInRepetition(Phrases(0, 16, 64)));
  EXPECT_TRUE(EndsInRepetition(Phrases(100, 7, 70)));
  EXPECT_FALSE(EndsInRepetition(Phrases(0, 1, 63)));    // too short to say
  EXPECT_FALSE(EndsInRepetition(Phrases(5, 1, 63)));    // the window begins before it
  EXPECT_FALSE(EndsInRepetition(Phrases(0, 17, 170)));  // a long phrase may be a thought
  std::vector<int32_t> broken = Phrases(0, 3, 64);
  broken.push_back(77);
  EXPECT_FALSE(EndsInRepetition(broken));
}

TEST(SampleMetricsTest, AnEndMarkIsNoPartOfWhatRepeats) {
  Sample sample;
  sample.completion = Phrases(0, 2, 64);
  sample.completion.push_back(77);
  ReinforceMetrics m;
  DescribeSamples({}, {sample}, m);
  EXPECT_EQ(m.repeated_ratio, 1);
  sample.truncated = true;  // then 77 is text
  m = {};
  DescribeSamples({}, {sample}, m);
  EXPECT_EQ(m.repeated_ratio, 0);
}

TEST(SampleMetricsTest, SharesOfAllAreOne) {
  for (const size_t n : {3, 49, 98, 103, 107}) {  // n times 1/n is not 1 of some
    Sample sample;
    sample.score.correct = sample.truncated = true;
    sample.score.value = 1;
    sample.score.parts = {{"format", 1}};
    sample.completion = {1};
    ReinforceMetrics m;
    DescribeSamples({}, std::vector<Sample>(n, sample), m);
    EXPECT_EQ(m.accuracy, 1);
    EXPECT_EQ(m.reward, 1);
    EXPECT_EQ(m.format_rate, 1);
    EXPECT_EQ(m.clipped_ratio, 1);
    EXPECT_EQ(m.mean_length, 1);
    EXPECT_EQ(m.reward_std, 0);
  }
}

TEST(SampleMetricsTest, ASampleWithoutAScoreMovesNothing) {
  ReinforceOptions options;
  options.group_size = 4;
  std::vector<Sample> samples(8);
  for (size_t i = 0; i < 4; ++i) samples[i].score = {.value = 0.7, .correct = true};
  samples[1].score = {.failed = true};
  samples[5].score = {.value = 1, .correct = true};
  samples[6].score = {.failed = true};
  const std::span<const Sample> first = std::span(samples).first(4),
                                second = std::span(samples).last(4);
  EXPECT_FALSE(HasSignal(options, first));  // it is no worse than its siblings
  EXPECT_TRUE(HasSignal(options, second));
  const std::vector<double> rewards = RewardsOf(options, samples);
  EXPECT_DOUBLE_EQ(rewards[1], 0.7);
  EXPECT_DOUBLE_EQ(rewards[6], 1.0 / 3);
  EXPECT_EQ(rewards[5], 1);
  EXPECT_TRUE(IsMasked(options, samples[6]));
  EXPECT_FALSE(IsMasked(options, samples[5]));
  ReinforceMetrics m;
  DescribeSamples(options, samples, m);
  EXPECT_DOUBLE_EQ(m.reward, (3 * 0.7 + 1) / 6);
  EXPECT_DOUBLE_EQ(m.accuracy, 4.0 / 6);
  EXPECT_TRUE(m.scored);
  for (Sample& sample : samples) sample.score.failed = true;
  m = {};
  DescribeSamples(options, samples, m);
  EXPECT_FALSE(m.scored);
  EXPECT_FALSE(HasSignal(options, second));
  EXPECT_EQ(RewardsOf(options, samples), std::vector<double>(8, 0.0));
}

TEST(SampleMetricsTest, DescribesSamplesByHand) {
  ReinforceOptions options;
  options.overlong_penalty = 0.5;
  std::vector<Sample> samples(4);
  samples[0].completion.resize(2);
  samples[0].score = {.value = 1, .correct = true, .parts = {{"format", 1}}};
  samples[1].completion.resize(10);
  samples[1].truncated = true;
  samples[1].score = {.value = 0.25, .parts = {{"format", 1}}};
  samples[2].completion.resize(4);
  samples[2].score = {.value = 0.25, .parts = {{"format", 0}}};
  samples[3].completion.resize(8);
  samples[3].truncated = true;
  samples[3].score = {.failed = true};
  ReinforceMetrics m;
  DescribeSamples(options, samples, m);
  // Rewards 1, -1/4 and 1/4 of three that were scored; lengths of all four. Sums of thirds round.
  constexpr double kRounding = 4 * 0x1p-53;
  EXPECT_NEAR(m.reward, 1.0 / 3, kRounding);
  EXPECT_NEAR(m.reward_std, std::sqrt((1 + 2 / 16.0) / 3 - 1.0 / 9), 2 * kRounding);
  EXPECT_NEAR(m.accuracy, 1.0 / 3, kRounding);
  EXPECT_NEAR(*m.format_rate, 2.0 / 3, kRounding);
  EXPECT_EQ(m.mean_length, 6);
  EXPECT_EQ(m.min_length, 2);
  EXPECT_EQ(m.max_length, 10);
  EXPECT_EQ(m.clipped_ratio, 0.5);
  EXPECT_EQ(m.mean_terminated_length, 3);
  EXPECT_EQ(m.repeated_ratio, 0);
}

TEST(SampleMetricsTest, ASignalNeedsRewardsThatDifferAndASampleToTrainOn) {
  std::vector<Sample> group(3);
  ReinforceOptions options;
  EXPECT_FALSE(HasSignal(options, group));
  group[1].score.value = 0.1;
  EXPECT_TRUE(HasSignal(options, group));
  for (Sample& sample : group) sample.truncated = true;
  EXPECT_TRUE(HasSignal(options, group));
  options.mask_truncated = true;
  EXPECT_FALSE(HasSignal(options, group));
  group[2].truncated = false;
  EXPECT_TRUE(HasSignal(options, group));
  // The penalty alone can make rewards differ.
  group[1].score.value = 0;
  EXPECT_FALSE(HasSignal(options, group));
  options.overlong_penalty = 0.5;
  EXPECT_TRUE(HasSignal(options, group));
}

TEST(GuardsTest, AnyNumberOfAnUpdateThatIsNotFiniteIsTold) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    for (double ReinforceMetrics::*number :
         {&ReinforceMetrics::loss, &ReinforceMetrics::entropy, &ReinforceMetrics::grad_norm,
          &ReinforceMetrics::reward})
      EXPECT_EQ(WarnedBy([&](auto& m) { m.*number = bad; }), List{"not_finite"});
    EXPECT_EQ(WarnedBy([&](auto& m) { m.kl = bad; }), List{"not_finite"});
  }
}

// What was seen now, beside what was seen at first.
TEST(GuardsTest, TextsSayWhatWasSeen) {
  const auto text = [](auto change, int steps = 1) {
    GuardState state;
    NewWarnings(Healthy(), state);
    std::string all;
    for (int i = 0; i < steps; ++i) {
      ReinforceMetrics m = Healthy();
      change(m);
      for (const Warning& warning : NewWarnings(m, state)) all += warning.text;
    }
    return all;
  };
  const std::pair<std::string, std::string> cases[] = {
      {text([](auto& m) { m.loss = NAN, m.kl = 3, m.entropy = 2, m.grad_norm = 1; }),
       "a number is not finite (loss nan, gradient 1, entropy 2, kl 3)"},
      {text([](auto& m) { m.entropy = 0.07; }), "entropy is 0.070 nats a token, 0.800 at first"},
      {text([](auto& m) { m.mean_length = 151, m.accuracy = 0.32; }),
       "are 151 tokens long, 50 at first, and accuracy has not risen with them (0.320, 0.300 at "
       "first)"},
      {text([](auto& m) { m.clipped_ratio = 0.26; }),
       "26 % of completions are cut off at rl.max_tokens, 5 % at first"},
      {text([](auto& m) { m.repeated_ratio = 0.25; }), "25 % of completions end in one phrase"},
      {text([](auto& m) { m.frac_reward_zero_std = 1, m.grad_norm = 0; }, 5),
       "in 5 steps in a row every group's rewards were equal (accuracy 0.300)"}};
  for (const auto& [told, part] : cases) EXPECT_TRUE(Says(told, part)) << told;
  StopOptions options;
  options.accuracy = 0.75;
  options.patience = 3;
  GuardState state;
  state.stale_evaluations = 2;
  EXPECT_EQ(StopReason(options, {0.8125, 0.1}, 0.5, state),
            "held-out accuracy is 0.812, stop.accuracy 0.75");
  state.stale_evaluations = 2;
  EXPECT_EQ(StopReason(options, {0.25, 0.1}, 0.5, state),
            "the last 3 evaluations were no better than the best before them, 0.500 "
            "(stop.patience 3)");
}

}  // namespace
}  // namespace darkhorse
