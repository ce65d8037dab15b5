#include "pipeline/stage_recipe.h"

#include <gtest/gtest.h>

#include "base/fields_testing.h"
#include "base/scratch_testing.h"
#include "pipeline/stage_list_testing.h"

namespace darkhorse {
namespace {

// Of two stages.
constexpr char kTwo[] = R"(
[[stage]]
kind = "pretrain"
name = "base"
[[stage]]
kind = "reinforce"
)";

TEST(GeneratedCorpus, EveryFieldReachesTheMix) {
  const StagesRecipe recipe = List(R"(
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
[[stage]]
kind = "pretrain"
)");
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

TEST(ParseStagesRecipe, ImpossibleValuesOfTheListAreToldWithTheirPlace) {
  const auto refused = [](const std::string& override) {
    return MessageOf([&] { List(kTwo, {override}); });
  };
  for (const auto& [field, most] : {std::pair{"corpus.documents", INT64_MAX},
                                    {"corpus.max_attempts", 1 << 20},
                                    {"vocab_size", 1 << 20},
                                    {"digits_per_token", 1000}}) {
    EXPECT_EQ(refused(fmt::format("{}=0", field)),
              fmt::format("setting {0}=0: {0} is 0; it must be from 1 to {1}", field, most));
    EXPECT_EQ(refused(fmt::format("{}=1000", field)), "") << field;
  }
  EXPECT_EQ(refused("digits_per_token=1"), "");
  EXPECT_EQ(refused("digits_per_token=1001"),
            "setting digits_per_token=1001: digits_per_token is 1001; it must be from 1 to 1000");
  EXPECT_EQ(refused("vocab_size=1048577"),
            "setting vocab_size=1048577: vocab_size is 1048577; it must be from 1 to 1048576");
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
  EXPECT_EQ(refused("base.train.steps=0"),
            "setting base.train.steps=0: train.steps is 0; it must be at least 1");
  EXPECT_EQ(MessageOf([] {
              List("[corpus]\n\ntasks = ['sum:9', 'chess']\n[[stage]]\nkind = 'pretrain'\n");
            }),
            "list.toml:3: corpus.tasks is not understood: unknown task 'chess'; there are "
            "countdown, sum, multiply, solve, gcd, base, sort, parity, times, largest, count, "
            "plusminus");
  EXPECT_TRUE(Says(MessageOf([] { List("vocab_sise = 1\n[[stage]]\nkind = \"pretrain\"\n"); }),
                   "vocab_size"));
  EXPECT_EQ(MessageOf([] { List("vocab_size = 300\n"); }),
            "list.toml: has no stage; a run is a list of [[stage]], each with its kind "
            "(docs/recipes.md)");
  EXPECT_EQ(refused("pretrain.name=other"),
            "setting pretrain.name=other: kind, name, from, data and teacher are changed in the "
            "recipe itself");
  EXPECT_EQ(refused("reinforce.from=base"),
            "setting reinforce.from=base: kind, name, from, data and teacher are changed in the "
            "recipe itself");
}

TEST(ParseStagesRecipe, OneSeedAndPrecisionIsThatOfWhateverHasNoneOfItsOwn) {
  const auto seeds = [](const std::string& toml, const std::vector<std::string>& overrides) {
    const StagesRecipe r = List(toml, overrides);
    return std::vector<uint64_t>{r.seed, r.corpus.seed,
                                 std::get<PretrainRecipe>(r.stages[0].recipe).train.seed,
                                 std::get<ReinforceRecipe>(r.stages[1].recipe).rl.seed};
  };
  using Seeds = std::vector<uint64_t>;
  EXPECT_EQ(seeds(kTwo, {}), (Seeds{1, 1, 1, 1}));
  const std::string seven = std::string("seed = 7\n") + kTwo;
  EXPECT_EQ(seeds(seven, {}), (Seeds{7, 7, 7, 7}));
  EXPECT_EQ(seeds(seven, {"seed=8"}), (Seeds{8, 8, 8, 8}));
  EXPECT_EQ(seeds(std::string("seed = 7\n[corpus]\nseed = 1\n") + kTwo, {"reinforce.rl.seed=9"}),
            (Seeds{7, 1, 7, 9}));
  // The recipe that a run records is read back as it is.
  const StagesRecipe recipe = List(seven, {"base.train.seed=1"});
  EXPECT_EQ(seeds(ToToml(recipe), {}), (Seeds{7, 7, 1, 7}));
  // Another seed is another run also of such a recipe, which has every seed in it.
  EXPECT_EQ(seeds(ToToml(recipe), {"corpus.seed=9", "seed = 8"}), (Seeds{8, 9, 8, 8}));
  EXPECT_EQ(seeds(ToToml(recipe), {"seed = 8"}), (Seeds{8, 8, 8, 8}));
  EXPECT_EQ(ParsePretrainRecipe({"r.toml", seven, {}}).train.seed, 7u);

  const auto precisions = [](const std::string& toml, const std::vector<std::string>& overrides) {
    const StagesRecipe r = List(toml, overrides);
    return std::get<PretrainRecipe>(r.stages[0].recipe).train.precision + " " +
           std::get<ReinforceRecipe>(r.stages[1].recipe).rl.precision;
  };
  const std::string low = std::string("precision = \"bf16\"\n") + kTwo;
  EXPECT_EQ(precisions(low, {}), "bf16 bf16");
  EXPECT_EQ(precisions(kTwo, {"precision=bf16"}), "bf16 bf16");
  EXPECT_EQ(precisions(low + "[stage.rl]\nprecision = \"f32\"\n", {}), "bf16 f32");
  EXPECT_EQ(precisions(low, {"base.train.precision=f32"}), "f32 bf16");
  EXPECT_EQ(precisions(ToToml(List(low, {})), {"precision=f32"}), "f32 f32");
}

TEST(ParseStagesRecipe, AModelMayBeGiven) {
  EXPECT_EQ(List(kTwo, {"model=a/b"}).stages[1].head.from, "base");  // in its place
  const std::string text = R"(
[[stage]]
kind = "evaluate"
[[stage]]
kind = "reinforce"
[[stage]]
kind = "reinforce"
name = "anew"
from = "model"
)";
  const StagesRecipe recipe = List(text, {"model=a/b"});
  EXPECT_EQ(recipe.stages[0].head.name, "model");
  EXPECT_EQ(recipe.stages[0].head.from, "model");
  EXPECT_EQ(recipe.stages[1].head.from, "model");
  EXPECT_EQ(recipe.stages[2].head.from, "model");
  EXPECT_EQ(List(ToToml(recipe)).model, "a/b");
  EXPECT_EQ(MessageOf([&] { List(text); }),
            "list.toml: stage 1: no stage before it makes a model; name one (from), or give one "
            "(model)");
  const auto why = [](const std::string& stage) {
    return MessageOf(
        [&] { List(std::string(kTwo) + "[[stage]]\nkind = \"reinforce\"\n" + stage); });
  };
  EXPECT_EQ(why("name = \"x\"\nfrom = \"model\"\n"),
            "list.toml: stage 3: from is 'model', and the run is given none (--model, or model at "
            "the top)");
  EXPECT_EQ(why("name = \"model\"\n"),
            "list.toml: stage 3: name is 'model', which is that of the model that a run is given");
}

TEST(ParseStagesRecipe, ProblemsAndPromptAreOfEveryStageThatAsks) {
  const std::string text = R"(
model = "./m"
[problems]
file = "p.jsonl"
rule = "exact"
[prompt]
system = "Think."
[[stage]]
kind = "evaluate"
[[stage]]
kind = "sample"
[stage.sample]
tasks = ["sum:1"]
[[stage]]
kind = "finetune"
data = ["sample"]
[[stage]]
kind = "reinforce"
[stage.rl]
max_tokens = 33
[stage.prompt]
system = "Say."
[[stage]]
kind = "reinforce"
name = "other"
[stage.problems]
file = "q.jsonl"
rule = "numeric"
[[stage]]
kind = "distil"
teacher = "other"
[[stage]]
kind = "evaluate"
name = "tasks"
tasks = ["sort:1"]
[stage.problems]
file = ""
rule = ""
)";
  const StagesRecipe recipe = List(text);
  const auto& measured = std::get<MeasureRecipe>(recipe.stages[0].recipe);
  EXPECT_EQ(measured.problems.file, "p.jsonl");
  EXPECT_EQ(measured.prompt.system, "Say.");  // as reinforcement asks, and for as long
  EXPECT_EQ(measured.evaluation.max_tokens, 33);
  const auto& sampled = std::get<SampleRecipe>(recipe.stages[1].recipe);
  EXPECT_EQ(sampled.problems.rule, "exact");
  EXPECT_TRUE(sampled.sample.tasks.empty());
  const auto& practised = std::get<ReinforceRecipe>(recipe.stages[3].recipe);
  EXPECT_EQ(practised.problems.file, "p.jsonl");
  EXPECT_TRUE(practised.rl.tasks.empty());
  EXPECT_EQ(practised.prompt.system, "Say.");
  const auto& other = std::get<ReinforceRecipe>(recipe.stages[4].recipe);
  EXPECT_EQ(other.problems.file, "q.jsonl");
  EXPECT_EQ(other.problems.rule, "numeric");
  EXPECT_EQ(std::get<DistilRecipe>(recipe.stages[5].recipe).sampling.problems.file, "p.jsonl");
  EXPECT_EQ(std::get<MeasureRecipe>(recipe.stages[6].recipe).tasks,
            std::vector<std::string>{"sort:1"});
  EXPECT_EQ(ToToml(List(ToToml(recipe))), ToToml(recipe));
  // As a command's flags set them.
  const StagesRecipe set = ParseStagesRecipe(
      {"list.toml", text, {}}, [](ProblemsOptions* problems) { problems->file = "r.jsonl"; });
  EXPECT_EQ(std::get<MeasureRecipe>(set.stages[0].recipe).problems.file, "r.jsonl");
  EXPECT_EQ(std::get<ReinforceRecipe>(set.stages[4].recipe).problems.file, "q.jsonl");
}

