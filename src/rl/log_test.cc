#include "rl/log.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

// Every number another one.
ReinforceMetrics Numbered() {
  ReinforceMetrics m;
  m.scored = m.trained = true;
  m.step = 1;
  m.num_tokens = 2;
  m.reward = 3;
  m.reward_std = 4;
  m.accuracy = 5;
  m.format_rate = 6;
  m.mean_length = 7;
  m.min_length = 8;
  m.max_length = 9;
  m.clipped_ratio = 10;
  m.mean_terminated_length = 11;
  m.repeated_ratio = 12;
  m.frac_reward_zero_std = 13;
  m.entropy = 14;
  m.kl = 15;
  m.loss = 16;
  m.grad_norm = 17;
  m.learning_rate = 18;
  m.clip_ratio_low = 19;
  m.clip_ratio_high = 20;
  m.sampling_gap = 21;
  m.max_violation = 22;
  m.refills = 23;
  m.load = {{24, 25}};
  m.shown_problem.task = "sums";
  m.shown_problem.prompt = "1+1\n";
  m.shown.text = "2\xff";
  m.shown.score = {.value = 26, .why = "right"};
  return m;
}

TEST(LogTest, EachNumberStandsUnderItsOwnName) {
  ReinforceMetrics m = Numbered();
  const StepLines plain = DescribeStep(m, /*with_load=*/false);
  EXPECT_EQ(JsonLine(plain.metrics),
            R"({"step":1,"num_tokens":2,"reward":3.0,"reward_std":4.0,"accuracy":5.0,)"
            R"("format_rate":6.0,"completions/mean_length":7.0,"completions/min_length":8.0,)"
            R"("completions/max_length":9.0,"completions/clipped_ratio":10.0,)"
            R"("completions/mean_terminated_length":11.0,"completions/repeated_ratio":12.0,)"
            R"("frac_reward_zero_std":13.0,"entropy":14.0,"kl":15.0,"loss":16.0,)"
            R"("grad_norm":17.0,"learning_rate":18.0,"clip_ratio/low_mean":19.0,)"
            R"("clip_ratio/high_mean":20.0,"sampling/logp_gap_max":21.0,"max_violation":22.0,)"
            R"("refills":23})");
  // What is not UTF-8 is replaced.
  EXPECT_EQ(JsonLine(plain.sample), R"({"step":1,"task":"sums","prompt":"1+1\n","completion":"2)"
                                    "\xef\xbf\xbd"
                                    R"(","reward":26.0,"why":"right"})");
  m.scoring_can_fail = true;
  m.faults = {2, "a hang"};
  m.evaluation_faults = {3, "a crash"};
  m.curriculum = {{"a", 0.25, 0.5}};
  m.warnings = {{"odd", "it is odd"}};
  StepLines all = DescribeStep(m, /*with_load=*/true);
  EXPECT_EQ(all.metrics["reward_program/failures"], 2);
  EXPECT_EQ(all.metrics["reward_program/last_failure"], "a hang");
  EXPECT_EQ(all.metrics["expert_load"], Json::parse("[[24, 25]]"));
  EXPECT_EQ(all.metrics["curriculum/a/share"], 0.25);
  EXPECT_EQ(all.metrics["curriculum/a/success"], 0.5);
  EXPECT_EQ(all.metrics["warnings"], Json::parse(R"([{"name": "odd", "text": "it is odd"}])"));
  EXPECT_FALSE(all.metrics.contains("evaluation"));
  m.stopped = "enough";
  TaskEvaluation e{.task = "sums", .level = 2, .problems = 3, .samples = 4};
  e.pass_at_k = {{1, {0.5, 0.25, 0.625}}, {4, {0.75, 0.5, 1}}};
  e.majority = Interval{0.625, 0.375, 0.75};
  e.format_rate = 0.1;
  e.truncated_rate = 0.2;
  e.mean_length = 30;
  m.evaluation = {e};
  AddEvaluation(m, all);
  EXPECT_EQ(
      all.metrics["evaluation"][0].dump(),
      R"({"task":"sums","level":2,"problems":3,"samples":4,"pass@1":0.5,"pass@1_ci95":[0.25,0.625],)"
      R"("pass@4":0.75,"pass@4_ci95":[0.5,1.0],"maj@4":0.625,"maj@4_ci95":[0.375,0.75],)"
      R"("format_rate":0.1,"truncated_rate":0.2,"mean_length":30.0})");
  EXPECT_EQ(all.metrics["evaluation/reward_program_failures"], 3);
  EXPECT_EQ(all.metrics["stopped"], "enough");
  // The evaluation's warnings stand beside the step's.
  m.evaluation_warnings = {{"low", "it is low"}};
  AddEvaluation(m, all);
  EXPECT_EQ(all.metrics["warnings"],
            Json::parse(
                R"([{"name": "odd", "text": "it is odd"}, {"name": "low", "text": "it is low"}])"));
}

