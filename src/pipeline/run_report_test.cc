#include "pipeline/run_report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "base/scratch_testing.h"
#include "model/cost.h"
#include "pipeline/stage_recipe.h"

namespace darkhorse {
namespace {

TEST(DescribeModelOf, SaysHowLargeTheModelIs) {
  PretrainRecipe recipe;
  ModelConfig& model = recipe.model;
  model.num_hidden_layers = 5;
  model.first_k_dense_replace = 2;
  model.n_routed_experts = 8;
  model.num_experts_per_tok = 3;
  model.n_shared_experts = 1;
  model.num_nextn_predict_layers = 2;  // no layers of the model itself
  const ModelCost cost(model);
  const int64_t all = cost.parameters(), active = cost.active_parameters();
  ASSERT_NE(all, active);
  const std::string sizes =
      fmt::format("{} parameters, {} of them active for a token: 5 layers of width {}",
                  FormatCount(static_cast<double>(all)), FormatCount(static_cast<double>(active)),
                  model.hidden_size);
  EXPECT_EQ(DescribeModelOf(ToToml(recipe)),
            sizes + ", 3 of them with 8 routed experts (3 chosen) and 1 shared.");
  model.first_k_dense_replace = 5;  // dense
  model.num_nextn_predict_layers = 0;
  EXPECT_TRUE(
      DescribeModelOf(ToToml(recipe)).ends_with(fmt::format(" width {}.", model.hidden_size)));
}

TEST(DescribeModelOf, SaysNothingOfWhatItCannotRead) {
  EXPECT_EQ(DescribeModelOf("[model]\nhidden_size = 'wide'\n"), "");
  EXPECT_EQ(DescribeModelOf("[model]\nof_tomorrow = 1\n"), "");
  EXPECT_EQ(DescribeModelOf("[model]\nhidden_size = -1\n"), "");
}

TEST(DescribeCorpusOf, SaysItsShares) {
  EXPECT_EQ(DescribeCorpusOf("[corpus]\ndocuments = 400\nworked_share = 0.5\nfacts_share = 0.25\n"
                             "[[stage]]\nkind = \"pretrain\"\n"),
            "The corpus has 400 documents: 50.0 % work a problem, 25.0 % are sheets of arithmetic, "
            "the rest guesses.");
  EXPECT_EQ(DescribeCorpusOf("[corpus]\nof_tomorrow = 1\n"), "");
}

TEST(ReportRun, KnowsWhereTheStagesLie) {
  ScratchDirectory scratch;
  scratch.Write("run/recipe.toml",
                "vocab_size = 300\n[[stage]]\nkind = \"pretrain\"\nname = \"base\"\n"
                "[[stage]]\nkind = \"evaluate\"\ntasks = [\"sum:1\"]\n"
                "[[stage]]\nkind = \"reinforce\"\nname = \"reinforced\"\n"
                "[[stage]]\nkind = \"evaluate\"\n");
  EXPECT_FALSE(HasReport(scratch / "run"));
  scratch.Write("run/base/recipe.toml", "[train]\nsteps = 1\n");
  scratch.Write("run/base/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  scratch.Write("run/base/timings.jsonl", "{\"step\":1,\"seconds\":3600,\"threads\":2}\n");
  scratch.Write("run/base.json", "[{\"task\":\"sum\",\"pass@1\":0.25}]");
  scratch.Write("run/reinforced/metrics.jsonl", "{\"step\":1,\"reward\":0.5}\n");
  scratch.Write("run/reinforced.json", "[{\"task\":\"sum\",\"pass@1\":0.75}]");
  EXPECT_TRUE(HasReport(scratch / "run"));
  std::string page = RunPage(scratch / "run");
  EXPECT_FALSE(FileExists(scratch / "run/report.html"));
  EXPECT_EQ(ReportRun(scratch / "run"), scratch / "run/report.html");
  EXPECT_EQ(ReadFile(scratch / "run/report.html"), page);
  for (const char* says : {"25.0 % → 75.0 %", "(base → reinforced)", "<h2>Pretraining</h2>",
                           "<h2>Reinforcement learning</h2>", "parameters, ",
                           "The corpus has 100000 documents", "<b>$0.10</b>"})
    EXPECT_NE(page.find(says), std::string::npos) << says;
  ReportRun(scratch / "run", 3);
  page = ReadFile(scratch / "run/report.html");
  EXPECT_NE(page.find("<b>$6.00</b>"), std::string::npos);
}

// Of several reinforcements the last that goes back to the first pretraining.
TEST(ReportRun, FollowsTheFirstModelThroughTheStages) {
  ScratchDirectory scratch;
  const auto stage = [](const std::string& kind, const std::string& name, const std::string& more) {
    return fmt::format("[[stage]]\nkind = \"{}\"\nname = \"{}\"\n{}\n", kind, name, more);
  };
  scratch.Write("run/recipe.toml",
                stage("pretrain", "root", "") + stage("evaluate", "first", "") +
                    stage("reinforce", "one", "") + stage("evaluate", "between", "") +
                    stage("sample", "right", "[stage.sample]\ntasks = [\"sum:1\"]") +
                    stage("finetune", "tuned", "from = \"root\"\ndata = [\"right\"]") +
                    stage("reinforce", "two", "") + stage("evaluate", "last", "") +
                    stage("pretrain", "student", "") + stage("evaluate", "other", "") +
                    stage("reinforce", "alone", "") + stage("evaluate", "further", ""));
  for (const char* name : {"root", "student"})
    scratch.Write(fmt::format("run/{}/metrics.jsonl", name), "{\"step\":1,\"loss\":2.5}\n");
  for (const char* name : {"one", "two", "alone"})
    scratch.Write(fmt::format("run/{}/metrics.jsonl", name), "{\"step\":1,\"reward\":0.5}\n");
  for (const auto& [name, pass] : {std::pair{"first", 0.125},
                                   {"between", 0.25},
                                   {"last", 0.5},
                                   {"other", 0.625},
                                   {"further", 0.75}})
    scratch.Write(fmt::format("run/{}.json", name),
                  fmt::format("[{{\"task\":\"sum\",\"pass@1\":{}}}]", pass));
  ReportRun(scratch / "run");
  const std::string page = ReadFile(scratch / "run/report.html");
  for (const char* says : {"12.5 % → 50.0 %", "(first → last)"})
    EXPECT_NE(page.find(says), std::string::npos) << says;
}

}  // namespace
}  // namespace darkhorse
