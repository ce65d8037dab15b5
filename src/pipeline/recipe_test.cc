#include "pipeline/recipe.h"

#include <gtest/gtest.h>

#include "base/fields_testing.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

constexpr char kWhole[] = R"(
vocab_size = 300
[pretrain.train]
steps = 7
[reinforce.rl]
steps = 9
)";

TEST(RunRecipe, ListIsWhole) { EXPECT_TRUE(ListsEveryMember<RunRecipe>()); }

TEST(GeneratedCorpus, EveryFieldReachesTheMix) {
  const RunRecipe recipe = ParseRunRecipe({"r.toml",
                                           R"(
[corpus]
tasks = ["sum:2=0.5", "sort"]
documents = 11
worked_share = 0.5
facts_share = 0.25
give_up = [0.125, 0.75]
max_attempts = 12
check = 0.375
ordered = 0.625
seed = 13
)",
                                           {}});
  EXPECT_EQ(recipe.corpus.documents, 11);
  EXPECT_EQ(recipe.corpus.seed, 13u);
  const CorpusMix mix = recipe.corpus.Mix();
  ASSERT_EQ(mix.tasks.size(), 2u);
  EXPECT_EQ(mix.tasks[0].task, "sum");
  EXPECT_EQ(mix.tasks[0].level, 2);
  EXPECT_EQ(mix.tasks[0].weight, 0.5);
  EXPECT_EQ(mix.tasks[1].task, "sort");
  EXPECT_EQ(mix.worked_share, 0.5);
  EXPECT_EQ(mix.facts_share, 0.25);
  EXPECT_EQ(mix.style.give_up, (std::vector<double>{0.125, 0.75}));
  EXPECT_EQ(mix.style.max_attempts, 12);
  EXPECT_EQ(mix.style.check, 0.375);
  EXPECT_EQ(mix.style.ordered, 0.625);
}

TEST(ParseRunRecipe, OverridesWinAndImpossibleValuesAreRefused) {
  EXPECT_EQ(ParseRunRecipe({"r.toml", kWhole, {"pretrain.train.steps=8"}}).pretrain.train.steps, 8);
  const auto refused = [](const std::string& override) {
    return MessageOf([&] { ParseRunRecipe({"r.toml", kWhole, {override}}); });
  };
  for (const auto& [field, most] : {std::pair{"corpus.documents", INT64_MAX},
                                    {"corpus.max_attempts", 1 << 20},
                                    {"vocab_size", 1 << 20},
                                    {"digits_per_token", 1000},
                                    {"evaluate_problems", 1 << 20},
                                    {"evaluate_samples", 1 << 20}}) {
    EXPECT_EQ(refused(fmt::format("{}=0", field)),
              fmt::format("setting {0}=0: {0} is 0; it must be from 1 to {1}", field, most));
    EXPECT_EQ(refused(fmt::format("{}=1000", field)), "") << field;
  }
  EXPECT_EQ(refused("digits_per_token=1"), "");
  EXPECT_EQ(refused("digits_per_token=1001"),
            "setting digits_per_token=1001: digits_per_token is 1001; it must be from 1 to 1000");
  EXPECT_EQ(refused("evaluate_samples=1048577"),
            "setting evaluate_samples=1048577: evaluate_samples is 1048577; it must be from 1 to "
            "1048576");
  EXPECT_EQ(refused("corpus.ordered=1.5"),
            "setting corpus.ordered=1.5: corpus.ordered is 1.5; it must be in [0, 1]");
  EXPECT_EQ(refused("corpus.ordered=-0.5"),
            "setting corpus.ordered=-0.5: corpus.ordered is -0.5; it must be in [0, 1]");
  EXPECT_EQ(
      refused("corpus.tasks=unknown"),
      "setting corpus.tasks=unknown: corpus.tasks is not understood: unknown task 'unknown'; "
      "there are countdown, sum, multiply, solve, gcd, base, sort, parity, times, largest, count, "
      "plusminus; did you mean "
      "'countdown'?");
  EXPECT_EQ(refused("pretrain.train.steps=0"),
            "setting pretrain.train.steps=0: pretrain.train.steps is 0; it must be at least 1");
  EXPECT_EQ(refused("reinforce.rl.steps=-1"),
            "setting reinforce.rl.steps=-1: reinforce.rl.steps is -1; it must be at least 1");
}