TEST(LogTest, WhatWasNotMeasuredIsAbsent) {
  ReinforceMetrics m = Numbered();
  m.kl.reset();
  EXPECT_FALSE(DescribeStep(m, true).metrics.contains("kl"));
  EXPECT_TRUE(DescribeStep(m, true).metrics.contains("expert_load"));
  m.trained = m.scored = false;
  m.mean_terminated_length.reset();
  EXPECT_EQ(
      JsonLine(DescribeStep(m, true).metrics),
      R"({"step":1,"num_tokens":2,"completions/mean_length":7.0,"completions/min_length":8.0,)"
      R"("completions/max_length":9.0,"completions/clipped_ratio":10.0,)"
      R"("completions/repeated_ratio":12.0,"frac_reward_zero_std":13.0,"refills":23})");
  const TaskEvaluation e{.task = "sums", .level = 2, .problems = 3, .samples = 4};
  EXPECT_EQ(ToJson(e).dump(), R"({"task":"sums","level":2,"problems":3,"samples":4,)"
                              R"("truncated_rate":0.0,"mean_length":0.0})");
}

TEST(LogTest, TheLoopsStateComesBackWhole) {
  LoopState s;
  s.progress = {
      .completed = 1, .next_problem = 2, .generated = 3, .updates = 4, .success = {0.5, 0.25}};
  s.best_accuracy = 0.75;
  s.best = "0123";
  s.problems = "abc";
  s.guards = {.begun = true,
              .first_entropy = 5,
              .first_length = 6,
              .first_clipped = 7,
              .first_accuracy = 8,
              .mean_format = 11,
              .best_format = 12,
              .silent_steps = 9,
              .stale_evaluations = 10,
              .start = Interval{0.3, 0.1, 0.6},
              .warned = {"odd"}};
  s.stopped = "why";
  s.unevaluated = DescribeStep(Numbered(), /*with_load=*/true);
  const std::string json = WriteLoopState(s);
  const LoopState read = ParseLoopState(json, "there");
  EXPECT_EQ(WriteLoopState(read), json);
  EXPECT_EQ(read.progress.next_problem, 2);
  EXPECT_EQ(read.best, "0123");
  EXPECT_EQ(read.progress.updates, 4);
  EXPECT_EQ(read.progress.success, s.progress.success);
  EXPECT_EQ(read.guards.stale_evaluations, 10);
  EXPECT_EQ(read.guards.best_format, 12);
  EXPECT_EQ(read.guards.start->value, 0.3);
  EXPECT_EQ(read.guards.start->low, 0.1);
  EXPECT_EQ(read.guards.start->high, 0.6);
  // Of a checkpoint of an older version: the value and half the width.
  Json old = Json::parse(json);
  old["guards"]["start"] = {0.5, 0.125};
  EXPECT_EQ(ParseLoopState(old.dump(), "there").guards.start->low, 0.375);
  EXPECT_EQ(ParseLoopState(old.dump(), "there").guards.start->high, 0.625);
  EXPECT_EQ(JsonLine(read.unevaluated.metrics), JsonLine(s.unevaluated.metrics));
  s.unevaluated = {};
  s.guards.start.reset();
  EXPECT_FALSE(ParseLoopState(WriteLoopState(s), "there").guards.start);
  EXPECT_TRUE(ParseLoopState(WriteLoopState(s), "there").unevaluated.empty());
  for (const char* bad : {"", "[]", "{}", R"({"completed": "x"})"}) {
    EXPECT_NE(MessageOf([&] { ParseLoopState(bad, "there"); }).find("there: its trainer state"),
              std::string::npos);
  }
}

TEST(LogTest, BeforeTheFirstStepThereIsAnEvaluationAndNothingElse) {
  ReinforceMetrics m;
  m.evaluation = {{.task = "sums", .level = 2, .problems = 3, .samples = 4}};
  StepLines lines;
  AddEvaluation(m, lines);
  const std::string line =
      R"({"step":0,"evaluation":[{"task":"sums","level":2,"problems":3,"samples":4,)"
      R"("truncated_rate":0.0,"mean_length":0.0}]})";
  EXPECT_EQ(JsonLine(lines.metrics), line);
  ScratchDirectory scratch;
  ReinforceLog(scratch.path(), -1).Append(lines);
  EXPECT_EQ(ReadFile(scratch / "metrics.jsonl"), line + "\n");
  EXPECT_EQ(ReadFile(scratch / "samples.jsonl"), "");
}

// A step's failures and its evaluation's, each told where it is.
TEST(LogTest, FailuresOfAStepAndOfItsEvaluationAreTwoThings) {
  for (const bool can_fail : {false, true}) {
    for (const int64_t step : {0, 2}) {
      for (const int64_t evaluation : {0, 3}) {
        ReinforceMetrics m;
        m.scoring_can_fail = can_fail;
        m.faults = {step, "a hang"};
        m.evaluation_faults = {evaluation, "a crash"};
        StepLines lines = DescribeStep(m, false);
        AddEvaluation(m, lines);
        EXPECT_EQ(lines.metrics.contains("reward_program/failures"), can_fail);
        EXPECT_EQ(lines.metrics.contains("reward_program/last_failure"), step > 0);
        EXPECT_EQ(lines.metrics.contains("evaluation/reward_program_failures"), evaluation > 0);
        EXPECT_FALSE(lines.metrics.contains("stopped"));
      }
    }
  }
}

}  // namespace
}  // namespace darkhorse
