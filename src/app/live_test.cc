#include "app/live.h"

#include <gtest/gtest.h>

#include <optional>

namespace darkhorse {
namespace {

TEST(Pace, IsTheMeanSoFar) {
  Pace pace;
  pace.AddStep(2);
  EXPECT_EQ(pace.SecondsFor(10), 20);
  pace.AddStep(4);
  EXPECT_EQ(pace.SecondsFor(10), 30);
  pace.AddSeconds(6);  // an evaluation is no step, but takes its time
  EXPECT_EQ(pace.SecondsFor(10), 60);
  EXPECT_EQ(pace.SecondsFor(0), 0);
}

StepMetrics PretrainStep() {
  StepMetrics m;
  m.step = 30;
  m.loss = 2.34567;
  m.max_violation = 0.456;
  m.tokens_per_second = 12345;
  m.gflops = 50;
  m.epochs = 1.25;
  return m;
}

TEST(ProgressText, OfAnEvaluation) {
  EXPECT_EQ(ProgressText({.done = 0, .total = 40, .tokens = 1}), "sample 0/40 · 1 token generated");
  EXPECT_EQ(ProgressText({.done = 40, .total = 40, .tokens = 123456}),
            "sample 40/40 · 123456 tokens generated");
}

TEST(StepText, OfPretraining) {
  const StepMetrics m = PretrainStep();
  EXPECT_EQ(StepText(m, 100, 3661, 200),
            "step 30/100 · ETA 1:01:01 · loss 2.3457 · 12.3k tokens/s · 1.25 epochs · 50 GFLOP/s "
            "(25 % of "
            "peak) · MaxVio 0.46");
}

ReinforceMetrics ReinforceStep() {
  ReinforceMetrics m;
  m.step = 4;
  m.scored = m.trained = true;
  m.reward = 0.1234;
  m.accuracy = 0.25;
  m.mean_length = 56.7;
  m.entropy = 0.789;
  m.frac_reward_zero_std = 0.375;
  m.clipped_ratio = 0.0625;
  m.generated_per_second = 4321;
  m.sample_seconds = 1;
  m.score_seconds = 2;
  m.train_seconds = 4;
  m.evaluate_seconds = 9;
  return m;
}

TEST(StepText, OfReinforcement) {
  ReinforceMetrics m = ReinforceStep();
  const std::string begin = "step 4/10 · ETA 1:01 · accuracy 0.250 · reward 0.123",
                    end = " · length 57 · cut off 6 % · no signal 38 %";
  EXPECT_EQ(StepText(m, 10, 61), begin + end + " · entropy 0.79 · 4.32k tokens/s");
  m.faults.samples = 3;
  EXPECT_EQ(StepText(m, 10, 61),
            begin + " · unscored 3" + end + " · entropy 0.79 · 4.32k tokens/s");
  // What was not measured is no 0.
  m.scored = m.trained = false;
  EXPECT_EQ(StepText(m, 10, 61), "step 4/10 · ETA 1:01 · unscored 3" + end + " · 4.32k tokens/s");
}

TEST(PretrainView, EvaluationsAreTold) {
  StepMetrics m = PretrainStep();
  testing::internal::CaptureStderr();
  {
    PretrainView view(100, Format::kF32);
    view.Show(m);
    m.validation_loss = 2.5;
    view.Show(m);
  }
  const std::string text = testing::internal::GetCapturedStderr();
  const std::string told =
      "darkhorse: after step 30: held-out loss 2.5000, perplexity 12.18, 1.25 epochs\n";
  const size_t at = text.find(told);
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_EQ(text.find("held-out", at + told.size()), std::string::npos) << text;
}

std::string Told(ReinforceView& view, ReinforceMetrics m, int64_t step, int64_t faults) {
  m.step = step;
  m.faults = {faults, "it failed"};
  testing::internal::CaptureStderr();
  view.Show(m);
  return testing::internal::GetCapturedStderr();
}

TEST(ReinforceView, FaultsAreToldAtFirstAndWhenTheyHaveDoubled) {
  std::optional<ReinforceView> view(10);
  ReinforceMetrics m = ReinforceStep();
  EXPECT_EQ(Told(*view, m, 1, 0).find("could not be scored"), std::string::npos);
  EXPECT_NE(Told(*view, m, 2, 3)
                .find("after step 2: 3 samples could not be scored; the last: it "
                      "failed; neither accuracy nor training counts them; 3 in all since this "
                      "command began"),
            std::string::npos);
  EXPECT_EQ(Told(*view, m, 3, 2).find("could not be scored"), std::string::npos);  // 5 of 6
  EXPECT_NE(Told(*view, m, 4, 1).find("6 in all since"), std::string::npos);
  EXPECT_EQ(Told(*view, m, 5, 5).find("in all"), std::string::npos);  // 11 of 12
  m.trained = false;
  EXPECT_NE(Told(*view, m, 6, 9)
                .find("counts them, and from the others nothing was learned: mend the program; 20 "
                      "in all"),
            std::string::npos);
  testing::internal::CaptureStderr();  // of what the view says at its end
  view.reset();
  testing::internal::GetCapturedStderr();
}

TEST(ReinforceView, TheRestTakesAsLongAsTheStepsSoFarAndTheirEvaluations) {
  testing::internal::CaptureStderr();
  {
    ReinforceView view(10);
    const ReinforceMetrics m = ReinforceStep();
    ReinforceMetrics start;
    start.evaluate_seconds = 9;
    view.ShowEvaluation(start);  // once, before the first step
    view.Show(m);                // step 4 of 10 at 7 s each: 42 s
    view.ShowEvaluation(m);      // and 9 s
    view.Show(m);                // 6 * (7 + 9 + 7) / 2 = 69
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("ETA 0:42 "), std::string::npos) << text;
  EXPECT_NE(text.find("ETA 1:09 "), std::string::npos) << text;
}

TaskEvaluation Evaluation() {
  TaskEvaluation e;
  e.task = "sum";
  e.level = 2;
  e.problems = 64;
  e.samples = 4;
  e.pass_at_k = {{1, {0.25, 0.1875, 0.375}}, {2, {0.375, 0.25, 0.5}}, {4, {0.5, 0.375, 0.75}}};
  e.majority = Interval{0.4375, 0.25, 0.5};
  e.mean_length = 12.4;
  e.format_rate = 0.75;
  e.truncated_rate = 0.125;
  return e;
}

TEST(Describe, SaysTheFirstAndTheLastOfPassAtK) {
  EXPECT_EQ(Describe(Evaluation()),
            "sum level 2: pass@1 0.250 (0.188–0.375), pass@4 0.500 (0.375–0.750), maj@4 0.438, "
            "length 12, format "
            "75 %, cut off 12 %");
  TaskEvaluation unanswered = Evaluation();
  unanswered.majority.reset();
  EXPECT_EQ(Describe(unanswered),
            "sum level 2: pass@1 0.250 (0.188–0.375), pass@4 0.500 (0.375–0.750), length 12, "
            "format 75 %, cut off "
            "12 %");
}

TEST(ReinforceView, OfOneTaskTheStartIsToldBesideIt) {
  ReinforceMetrics m = ReinforceStep();
  m.evaluation = {Evaluation()};
  m.start = {0.125, 0, 0.25};
  ReinforceView view(10);
  testing::internal::CaptureStderr();
  view.ShowEvaluation(m);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "darkhorse: after step 4: " + Describe(Evaluation()) +
                "; before the first step pass@1 0.125\n");
}

TEST(ReinforceView, EvaluationsAreTold) {
  ReinforceMetrics m = ReinforceStep();
  m.evaluation = {Evaluation()};
  m.evaluation_faults = {2, "why"};
  ReinforceView view(10);
  testing::internal::CaptureStderr();
  view.ShowEvaluation(m);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "darkhorse: after step 4: " + Describe(Evaluation()) +
                "\ndarkhorse: in its evaluation 2 samples could not be scored; the last: why\n");
}

TEST(ReinforceView, EvaluationsAreComparedWithThatBeforeTheFirstStep) {
  ReinforceMetrics m;
  m.evaluation = {Evaluation(), Evaluation()};
  m.evaluation[0].pass_at_1 = {0.25, 0.1};
  m.evaluation[1].pass_at_1 = {0.5, 0.1};
  ReinforceView view(10);
  const auto told = [&] {
    testing::internal::CaptureStderr();
    view.ShowEvaluation(m);
    return testing::internal::GetCapturedStderr();
  };
  const std::string task = Describe(Evaluation());
  EXPECT_EQ(told(), "darkhorse: before the first step: " + task +
                        "\ndarkhorse: before the first step: " + task + "\n");
  m.step = 4;
  m.start = {0.625, 0.1};
  EXPECT_EQ(told(), "darkhorse: after step 4: " + task + "\ndarkhorse: after step 4: " + task +
                        "\ndarkhorse: after step 4: held-out accuracy 0.375, before the first "
                        "step 0.625\n");
}

}  // namespace
}  // namespace darkhorse