TEST(ParseStagesRecipe, AnOverrideMayNameAKind) {
  const std::string three = std::string(kTwo) + "[[stage]]\nkind = \"reinforce\"\nname = \"b\"\n";
  const auto steps = [&](const std::vector<std::string>& overrides) {
    const StagesRecipe r = List(three, overrides);
    return std::vector<int64_t>{std::get<PretrainRecipe>(r.stages[0].recipe).train.steps,
                                std::get<ReinforceRecipe>(r.stages[1].recipe).rl.steps,
                                std::get<ReinforceRecipe>(r.stages[2].recipe).rl.steps};
  };
  using Steps = std::vector<int64_t>;
  EXPECT_EQ(steps({"pretrain.train.steps=3", "reinforce.rl.steps=4"}), (Steps{3, 4, 4}));
  // The name goes over the kind, in whichever order they stand.
  EXPECT_EQ(steps({"b.rl.steps=5", "reinforce.rl.steps=4", "pretrain.train.steps=3"}),
            (Steps{3, 4, 5}));
}

TEST(ParseStagesRecipe, AnEvaluationIsOfWhatReinforcementWorksOn) {
  const auto measured = [](const std::string& toml, size_t stage,
                           const std::vector<std::string>& overrides = {}) {
    return std::get<MeasureRecipe>(List(toml, overrides).stages[stage].recipe);
  };
  const std::string text = R"(
[[stage]]
kind = "pretrain"
name = "base"
[[stage]]
kind = "evaluate"
[stage.evaluation]
problems = 3
[[stage]]
kind = "reinforce"
name = "one"
[stage.rl]
tasks = ["sum:2"]
max_tokens = 33
slots = 5
[[stage]]
kind = "evaluate"
[[stage]]
kind = "reinforce"
name = "two"
[stage.prompt]
system = "Think."
[stage.rl]
tasks = ["sort:1"]
[[stage]]
kind = "evaluate"
[[stage]]
kind = "evaluate"
name = "other"
tasks = ["parity:1"]
)";
  const MeasureRecipe before = measured(text, 1);
  EXPECT_EQ(before.tasks, std::vector<std::string>{"sum:2"});  // the next
  EXPECT_EQ(before.evaluation.max_tokens, 33);
  EXPECT_EQ(before.evaluation.slots, 5);
  EXPECT_EQ(before.evaluation.problems, 3);
  EXPECT_EQ(before.prompt.system, "");
  EXPECT_EQ(measured(text, 3).tasks, std::vector<std::string>{"sum:2"});  // its own
  EXPECT_EQ(measured(text, 5).tasks, std::vector<std::string>{"sort:1"});
  EXPECT_EQ(measured(text, 5).prompt.system, "Think.");
  EXPECT_EQ(measured(text, 6).tasks, std::vector<std::string>{"parity:1"});  // as it says
  EXPECT_EQ(measured(text, 6).evaluation.max_tokens, EvaluationOptions().max_tokens);
  EXPECT_EQ(measured(text, 6).prompt.system, "");
  // What is overridden there is asked here.
  EXPECT_EQ(measured(text, 1, {"one.rl.max_tokens=44"}).evaluation.max_tokens, 44);
  EXPECT_EQ(measured(text, 1, {"one.rl.max_tokens=44", "evaluate.evaluation.max_tokens=55"})
                .evaluation.max_tokens,
            55);
  const std::vector<std::string> own = {"one.rl.tasks=", "one.problems.file=p.jsonl",
                                        "one.problems.rule=exact"};
  EXPECT_EQ(measured(text, 1, own).problems.file, "p.jsonl");
  EXPECT_EQ(measured(text, 3, own).problems.rule, "exact");
  EXPECT_TRUE(measured(text, 1, own).tasks.empty());
  EXPECT_TRUE(measured(text, 1, {"one.problems.file=p.jsonl", "one.problems.rule=exact"})
                  .tasks.empty());  // the file is in their place
  // There is none.
  EXPECT_EQ(
      MessageOf([] { List("[[stage]]\nkind = \"pretrain\"\n[[stage]]\nkind = \"evaluate\"\n"); }),
      "list.toml: stage 2: an evaluation takes built-in tasks (tasks) or a file (problems.file): "
      "one "
      "of them");
}

