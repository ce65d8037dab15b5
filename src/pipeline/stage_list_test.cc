#include "pipeline/stage_list.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

// Every kind of stage, in about a second.
constexpr char kList[] = R"(
vocab_size = 300
digits_per_token = 3
seed = 5
[corpus]
tasks = ["sum:1"]
documents = 300
[[stage]]
kind = "pretrain"
name = "base"
[stage.model]
hidden_size = 16
num_hidden_layers = 1
first_k_dense_replace = 1
num_attention_heads = 2
kv_lora_rank = 8
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 32
n_routed_experts = 0
max_position_embeddings = 128
tie_word_embeddings = true
[stage.train]
steps = 4
tokens_per_step = 256
micro_batch_tokens = 256
sequence_length = 128
checkpoint_every = 2
[[stage]]
kind = "evaluate"
tasks = ["sum:1"]
[stage.evaluation]
problems = 3
samples = 2
max_tokens = 9
[[stage]]
kind = "sample"
name = "traces"
[stage.sample]
writer = "traces"
tasks = ["sum:1"]
problems = 24
samples = 1
[[stage]]
kind = "finetune"
name = "cold"
data = ["traces"]
[stage.finetune]
steps = 3
samples_per_step = 2
evaluate_every = 1
checkpoint_every = 1
[[stage]]
kind = "reinforce"
teacher = "base"
[stage.rl]
tasks = ["sum:1"]
steps = 2
prompts_per_step = 2
group_size = 2
max_tokens = 9
evaluate_every = 0
[stage.probe]
problems = 0
[[stage]]
kind = "distil"
teacher = "reinforce"
from = "base"
[stage.sample]
tasks = ["sum:1"]
writer = "traces"
problems = 20
samples = 1
[stage.finetune]
steps = 2
samples_per_step = 2
[[stage]]
kind = "evaluate"
tasks = ["sum:1"]
[stage.evaluation]
problems = 3
samples = 2
max_tokens = 9
)";

StagesRecipe List(const std::string& text = kList, std::vector<std::string> overrides = {}) {
  return ParseStagesRecipe({"list.toml", text, std::move(overrides)});
}

// But for those that hold times; the run's own path, which is in the recipe of what has a teacher
// from it, is left out.
std::map<std::string, std::string> FilesOf(const std::string& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run)) {
    if (!entry.is_regular_file() || entry.path().filename() == "timings.jsonl") continue;
    std::string text = ReadFile(entry.path().string());
    for (size_t at; (at = text.find(run)) != std::string::npos;) text.erase(at, run.size());
    files[std::filesystem::relative(entry.path(), run).string()] = text;
  }
  return files;
}

void ExpectSame(const std::string& a, const std::string& b) {
  const auto of_a = FilesOf(a), of_b = FilesOf(b);
  for (const auto& [name, content] : of_a) {
    ASSERT_TRUE(of_b.contains(name)) << name;
    EXPECT_TRUE(content == of_b.at(name)) << name;
  }
  EXPECT_EQ(of_a.size(), of_b.size());
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
  EXPECT_EQ(List("seed = 3\n[corpus]\nseed = 4\n").corpus.seed, 4u);
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
            "list.toml: stage 1: no stage before it makes a model; name one (from)");
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
  EXPECT_NE(why(base + "[[stage]]\nkind = \"reinforce\"\nname = \"data\"\n").find("name is 'data'"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"reinforce\"\nname = \"../x\"\n").find("name is"),
            std::string::npos);
  EXPECT_NE(why(base + "[[stage]]\nkind = \"sample\"\nteacher = \"base\"\n")
                .find("teacher is for the kind distil"),
            std::string::npos);
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\nstepps = 1\n"),
            "list.toml:5: 'rl.stepps' is unknown; did you mean 'rl.steps'?");
  EXPECT_EQ(why("[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\nsteps = 0\n"),
            "list.toml:5: rl.steps is 0; it must be at least 1");
  EXPECT_TRUE(why(kList, {"base.rl.steps=1"})
                  .starts_with("base: setting rl.steps=1: 'rl.steps' is unknown; there are kind"));
  EXPECT_EQ(why(kList, {"reinforc.rl.steps=1"}),
            "setting reinforc.rl.steps=1: there is no such stage; there are base, base, traces, "
            "cold, reinforce, distil, distil");
}

class StageListTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    whole_ = new StageListResult(Run(List(), "whole"));
  }
  static void TearDownTestSuite() {
    delete whole_;
    delete scratch_;
  }
  static StageListResult Run(const StagesRecipe& recipe, const std::string& name,
                             const StopRequest& stop = {}) {
    told_.clear();
    StageListCallbacks callbacks;
    callbacks.on_note = [](const std::string& note) { told_ += note + "\n"; };
    callbacks.stop = stop;
    return RunStageList(recipe, *scratch_ / name, callbacks);
  }

  static inline ScratchDirectory* scratch_;
  static inline StageListResult* whole_;
  static inline std::string told_;
};

TEST_F(StageListTest, EachStageLeavesItsFolderAndGoesOnFromItsModel) {
  EXPECT_TRUE(whole_->finished);
  for (const char* file :
       {"tokenizer.json", "data/train.bin", "base/checkpoints", "base.json", "traces/chats.jsonl",
        "cold/checkpoints", "reinforce/checkpoints/step-00000002", "distil/samples/chats.jsonl",
        "distil/student/checkpoints/step-00000002", "distil.json", "recipe.toml"})
    EXPECT_TRUE(FileExists(*scratch_ / "whole" + "/" + file)) << file;
  EXPECT_NE(ReadFile(*scratch_ / "whole/reinforce/recipe.toml").find("base/checkpoints/step-"),
            std::string::npos);  // its teacher
  ASSERT_EQ(whole_->scores.size(), 2u);
  EXPECT_EQ(whole_->scores[0].first, "base");
  EXPECT_EQ(whole_->scores[1].first, "distil");
  EXPECT_NE(whole_->model.find("distil/student"), std::string::npos);
}

TEST_F(StageListTest, FinishedItComputesNothingAnew) {
  const auto before = FilesOf(*scratch_ / "whole");
  EXPECT_TRUE(Run(List(), "whole").finished);
  EXPECT_NE(told_.find("base is measured already"), std::string::npos);
  EXPECT_TRUE(FilesOf(*scratch_ / "whole") == before);
}

TEST_F(StageListTest, StoppedAgainAndAgainItEndsInTheSameBytes) {
  int64_t asked = 0;
  int64_t runs = 0;
  while (true) {
    ASSERT_LT(++runs, 60);
    asked = 0;
    const int64_t allowed = 12 * runs;
    if (Run(List(), "parts", [&] { return asked++ >= allowed; }).finished) break;
  }
  EXPECT_GT(runs, 3);
  ExpectSame(*scratch_ / "parts", *scratch_ / "whole");
}

TEST_F(StageListTest, StagesMayBeAddedBehindAndNothingElseMayChange) {
  const std::string fewer =
      std::string(kList).substr(0, std::string(kList).find("[[stage]]\nkind = \"finetune\""));
  EXPECT_TRUE(Run(List(fewer), "grows").finished);
  const auto why = [](const StagesRecipe& recipe) {
    return MessageOf([&] { Run(recipe, "grows"); });
  };
  EXPECT_NE(why(List(fewer, {"seed=6"})).find("another corpus, vocabulary, seed"),
            std::string::npos);
  EXPECT_NE(why(List(fewer, {"traces.sample.samples=2"})).find("samples"), std::string::npos);
  std::string other = fewer;
  other.replace(other.find("problems = 3"), 12, "problems = 2");
  EXPECT_NE(why(List(other)).find("base.json, and it is measured anew"), std::string::npos);
  EXPECT_TRUE(Run(List(), "grows").finished);
  ExpectSame(*scratch_ / "grows", *scratch_ / "whole");
  EXPECT_NE(why(List(fewer)).find("another number of stages, 3"), std::string::npos);
}

TEST_F(StageListTest, MoreStepsAreMeasuredAnew) {
  const std::string text =
      std::string(kList).substr(0, std::string(kList).find("[[stage]]\nkind = \"sample\""));
  EXPECT_TRUE(Run(List(text), "longer").finished);
  EXPECT_TRUE(Run(List(text, {"base.train.steps=6"}), "longer").finished);
  EXPECT_EQ(told_.find("measured already"), std::string::npos);
  EXPECT_TRUE(FileExists(*scratch_ / "longer/base/checkpoints/step-00000006"));
}

TEST_F(StageListTest, AFolderOfAnotherIsRefused) {
  MakeDirectories(*scratch_ / "theirs/base");
  EXPECT_NE(MessageOf([] { Run(List(), "theirs"); }), "");
  EXPECT_FALSE(FileExists(*scratch_ / "theirs/recipe.toml"));
}

}  // namespace
}  // namespace darkhorse
