#include "rl/probe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/cost.h"
#include "rl/recipe.h"
#include "rl/tiny_policy_testing.h"

namespace darkhorse {
namespace {

PartProbe Part(const std::string& name, double pass_at_1, double pass_at_group, double format,
               double truncated, int64_t signal_groups) {
  PartProbe part;
  part.name = name;
  part.evaluation.problems = 20;
  part.evaluation.samples = 8;
  part.evaluation.pass_at_1.value = pass_at_1;
  part.evaluation.format_rate = format;
  part.evaluation.truncated_rate = truncated;
  part.pass_at_group = pass_at_group;
  part.signal_groups = signal_groups;
  return part;
}

ProbeReport Diagnosed(std::vector<PartProbe> parts) {
  ProbeReport report;
  report.parts = std::move(parts);
  Diagnose(ReinforceRecipe(), &report);
  return report;
}

void ExpectFinding(const PartProbe& part, bool hopeless, const std::string& cause,
                   const std::string& cure) {
  const ProbeReport report = Diagnosed({part});
  EXPECT_EQ(report.hopeless, hopeless) << part.name;
  ASSERT_EQ(report.findings.size(), 1u) << part.name;
  const std::string& line = report.findings[0];
  EXPECT_EQ(line.starts_with("nothing to learn from: "), hopeless) << line;
  EXPECT_NE(line.find(part.name + ": " + cause), std::string::npos) << line;
  EXPECT_NE(line.find(cure), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(ProbeTest, NamesWhatStandsInTheWayAndWhatToChange) {
  ExpectFinding(Part("cut", 0, 0, 0, 1, 0), true, "most completions are cut off",
                "raise rl.max_tokens (now 352");
  ExpectFinding(Part("formless", 0, 0, 0, 0.1, 0), true, "no completion has the right form",
                "<answer>");
  PartProbe unreadable = Part("unreadable", 0, 0, 0, 0.1, 0);
  unreadable.answered = 0.8;
  ExpectFinding(unreadable, true, "answers stand between their tags", "choose another rule");
  // Right answers elsewhere than where they are asked for: rewards that differ are a signal.
  PartProbe elsewhere = Part("elsewhere", 0, 0, 0, 0.1, 0);
  elsewhere.evaluation.lenient.emplace();
  elsewhere.evaluation.lenient->pass_at_k = {{1, {0, 0, 0.1}}, {16, {0, 0, 0.1}}};
  ExpectFinding(elsewhere, true, "no completion has a legal answer where it is read",
                "prompt.instruction");
  elsewhere.evaluation.lenient->pass_at_k.back().second.value = 0.5;
  ExpectFinding(elsewhere, true, "right answers are given, but never where they are read",
                "problems.answer (now auto)");
  elsewhere.signal_groups = 15;
  EXPECT_TRUE(Diagnosed({elsewhere}).findings.empty());
  // Where a program reads another form than the tags, it says so by what it scores and reads.
  ExpectFinding(Part("untagged easy", 1, 1, 0, 0, 0), true, "every answer is right", "harder");
  ExpectFinding(Part("untagged split", 0.5, 0.5, 0, 0, 0), true, "groups are all right, all wrong",
                "rl.group_size (now 16)");
  ReinforceRecipe scored;
  scored.problems.reward = "python3 reward.py";
  ProbeReport report{.parts = {unreadable}};
  Diagnose(scored, &report);
  EXPECT_EQ(report.findings[0],
            "nothing to learn from: unreadable: answers are given, but the reward program rates "
            "all of a group alike and none as right; choose easier problems, pretrain on answers "
            "of their kind, or mend the program");
  report = {.parts = {Part("formless", 0, 0, 0, 0.1, 0)}};
  Diagnose(scored, &report);
  EXPECT_TRUE(report.findings[0].ends_with(", or what the reward program asks for"));
  ExpectFinding(Part("easy", 1, 1, 1, 0, 0), true, "every answer is right", "harder");
  ExpectFinding(Part("hard", 0, 0, 1, 0, 0), true, "every answer is wrong;", "rl.group_size");
  ExpectFinding(Part("split", 0.5, 0.5, 1, 0, 0), true, "groups are all right, all wrong",
                "rl.group_size (now 16)");
  ExpectFinding(Part("form", 0, 0, 0.5, 0, 15), false, "every answer is wrong, so only the form",
                "easier");
  ExpectFinding(Part("long", 0.1, 0.5, 0.4, 0.6, 10), false, "most completions are cut off",
                "rl.max_tokens");
  ExpectFinding(Part("rare", 0.01, 0.05, 1, 0, 1), false, "fewer than a tenth", "easier");
  ExpectFinding(Part("seldom", 0.99, 1, 1, 0, 1), false, "fewer than a tenth", "harder");
}

TEST(ProbeTest, IsContentWithAModelThatCanLearn) {
  const ProbeReport report = Diagnosed({Part("good", 0.2, 0.9, 0.9, 0.05, 18)});
  EXPECT_FALSE(report.hopeless);
  EXPECT_TRUE(report.findings.empty());
  // Two groups of twenty are not fewer than a tenth.
  EXPECT_TRUE(Diagnosed({Part("some", 0.02, 0.1, 0.9, 0.05, 2)}).findings.empty());
}

TEST(ProbeTest, OnePartWithASignalIsEnough) {
  const PartProbe silent = Part("a:1", 0, 0, 1, 0, 0);
  ProbeReport report = Diagnosed({silent, Part("b:1", 0.2, 0.9, 0.9, 0, 18)});
  EXPECT_FALSE(report.hopeless);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_TRUE(report.findings[0].starts_with("nothing to learn from in a:1: every answer is wrong"))
      << report.findings[0];
  // Parts in the same trouble share a line.
  report = Diagnosed({silent, Part("b:1", 1, 1, 1, 0, 0), Part("c:1", 0, 0, 1, 0, 0)});
  EXPECT_TRUE(report.hopeless);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_NE(report.findings[0].find("a:1, c:1: every answer is wrong"), std::string::npos);
  EXPECT_NE(report.findings[0].find("| b:1: every answer is right"), std::string::npos);
}

TEST(ProbeTest, MemoryCountsReferenceRotationsAndCache) {
  ReinforceRecipe recipe;
  recipe.rl.max_tokens = 20;
  recipe.rl.slots = 8;
  const ModelConfig config = TinyPolicyConfig();
  const ModelCost cost(config);
  const auto memory = [&](int64_t prompt, int64_t held_out) {
    return ReinforceMemory(recipe, config, BytesOfAllWeights(cost, Format::kF32),
                           Activations::kKept, prompt, held_out);
  };
  const int64_t plain = memory(10, 0);
  const int64_t cached = cost.CacheBytesPerToken(CacheForm::kExpanded);
  const TrainingMemory training = cost.Training(recipe.rl.micro_batch_tokens);
  const int64_t rotations = 4 * config.max_position_embeddings * config.qk_rope_head_dim;
  EXPECT_EQ(plain, training.total() + cost.PackedBytes(Format::kF32) + rotations + 8 * 30 * cached);
  // An evaluation may run more sequences at once than a step.
  recipe.rl.prompts_per_step = recipe.rl.group_size = recipe.rl.evaluate_samples = 2;
  EXPECT_EQ(plain - memory(10, 0), 4 * 30 * cached);
  EXPECT_EQ(plain - memory(10, 3), 2 * 30 * cached);
  EXPECT_EQ(memory(10, 100), plain);
  EXPECT_EQ(
      plain - ReinforceMemory(recipe, config, BytesOfAllWeights(cost, Format::kF32, Format::kBf16),
                              Activations::kKept, 10, 100),
      training.weights);  // of two moments half of each
  recipe.grpo.kl_beta = 0.1;
  EXPECT_EQ(memory(10, 100) - plain, training.weights);
  recipe.rl.max_tokens = 1000;  // the context holds 64
  EXPECT_EQ(memory(10, 100) - plain, training.weights + 8 * 34 * cached);
  // A sequence is computed whole, however few tokens are computed at once.
  const int64_t at_once = memory(10, 100);
  recipe.rl.micro_batch_tokens = 64;
  const int64_t whole = memory(10, 100);
  EXPECT_EQ(at_once - whole, training.total() - cost.Training(64).total());
  recipe.rl.micro_batch_tokens = 63;
  EXPECT_EQ(memory(10, 100), whole);
  EXPECT_EQ(whole - ReinforceMemory(recipe, config, {}, Activations::kRecomputed, 10, 100),
            BytesOfAllWeights(cost, Format::kF32).state() + training.weights +
                cost.Training(64).activations -
                cost.Training(64, Format::kF32, Activations::kRecomputed).activations);
}

TEST(ProbeTest, EachNumberStandsInItsOwnPlace) {
  PartProbe part = Part("a:1", 0.125, 0.5, 0.75, 0.25, 7);
  part.evaluation.pass_at_1.low = 0.0625;
  part.evaluation.pass_at_1.high = 0.25;
  part.evaluation.mean_length = 31;
  ProbeReport report{.parts = {part},
                     .findings = {"odd"},
                     .tokens_per_second = 1234,
                     .training_flops_per_second = 5e9,
                     .seconds = 61,
                     .seconds_longest = 122,
                     .memory_bytes = 3 << 20};
  EXPECT_EQ(DescribeProbe(report),
            (std::vector<std::string>{
                "probe of a:1: pass@1 0.125, pass@8 0.500, right form 75 %, cut off 25 %, 31 "
                "tokens, a signal in 7 of 20 groups",
                "probe: 1.23k tokens/s; at this speed the run takes about 1:01 (2:02 if all "
                "completions grow to rl.max_tokens) and 3 MiB of memory",
                "warning: odd"}));
  EXPECT_EQ(ToJson(report).dump(),
            R"({"hopeless":false,"findings":["odd"],"tokens_per_second":1234.0,)"
            R"("training_flops_per_second":5000000000.0,"seconds":61.0,"seconds_longest":122.0,)"
            R"("memory_bytes":3145728,"parts":[{"name":"a:1","problems":20,"samples":8,)"
            R"("pass@1":0.125,"pass@1_ci95":[0.0625,0.25],"pass@8":0.5,)"
            R"("truncated_rate":0.25,"mean_length":31.0,"signal_groups":7,"format_rate":0.75}]})");
}

// Else a program that fails on wrong answers would look like problems that are too hard.
TEST(ProbeTest, WhatCouldNotBeScoredIsTheCause) {
  ProbeReport report;
  report.parts = {Part("a", 0.4, 0.8, 1, 0, 0)};
  report.scoring_can_fail = true;
  report.faults = {.samples = 36, .last = "the reward program ended"};
  Diagnose(ReinforceRecipe(), &report);
  EXPECT_EQ(report.findings,
            (std::vector<std::string>{
                "nothing to learn from: a: samples could not be scored, and the others of their "
                "groups are all alike; mend the reward program",
                "36 samples could not be scored; the last: the reward program ended"}));
  EXPECT_EQ(ToJson(report)["reward_program_failures"], 36);
  report.parts[0].signal_groups = 3;
  report.findings.clear();
  Diagnose(ReinforceRecipe(), &report);
  EXPECT_FALSE(report.hopeless);
  EXPECT_EQ(report.findings.back(),
            "36 samples could not be scored; the last: the reward program ended");
}

}  // namespace
}  // namespace darkhorse