// Values that the fields' types can hold and a run cannot work with are told with their line, as
// those that do not fit are; and with their section, although a check may know only the field.
TEST(Recipes, ImpossibleValuesAreToldWithTheirPlace) {
  const auto run = [](const std::string& toml) {
    return MessageOf([&] { ParseRunRecipe({"r.toml", toml, {}}); });
  };
  const auto pretrain = [](const std::string& toml) {
    return MessageOf([&] { ParsePretrainRecipe({"r.toml", toml, {}}); });
  };
  const auto reinforce = [](const std::string& toml) {
    return MessageOf([&] { ParseReinforceRecipe({"r.toml", toml, {}}); });
  };
  EXPECT_EQ(reinforce("[grpo]\nkl_beta = 0\nadvantage = 'x'\n"),
            "r.toml:3: grpo.advantage is 'x'; it must be one of mean, mean_std, batch_std");
  EXPECT_EQ(reinforce("[rl]\ntasks = ['chess']\n"),
            "r.toml:2: rl.tasks is not understood: unknown task 'chess'; there are countdown, sum, "
            "multiply, solve, gcd, base, sort, parity, times, largest, count, plusminus");
  EXPECT_EQ(run("[corpus]\n\ntasks = ['sum:9', 'chess']\n"),
            "r.toml:3: corpus.tasks is not understood: unknown task 'chess'; there are countdown, "
            "sum, multiply, solve, gcd, base, sort, parity, times, largest, count, plusminus");
  EXPECT_EQ(reinforce("[schedule]\nschedule = 'x'\n"),
            "r.toml:2: schedule.schedule is 'x'; it must be constant, cosine or wsd");
  EXPECT_EQ(pretrain("[optimizer]\n\noptimizer = 'x'\n"),
            "r.toml:3: optimizer.optimizer is 'x'; it must be muon or adamw");
  EXPECT_EQ(pretrain("[optimizer]\nlearning_rate = -1\n"),
            "r.toml:2: optimizer.learning_rate is -1; it must be positive");
  EXPECT_EQ(pretrain("[model]\nhidden_size = 0\n"),
            "r.toml:2: model.hidden_size is 0; it must be at least 1");
  EXPECT_EQ(pretrain("[model]\nscoring_func = 'x'\n"),
            "r.toml:2: model.scoring_func is 'x'; it must be sigmoid or softmax");
  EXPECT_EQ(
      pretrain("[train]\nsequence_length = 100\n"),
      "r.toml: train.tokens_per_step is 16384; it must be a multiple of train.sequence_length "
      "= 100");
  // None of several fields that the same is asked of is told with another.
  for (const char* field :
       {"batch_ramp_steps", "evaluate_every", "mtp_lambda", "balance_alpha", "router_bias_gamma"}) {
    EXPECT_EQ(pretrain(fmt::format("[train]\n{} = -1\n", field)),
              fmt::format("r.toml:2: train.{} is -1; it cannot be negative", field));
  }
  for (const char* field : {"max_refills", "evaluate_every", "reference_every"}) {
    EXPECT_EQ(reinforce(fmt::format("[rl]\n{} = -1\n", field)),
              fmt::format("r.toml:2: rl.{} is -1; it cannot be negative", field));
  }
  EXPECT_EQ(run("[reinforce.optimizer]\nlearning_rate = -1\n"),
            "r.toml:2: reinforce.optimizer.learning_rate is -1; it must be positive");
  EXPECT_EQ(run("[pretrain.optimizer]\nlearning_rate = -1\n"),
            "r.toml:2: pretrain.optimizer.learning_rate is -1; it must be positive");
  EXPECT_EQ(run("[corpus]\ndocuments = 0\n"),
            "r.toml:2: corpus.documents is 0; it must be from 1 to 9223372036854775807");
  // The section of a whole run.
  EXPECT_EQ(pretrain("vocab_size = 300\n[pretrain.train]\nsteps = 0\n"),
            "r.toml:3: pretrain.train.steps is 0; it must be at least 1");
  // Named by their paths in what they are set in.
  EXPECT_EQ(MessageOf([] {
              ParsePretrainRecipe({"r.toml", kWhole, {"train.steps=0"}});
            }),
            "setting train.steps=0: train.steps is 0; it must be at least 1");
}

