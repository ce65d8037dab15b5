#include "pipeline/recipe.h"

#include <gtest/gtest.h>

#include "base/fields_testing.h"
#include "base/scratch_testing.h"
#include "pipeline/stage_recipe.h"

namespace darkhorse {
namespace {

constexpr char kRun[] = R"(
vocab_size = 300
[[stage]]
kind = "pretrain"
[stage.train]
steps = 7
[[stage]]
kind = "reinforce"
[stage.rl]
steps = 9
[[stage]]
kind = "reinforce"
name = "again"
[stage.rl]
steps = 10
)";

// Values that the fields' types can hold and a run cannot work with are told with their line, as
// those that do not fit are; and with their section, although a check may know only the field.
TEST(Recipes, ImpossibleValuesAreToldWithTheirPlace) {
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
  // A stage of a run.
  EXPECT_EQ(pretrain("[[stage]]\nkind = 'pretrain'\n[stage.train]\nsteps = 0\n"),
            "r.toml:4: train.steps is 0; it must be at least 1");
  // Named by their paths in what they are set in.
  EXPECT_EQ(MessageOf([] {
              ParsePretrainRecipe({"r.toml", kRun, {"train.steps=0"}});
            }),
            "setting train.steps=0: train.steps is 0; it must be at least 1");
}

// A field that would do nothing is told: whoever set it thinks that it does something.
TEST(Recipes, FieldsThatNeedAnotherAreToldWhereItIsMissing) {
  const auto reinforce = [](const std::string& toml) {
    return MessageOf([&] { ParseReinforceRecipe({"r.toml", toml, {}}); });
  };
  EXPECT_EQ(
      reinforce("[rl]\nreference_every = 3\n"),
      "r.toml:2: rl.reference_every is 3, but grpo.kl_beta is 0, so there is no reference; set "
      "grpo.kl_beta above 0, or rl.reference_every to 0");
  EXPECT_EQ(reinforce("[rl]\nreference_every = 3\n[grpo]\nkl_beta = 0.1\n"), "");
  EXPECT_EQ(reinforce("[distil]\nreward_weight = 1\n"),
            "r.toml:2: distil.reward_weight is 1, but there is no teacher; name one, or leave "
            "distil.reward_weight at 0");
  EXPECT_EQ(reinforce("[distil]\nweight = 2\n"),
            "r.toml:2: distil.weight is 2, but there is no teacher; name one, or leave "
            "distil.weight at 1");
  EXPECT_EQ(reinforce("[distil]\nteacher = 'm'\nweight = 2\nreward_weight = 1\n"), "");
  EXPECT_EQ(reinforce("[adapter]\nkind = 'none'\nweights = 'q8'\n"),
            "r.toml:3: adapter.weights is 'q8', but kind is none: no weights stay as they are; set "
            "kind to lora, or weights to auto");
  EXPECT_EQ(reinforce("[adapter]\nkind = 'none'\nweights = 'auto'\n"), "");
  const std::string stages =
      "[[stage]]\nkind = 'reinforce'\nfrom = './m'\nteacher = './t'\n[stage.distil]\n";
  const auto run = [](const std::string& toml) {
    return MessageOf([&] { ParseStagesRecipe({"r.toml", toml, {}}); });
  };
  EXPECT_EQ(run(stages + "reward_weight = 1\n"), "");
  EXPECT_EQ(
      run(stages + "teacher = 'other'\n"),
      "r.toml:6: distil.teacher is 'other', but the stage's teacher is ./t; leave one of them "
      "out");
}

TEST(Recipes, ATaskIsListedOnce) {
  const std::string why =
      " is not understood: sum:2 is listed twice; list it once, with the weight that it is to have";
  const std::string tasks = "tasks = ['sum:2', 'sum:3', 'sum:2=0.5']\n";
  EXPECT_EQ(MessageOf([&] {
              ParseReinforceRecipe({"r.toml", "[rl]\n" + tasks, {}});
            }),
            "r.toml:2: rl.tasks" + why);
  EXPECT_EQ(MessageOf([&] {
              ParseSampleRecipe({"r.toml", "[sample]\n" + tasks, {}}, {});
            }),
            "r.toml:2: sample.tasks" + why);
  const auto run = [](const std::string& toml) {
    return MessageOf([&] { ParseStagesRecipe({"r.toml", toml, {}}); });
  };
  const std::string stage = "[[stage]]\nkind = 'evaluate'\nname = 'x'\nfrom = './m'\n";
  EXPECT_EQ(run(stage + tasks), "r.toml:5: tasks" + why);
  EXPECT_EQ(run("[corpus]\n" + tasks + stage), "r.toml:2: corpus.tasks" + why);
  EXPECT_EQ(run(stage + "tasks = ['sum:2', 'sum:3', 'gcd:2']\n"), "");
}

TEST(ParsePretrainRecipe, IsARecipeOfItsOwnOrTheFirstSuchStageOfARun) {
  EXPECT_EQ(ParsePretrainRecipe({"p.toml", "[train]\nsteps = 5\n", {}}).train.steps, 5);
  const PretrainRecipe section = ParsePretrainRecipe({"r.toml", kRun, {}});
  EXPECT_EQ(section.train.steps, 7);
  EXPECT_EQ(section.model.vocab_size, 300);  // of the tokenizer that the run trains
  // Overrides are of the section's fields in both cases.
  EXPECT_EQ(ParsePretrainRecipe({"p.toml", "[train]\nsteps = 5\n", {"train.steps=6"}}).train.steps,
            6);
  EXPECT_EQ(ParsePretrainRecipe({"r.toml", kRun, {"train.steps=6"}}).train.steps, 6);
  EXPECT_EQ(ParsePretrainRecipe({"r.toml", kRun, {"model.vocab_size=301"}}).model.vocab_size, 301);
}

TEST(ParseReinforceRecipe, IsARecipeOfItsOwnOrTheFirstSuchStageOfARun) {
  EXPECT_EQ(ParseReinforceRecipe({"rl.toml", "[rl]\nsteps = 5\n", {}}).rl.steps, 5);
  EXPECT_EQ(ParseReinforceRecipe({"r.toml", kRun, {}}).rl.steps, 9);
  EXPECT_EQ(ParseReinforceRecipe({"r.toml", kRun, {"rl.steps=6"}}).rl.steps, 6);
  const std::string taught =
      "[[stage]]\nkind='pretrain'\n[[stage]]\nkind='reinforce'\nteacher='pretrain'\n";
  EXPECT_TRUE(Says(MessageOf([&] {
                     ParseReinforceRecipe({"r.toml", taught, {}});
                   }),
                   "the stage reinforce has a teacher, pretrain; take a copy of it"));
  // Of a list that begins with a model that is given, too.
  EXPECT_EQ(
      ParseReinforceRecipe({"r.toml", "[[stage]]\nkind='reinforce'\n", {"rl.steps=6"}}).rl.steps,
      6);
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

TEST(ContentsOf, ARunHoldsTheKindsOfItsStages) {
  const auto contents = [](const std::string& toml) {
    const RecipeContents c = ContentsOf(toml, "r.toml");
    return std::vector<bool>{c.run,        c.pretraining, c.reinforcement,
                             c.finetuning, c.sampling,    c.distilling};
  };
  using Flags = std::vector<bool>;
  EXPECT_EQ(contents(kRun), (Flags{true, true, true, false, false, false}));
  EXPECT_EQ(contents("[[stage]]\nkind='sample'\n[[stage]]\nkind='finetune'\n"),
            (Flags{true, false, false, true, true, false}));
  EXPECT_EQ(contents("[[stage]]\nkind='distil'\n"),
            (Flags{true, false, false, false, false, true}));
  EXPECT_EQ(contents("[train]\nsteps = 5\n"), (Flags{false, true, false, false, false, false}));
  EXPECT_EQ(contents("[rl]\nsteps = 5\n"), (Flags{false, false, true, false, false, false}));
  EXPECT_EQ(contents("[finetune]\nsteps = 5\n"), (Flags{false, false, false, true, false, true}));
  EXPECT_EQ(contents("[optimizer]\n"), (Flags{false, true, true, true, false, true}));
  EXPECT_EQ(contents("stepz = 5\n"), (Flags{false, false, false, false, false, false}));
}

TEST(Recipes, OfAnotherKindAreRefusedByItsName) {
  const RecipeText pretrain{"p.toml", "[train]\nsteps = 5\n", {}};
  RecipeText reinforce{"rl.toml", "[rl]\nsteps = 5\n", {}};
  EXPECT_EQ(MessageOf([&] { RefuseNoRun(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of a run");
  EXPECT_EQ(MessageOf([&] { RefuseNoRun(reinforce); }),
            "rl.toml is a recipe of reinforcement learning; this takes one of a run");
  EXPECT_EQ(MessageOf([&] { RefuseNoRun({"r.toml", kRun, {}}); }), "");
  EXPECT_EQ(MessageOf([&] {
              RefuseNoRun({"old.toml", "vocab_size = 3\n[pretrain.train]\nsteps = 1\n", {}});
            }),
            "old.toml: [pretrain] and [reinforce] are of an older version; a run is a list of "
            "[[stage]] now, each with its kind (docs/recipes.md)");
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(reinforce); }),
            "rl.toml is a recipe of reinforcement learning; this takes one of pretraining, or of a "
            "run with such a stage");
  EXPECT_EQ(MessageOf([&] { ParseReinforceRecipe(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of reinforcement learning, or of a "
            "run with such a stage");
  reinforce.kinds = {"RUN", "PRETRAIN", "REINFORCE"};
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(reinforce); }),
            "rl.toml is a recipe of REINFORCE; this takes one of PRETRAIN, or of RUN with such a "
            "stage");
  const RecipeText finetune{"f.toml", "[finetune]\nsteps = 5\n", {}};
  EXPECT_EQ(MessageOf([&] { RefuseNoRun(finetune); }),
            "f.toml is a recipe of fine-tuning; this takes one of a run");
  EXPECT_EQ(MessageOf([&] { ParsePretrainRecipe(finetune); }),
            "f.toml is a recipe of fine-tuning; this takes one of pretraining, or of a run with "
            "such a stage");
  EXPECT_EQ(MessageOf([&] { ParseFinetuneRecipe(pretrain); }),
            "p.toml is a recipe of pretraining; this takes one of fine-tuning, or of a run with "
            "such a stage");
  EXPECT_EQ(MessageOf([&] {
              ParseFinetuneRecipe({"w.toml", kRun, {}});
            }),
            "w.toml is a recipe of a run without such a stage; this takes one of fine-tuning");
  // One that fits none is told of its unknown name.
  EXPECT_TRUE(Says(MessageOf([] { ParsePretrainRecipe({"x.toml", "stepz = 1\n", {}}); }), "stepz"));
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