TEST(ParseStagesRecipe, FillsInWhatFollowsFromTheOrder) {
  const StagesRecipe recipe = List();
  ASSERT_EQ(recipe.stages.size(), 7u);
  const auto head = [&](size_t i) { return recipe.stages[i].head; };
  EXPECT_EQ(head(1).name, "base");  // an evaluation bears the name of what it measures
  EXPECT_EQ(head(1).from, "base");
  EXPECT_EQ(head(2).from, "base");
  EXPECT_EQ(head(3).from, "base");  // sampling made none
  EXPECT_EQ(head(4).name, "reinforce");
  EXPECT_EQ(head(4).from, "cold");
  EXPECT_EQ(head(6).name, "distil");
  EXPECT_EQ(recipe.corpus.seed, 5u);
  EXPECT_EQ(std::get<PretrainRecipe>(recipe.stages[0].recipe).train.seed, 5u);
  EXPECT_EQ(std::get<PretrainRecipe>(recipe.stages[0].recipe).model.vocab_size, 300);
  EXPECT_EQ(std::get<SampleRecipe>(recipe.stages[2].recipe).sample.seed, 5u);
  EXPECT_EQ(std::get<ReinforceRecipe>(recipe.stages[4].recipe).rl.seed, 5u);
}

TEST(ParseStagesRecipe, WhatItWritesReadsBack) {
  const std::string text = ToToml(List());
  EXPECT_EQ(ToToml(List(text)), text);
}