TEST(ParseRunRecipe, OneSeedIsThatOfWhateverHasNoneOfItsOwn) {
  const auto seeds = [](const std::string& toml, const std::vector<std::string>& overrides) {
    const RunRecipe r = ParseRunRecipe({"r.toml", toml, overrides});
    return std::vector<uint64_t>{r.seed, r.corpus.seed, r.pretrain.train.seed, r.reinforce.rl.seed};
  };
  using Seeds = std::vector<uint64_t>;
  EXPECT_EQ(seeds("", {}), (Seeds{1, 1, 1, 1}));
  EXPECT_EQ(seeds("seed = 7\n", {}), (Seeds{7, 7, 7, 7}));
  EXPECT_EQ(seeds("seed = 7\n", {"seed=8"}), (Seeds{8, 8, 8, 8}));
  EXPECT_EQ(seeds("seed = 7\n[corpus]\nseed = 1\n", {"reinforce.rl.seed=9"}), (Seeds{7, 1, 7, 9}));
  // The recipe that a run records is read back as it is.
  const RunRecipe recipe = ParseRunRecipe({"r.toml", "seed = 7\n", {"pretrain.train.seed=1"}});
  EXPECT_EQ(seeds(ToToml(recipe), {}), (Seeds{7, 7, 1, 7}));
  // Another seed is another run also of such a recipe, which has every seed in it.
  EXPECT_EQ(seeds(ToToml(recipe), {"corpus.seed=9", "seed = 8"}), (Seeds{8, 9, 8, 8}));
  // A command that takes a section takes its seed.
  const RecipeText text{"r.toml", std::string("seed = 7\n") + kWhole, {}};
  EXPECT_EQ(ParsePretrainRecipe(text).train.seed, 7u);
  EXPECT_EQ(ParseReinforceRecipe(text).rl.seed, 7u);
}

TEST(ParseRunRecipe, OnePrecisionIsThatOfWhateverHasNoneOfItsOwn) {
  const auto precisions = [](const std::string& toml, const std::vector<std::string>& overrides) {
    const RunRecipe r = ParseRunRecipe({"r.toml", toml, overrides});
    return r.pretrain.train.precision + " " + r.reinforce.rl.precision;
  };
  EXPECT_EQ(precisions("precision = \"bf16\"\n", {}), "bf16 bf16");
  EXPECT_EQ(precisions("", {"precision=bf16"}), "bf16 bf16");
  EXPECT_EQ(precisions("precision = \"bf16\"\n[reinforce.rl]\nprecision = \"f32\"\n", {}),
            "bf16 f32");
  EXPECT_EQ(precisions("precision = \"bf16\"\n", {"pretrain.train.precision=f32"}), "f32 bf16");
}

TEST(ParsePretrainRecipe, IsARecipeOfItsOwnOrASectionOfARun) {
  EXPECT_EQ(ParsePretrainRecipe({"p.toml", "[train]\nsteps = 5\n", {}}).train.steps, 5);
  const PretrainRecipe section = ParsePretrainRecipe({"r.toml", kWhole, {}});
  EXPECT_EQ(section.train.steps, 7);
  EXPECT_EQ(section.model.vocab_size, 300);  // of the tokenizer that the run trains
  // Overrides are of the section's fields in both cases.
  EXPECT_EQ(ParsePretrainRecipe({"p.toml", "[train]\nsteps = 5\n", {"train.steps=6"}}).train.steps,
            6);
  EXPECT_EQ(ParsePretrainRecipe({"r.toml", kWhole, {"train.steps=6"}}).train.steps, 6);
  EXPECT_EQ(ParsePretrainRecipe({"r.toml", kWhole, {"model.vocab_size=301"}}).model.vocab_size,
            301);
}

TEST(ParseReinforceRecipe, IsARecipeOfItsOwnOrASectionOfARun) {
  EXPECT_EQ(ParseReinforceRecipe({"rl.toml", "[rl]\nsteps = 5\n", {}}).rl.steps, 5);
  EXPECT_EQ(ParseReinforceRecipe({"r.toml", kWhole, {}}).rl.steps, 9);
  EXPECT_EQ(ParseReinforceRecipe({"r.toml", kWhole, {"rl.steps=6"}}).rl.steps, 6);
}

