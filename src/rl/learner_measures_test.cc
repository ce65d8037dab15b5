// What a learner measures: evaluations, operations, and the probe before a run.
#include <stdlib.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "rl/learner_testing.h"

namespace darkhorse {
namespace {

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
    Evaluate(trained_->model(), packed.model(), Prompter({"", *tokenizer_, 0}), environment,
             options, {});
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

TEST_F(LearnerTest, AnEvaluationTellsHowFarItIs) {
  Scripted environment({{"all", 1}}, ByPlace);
  const std::vector<Problem> two(2, environment.TrainingProblemOf(0, 0, 0));
  environment.held_out = {two, {two.front()}};
  const PackedWeights packed(trained_->config(), trained_->layout(), trained_->mutable_weights());
  EvaluationOptions options;
  options.samples = 3;
  options.max_tokens = 8;
  std::vector<EvaluationProgress> told;
  std::vector<Sample> samples;
  Evaluate(trained_->model(), packed.model(), Prompter({"", *tokenizer_, 0}), environment, options,
           {}, &samples, nullptr, [&](const EvaluationProgress& p) { told.push_back(p); });
  std::vector<int64_t> done;
  for (const EvaluationProgress& p : told) {
    EXPECT_EQ(p.total, 9);
    if (p.done > (done.empty() ? 0 : done.back())) done.push_back(p.done);
  }
  EXPECT_EQ(done, (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  int64_t tokens = 0;
  for (const Sample& sample : samples) tokens += std::ssize(sample.completion);
  EXPECT_EQ(told.back().tokens, tokens);
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
                   static_cast<double>(Prompter({"", *tokenizer_, 0}).Of(problem).tokens.size()));
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

// Of every round's passes, and of the samples that are trained on, each by its own length behind
// the prompt, which here is that of all problems and computed once.
TEST_F(LearnerTest, OperationsAreCountedOfEveryRoundAndOfWhatIsTrainedOn) {
  ReinforceRecipe recipe = Still();
  recipe.rl.max_refills = 1;
  recipe.rl.inner_epochs = 2;  // seven passes: the old policy's, and two times three
  recipe.rl.micro_batch_tokens = 4096;
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
      // The prompt's last token is a row of each sample, which predicts its first; the last token
      // of a completion predicts none.
      const double before = static_cast<double>(samples[i].prompt.size()) - 1;
      const auto own = static_cast<double>(samples[i].completion.size());
      expected += 7 * own * cost.ForwardFlopsPerToken(before + (own + 1) / 2);
      if (round == 0 && i == 0)
        expected += 7 * before * cost.ForwardFlopsPerToken((before + 1) / 2);
    }
  }
  EXPECT_NEAR(metrics.flops, expected, 1e-12 * expected);
}

// Of one of the four samples of a prompt, all of which a micro-batch holds.
double Flops(const ModelCost& cost, double prompt, double length) {
  return prompt * cost.ForwardFlopsPerToken((prompt + 1) / 2) / 4 +
         length * cost.ForwardFlopsPerToken(prompt + (length + 1) / 2);
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
    return 320 * length / report.tokens_per_second +
           320 * 3 * Flops(learner->cost(), report.parts[0].prompt_length, length) /
               report.training_flops_per_second;
  };
  EXPECT_NEAR(report.seconds / seconds(report.parts[0].evaluation.mean_length), 1, 1e-12);
  EXPECT_NEAR(report.seconds_longest / seconds(9), 1, 1e-12);
  EXPECT_LT(report.seconds, report.seconds_longest);
}

TEST_F(LearnerTest, AProbeTellsOfARunThatThisMachineCannotHold) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = 2;
  recipe.rl.evaluate_samples = 100;
  recipe.rl.slots = 300;
  Scripted environment({{"all", 1}}, ByPlace);
  const Problem problem = environment.TrainingProblemOf(0, 0, 0);
  environment.held_out = {{problem, problem}, {problem}};  // of the longer list 200 samples
  const auto prompt =
      static_cast<int64_t>(Prompter({"", *tokenizer_, 0}).Of(problem).tokens.size());
  const int64_t needed = ReinforceMemory(recipe, trained_->config(),
                                         BytesOfAllWeights(trained_->model().cost(), Format::kF32),
                                         Activations::kKept, prompt, 2);
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

// Each part's own: what it found, and its share of what the run will cost.
TEST_F(LearnerTest, AProbeTellsTheMixturesPartsApart) {
  ReinforceRecipe recipe = Still();
  recipe.probe.problems = 3;
  recipe.rl.steps = 10;
  recipe.rl.evaluate_every = 0;
  recipe.rl.max_refills = 0;
  // The first part's three groups of four teach nothing, of the second's the last two do.
  Scripted environment({{"flat", 3}, {"steep", 1}}, [](size_t, size_t sample) {
    return Worth(sample >= 16 && sample % 4 == 3);
  });
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  environment.drawn.clear();
  environment.said.clear();
  const ProbeReport report = learner->Probe({});
  EXPECT_EQ(environment.drawn, (std::vector<std::pair<size_t, uint64_t>>{
                                   {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}}));
  ASSERT_EQ(report.parts.size(), 2u);
  const PartProbe &flat = report.parts[0], &steep = report.parts[1];
  EXPECT_EQ(flat.name + " " + steep.name, "flat steep");
  EXPECT_EQ(flat.signal_groups, 0);
  EXPECT_EQ(flat.evaluation.pass_at_1.value, 0);
  EXPECT_EQ(steep.signal_groups, 2);
  EXPECT_DOUBLE_EQ(steep.pass_at_group, 2.0 / 3);
  EXPECT_DOUBLE_EQ(steep.evaluation.pass_at_1.value, 2.0 / 12);
  EXPECT_FALSE(report.hopeless);
  EXPECT_NE(flat.evaluation.mean_length, steep.evaluation.mean_length);
  // Three problems in four are of the first part, and a sixth of all groups teach.
  const double length = 0.75 * flat.evaluation.mean_length + 0.25 * steep.evaluation.mean_length;
  EXPECT_DOUBLE_EQ(flat.prompt_length, steep.prompt_length);
  EXPECT_NEAR(report.seconds,
              10 * 32 * length / report.tokens_per_second +
                  10 * 32 * (0.25 * 2 / 3) * 3 *
                      Flops(learner->cost(), flat.prompt_length, length) /
                      report.training_flops_per_second,
              1e-12 * report.seconds);
}

// No clock is judged by how fast it runs: what sleeps takes at least its sleep.
TEST_F(LearnerTest, SecondsAreOfWhatTookThem) {
  static constexpr double kSleep = 0.1;
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::duration<double>(kSleep)); };
  bool scorer_sleeps = false;
  Scripted environment({{"all", 1}}, [&](size_t call, size_t sample) {
    if (scorer_sleeps && sample == 0) sleep();
    return ByPlace(call, sample);
  });
  const ReinforceRecipe recipe = Still();
  const std::unique_ptr<Learner> learner = Make(recipe, environment);
  const auto step = [&] {
    const int64_t before = learner->progress().generated;
    const double start = SteadySeconds();
    const ReinforceMetrics m = learner->Step({});
    EXPECT_LE(m.sample_seconds + m.score_seconds + m.train_seconds, SteadySeconds() - start);
    EXPECT_DOUBLE_EQ(m.generated_per_second,
                     static_cast<double>(learner->progress().generated - before) /
                         (m.sample_seconds + m.score_seconds));
    return m;
  };
  scorer_sleeps = true;
  EXPECT_GE(step().score_seconds, kSleep);
  scorer_sleeps = false;
  bool slept = false;
  learner->on_engine_step = [&](const EngineStep&) {
    if (!std::exchange(slept, true)) sleep();
  };
  EXPECT_GE(step().sample_seconds, kSleep);
}

TEST_F(LearnerTest, TheTailIsTheRollouts) {
  Scripted environment({{"all", 1}}, ByPlace);
  ReinforceRecipe recipe = Still();
  recipe.rl.slots = 15;  // of 32 sequences two are left for the end
  EXPECT_GT(Make(recipe, environment)->Step({}).tail_seconds, 0);
}

}  // namespace
}  // namespace darkhorse