TEST(ParseStagesRecipe, OverridesAreOfTheListOrOfAStage) {
  const StagesRecipe recipe = List(kList, {"seed=9", "reinforce.rl.steps=7", "base.train.steps=8",
                                           "corpus.documents=3", "base.evaluation.samples=4"});
  EXPECT_EQ(recipe.corpus.seed, 9u);
  EXPECT_EQ(recipe.corpus.documents, 3);
  EXPECT_EQ(std::get<PretrainRecipe>(recipe.stages[0].recipe).train.seed, 9u);
  EXPECT_EQ(std::get<PretrainRecipe>(recipe.stages[0].recipe).train.steps, 8);
  EXPECT_EQ(std::get<ReinforceRecipe>(recipe.stages[4].recipe).rl.steps, 7);
  EXPECT_EQ(std::get<MeasureRecipe>(recipe.stages[1].recipe).evaluation.samples, 4);
}

TEST(ParseStagesRecipe, NamesWhatIsWrongAndWhere) {
  const auto why = [](const std::string& text, std::vector<std::string> overrides = {}) {
    return MessageOf([&] { List(text, overrides); });
  };
  const std::string base =
      std::string(kList).substr(0, std::string(kList).find("[[stage]]\nkind = \"evaluate"));
  EXPECT_EQ(why("[[stage]]\nkind = \"finetun\"\n"),
            "list.toml: stage 1: its kind is 'finetun'; there are pretrain, sample, finetune, "
            "reinforce, distil, evaluate; did you mean 'finetune'?");
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\n"),
            "list.toml: stage 1: no stage before it makes a model; name one (from), or give one "
            "(model)");
  EXPECT_NE(why(base + "[[stage]]\nkind = \"finetune\"\n").find("stage 2: data is missing"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"finetune\"\ndata = [\"base\"]\n")
                .find("data is 'base', a stage of the kind pretrain, which makes no chats"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"finetune\"\ndata = [\"bas\"]\n")
                .find("data is 'bas', no stage before it; did you mean 'base'?"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"reinforce\"\nname = \"base\"\n")
                .find("another stage is called base, too"),
            std::string::npos);
  for (const char* name : {"data", "tokenizer", "measured", "figures", "tensorboard", "probe"}) {
    EXPECT_EQ(why(base + "[[stage]]\nkind = \"reinforce\"\nname = \"" + name + "\"\n"),
              fmt::format("list.toml: stage 2: name is '{}', which a run writes itself; choose "
                          "another",
                          name));
  }
  for (const char* name : {"corpus", "vocab_size", "seed", "precision", "problems", "prompt"}) {
    EXPECT_EQ(why(base + "[[stage]]\nkind = \"evaluate\"\nname = \"" + name + "\"\n"),
              fmt::format("list.toml: stage 2: name is '{}', which is a field or section of the "
                          "whole run, so settings of one would be taken for the other's; "
                          "choose another",
                          name));
  }
  EXPECT_NE(why(base + "[[stage]]\nkind = \"reinforce\"\nname = \"../x\"\n").find("name is"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"sample\"\nteacher = \"base\"\n")
                .find("teacher is for the kinds distil and reinforce"),
            std::string::npos);
  EXPECT_EQ(why(base + "[[stage]]\nkind = \"sample\"\ndata = [\"base\"]\n"),
            "list.toml: stage 2: data is for the kinds finetune and pretrain");
  EXPECT_EQ(why("[[stage]]\nkind = \"pretrain\"\ndata = [\"./a\", \"./b\"]\n"),
            "list.toml: stage 1: data names 2 folders; pretraining learns one");
  EXPECT_EQ(why("[[stage]]\nkind = \"pretrain\"\ndata = [\"text\"]\n"),
            "list.toml: stage 1: data is 'text'; the path of a folder of token shards has a slash "
            "(./text)");
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.problems]\nfile = "
                "\"p.jsonl\"\nrule = \"exact\"\n",
                {"reinforce.rl.tasks=sum:1"}),
            "setting reinforce.rl.tasks=sum:1: the problems of p.jsonl (problems.file) are in the "
            "place of built-in tasks; leave one of the two out");
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\nstepps = 1\n"),
            "list.toml:5: 'rl.stepps' is unknown; did you mean 'rl.steps'?");
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\nsteps = 0\n"),
            "list.toml:5: rl.steps is 0; it must be at least 1");
  EXPECT_TRUE(why(kList, {"base.rl.steps=1"})
                  .starts_with("base: setting rl.steps=1: 'rl.steps' is unknown"));
  EXPECT_EQ(why(kList, {"reinforc.rl.steps=1"}),
            "setting reinforc.rl.steps=1: it begins with no stage's name or kind, as "
            "STAGE.section.field=value does; there are base, traces, cold, reinforce, distil and "
            "the kinds pretrain, sample, finetune, reinforce, distil, evaluate");
}

}  // namespace
}  // namespace darkhorse