TEST(ParseReinforceRecipe, IsCheckedOnceItsProblemsAreSet) {
  const RecipeText text{"r.toml", "[rl]\ntasks = []\n", {}};
  const auto set = [](ProblemsOptions* problems) {
    problems->file = "p.jsonl";
    problems->rule = "exact";
  };
  EXPECT_EQ(ParseReinforceRecipe(text, set).problems.file, "p.jsonl");
  EXPECT_EQ(MessageOf([&] { ParseReinforceRecipe(text); }),
            "r.toml: no task to practise: name a file of problems (problems.file, with "
            "problems.rule or problems.reward), or tasks in rl.tasks");
}

TEST(ContentsOf, AWholeRunHoldsBothOthers) {
  const auto contents = [](const std::string& toml) {
    const RecipeContents c = ContentsOf(toml, "r.toml");
    return std::vector<bool>{c.run, c.pretraining, c.reinforcement, c.finetuning};
  };
  EXPECT_EQ(contents(kWhole), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(contents("[train]\nsteps = 5\n"), (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(contents("[rl]\nsteps = 5\n"), (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(contents("[finetune]\nsteps = 5\n"), (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(contents("[optimizer]\n"), (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(contents("stepz = 5\n"), (std::vector<bool>{false, false, false, false}));
}

TEST(Recipes, OfAnotherKindAreRefusedByItsName) {
  const RecipeText pretrain{"p.toml", "[train]\nsteps = 5\n", {}};
  RecipeText reinforce{"rl.toml", "[rl]\nsteps = 5\n", {}};
  EXPECT_EQ(MessageOf([&] { ParseRunRecipe(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of a whole run");
  EXPECT_EQ(MessageOf([&] { ParseRunRecipe(reinforce); }),
            "rl.toml is a recipe of reinforcement learning; this takes one of a whole run");
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(reinforce); }),
            "rl.toml is a recipe of reinforcement learning; this takes one of pretraining or a "
            "whole run");
  EXPECT_EQ(MessageOf([&] { ParseReinforceRecipe(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of reinforcement learning or a "
            "whole run");
  reinforce.kinds = {"RUN", "PRETRAIN", "REINFORCE"};
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(reinforce); }),
            "rl.toml is a recipe of REINFORCE; this takes one of PRETRAIN or RUN");
  const RecipeText finetune{"f.toml", "[finetune]\nsteps = 5\n", {}};
  EXPECT_EQ(MessageOf([&] { ParseRunRecipe(finetune); }),
            "f.toml is a recipe of fine-tuning; this takes one of a whole run");
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(finetune); }),
            "f.toml is a recipe of fine-tuning; this takes one of pretraining or a whole run");
  EXPECT_EQ(MessageOf([&] { ParseFinetuneRecipe(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of fine-tuning");
  EXPECT_EQ(MessageOf([&] {
              ParseFinetuneRecipe({"w.toml", kWhole, {}});
            }),
            "w.toml is a recipe of a whole run; this takes one of fine-tuning");
  // One that fits none is told of its unknown name.
  EXPECT_TRUE(Says(MessageOf([] { ParsePretrainRecipe({"x.toml", "stepz = 1\n", {}}); }), "stepz"));
  EXPECT_TRUE(Says(MessageOf([] {
                     ParseRunRecipe({"x.toml", "vocab_sise = 1\n", {}});
                   }),
                   "vocab_size"));
}

TEST(Recipes, OfFineTuningHaveDefaultsOfTheirOwn) {
  const FinetuneRecipe defaults = ParseFinetuneRecipe({"", "", {}});
  EXPECT_EQ(defaults.optimizer.optimizer, "adamw");
  EXPECT_EQ(defaults.adapter.kind, "auto");
  const FinetuneRecipe recipe = ParseFinetuneRecipe(
      {"f.toml", "[finetune]\nepochs = 3\n", {"finetune.steps=7", "schedule.warmup_steps=1"}});
  EXPECT_EQ(recipe.finetune.epochs, 3);
  EXPECT_EQ(recipe.finetune.steps, 7);
  EXPECT_EQ(recipe.schedule.warmup_steps, 1);
  EXPECT_TRUE(Says(MessageOf([] {
                     ParseFinetuneRecipe({"", "", {"finetune.stepz=7"}});
                   }),
                   "did you mean 'finetune.steps'?"));
  EXPECT_TRUE(Says(MessageOf([] {
                     ParseFinetuneRecipe({"f.toml", "[finetune]\n\ntoo_long = \"x\"\n", {}});
                   }),
                   "f.toml:3"));
}

}  // namespace
}  // namespace darkhorse
