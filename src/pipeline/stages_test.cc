#include "pipeline/stages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/scratch_testing.h"
#include "checkpoint/run_directory.h"
#include "data/shard.h"
#include "pipeline/loaded_model.h"

namespace darkhorse {
namespace {

// All stages in about a second.
constexpr char kRecipe[] = R"(
vocab_size = 300
digits_per_token = 3
evaluate_problems = 5
evaluate_samples = 2
[corpus]
tasks = ["sum:1"]
documents = 400
seed = 77
[pretrain.model]
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
[pretrain.train]
steps = 4
tokens_per_step = 256
micro_batch_tokens = 256
sequence_length = 128
checkpoint_every = 2
evaluate_every = 2
evaluate_tokens = 256
[reinforce.rl]
tasks = ["sum:1", "sort:1"]
steps = 3
prompts_per_step = 4
group_size = 4
overlong_penalty = 0.5
max_tokens = 9
evaluate_every = 2
evaluate_problems = 2
evaluate_samples = 1
checkpoint_every = 1
[reinforce.probe]
problems = 0
[reinforce.optimizer]
learning_rate = 0.1
)";

RunRecipe Recipe() { return ParseRunRecipe({"test.toml", kRecipe, {}}); }

// Files that may differ between two runs of one recipe: they hold times.
std::map<std::string, std::string> FilesOf(const std::string& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run)) {
    if (entry.is_regular_file() && entry.path().filename() != "timings.jsonl")
      files[std::filesystem::relative(entry.path(), run).string()] =
          ReadFile(entry.path().string());
  }
  return files;
}

class StagesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    callbacks_ = new RunCallbacks{
        .on_begin = [](Stage stage) { told_.push_back("begin " + Name(stage)); },
        .on_end =
            [](Stage stage) {
              told_.push_back("end " + Name(stage));
              if (stage == Stage::kBaseScores) {
                EXPECT_TRUE(FileExists(*scratch_ / "whole/base.json"));
                EXPECT_FALSE(FileExists(*scratch_ / "whole/reinforced.json"));
              }
            },
        .on_note = [](const std::string& note) { notes_ += note + "\n"; },
        .on_corpus = [](const PrepareProgress& p) { corpus_ = p; },
        .on_pretraining_step = [](const StepMetrics& m) { steps_.push_back(m.step); },
        .on_reinforcement_step = [](const ReinforceMetrics& m) { rl_steps_.push_back(m.step); },
        .on_reinforcement_evaluation =
            [](const ReinforceMetrics& m) { rl_evaluations_.push_back(m.step); },
        .on_scores =
            [](const std::string& model, const TaskEvaluation& e) {
              told_.push_back("scores " + model + " " + e.task);
            },
        .on_thought =
            [](const std::string& model, const Problem& problem, const Sample& sample) {
              thoughts_.push_back({model, problem, sample});
            }};
    whole_ = new RunResult(RunStages(Recipe(), *scratch_ / "whole", *callbacks_));
  }
  static void TearDownTestSuite() {
    delete whole_;
    delete callbacks_;
    delete scratch_;
  }

  static std::string Name(Stage stage) {
    const char* const names[] = {"tokenizer",   "corpus",        "pretraining",
                                 "base scores", "reinforcement", "reinforced scores"};
    return names[static_cast<size_t>(stage)];
  }

  struct Thought {
    std::string model;
    Problem problem;
    Sample sample;
  };
  static inline ScratchDirectory* scratch_;
  static inline RunCallbacks* callbacks_;
  static inline RunResult* whole_;
  static inline std::vector<std::string> told_;
  static inline std::string notes_;
  static inline PrepareProgress corpus_;
  static inline std::vector<int64_t> steps_, rl_steps_, rl_evaluations_;
  static inline std::vector<Thought> thoughts_;
};

TEST_F(StagesTest, AreToldInTheirOrder) {
  EXPECT_EQ(
      told_,
      (std::vector<std::string>{
          "begin tokenizer", "end tokenizer", "begin corpus", "end corpus", "begin pretraining",
          "end pretraining", "begin base scores", "scores base sum", "scores base sort",
          "end base scores", "begin reinforcement", "end reinforcement", "begin reinforced scores",
          "scores reinforced sum", "scores reinforced sort", "end reinforced scores"}));
  EXPECT_EQ(steps_, (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(rl_steps_, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(rl_evaluations_, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(corpus_.documents, 400);
  EXPECT_TRUE(HasReport(*scratch_ / "whole"));
  EXPECT_FALSE(HasReport(*scratch_ / "none"));
}

TEST_F(StagesTest, ATaskThatTheCorpusLacksIsTold) {
  EXPECT_TRUE(notes_.starts_with(
      "warning: reinforcement works on sort, of which the corpus has nothing (it has sum), so"))
      << notes_;
  RunRecipe recipe = Recipe();
  recipe.corpus.tasks.push_back("sort:2");
  std::string notes;
  RunStages(
      recipe, *scratch_ / "both",
      {.on_note = [&](const std::string& note) { notes += note; }, .stop = [] { return true; }});
  EXPECT_EQ(notes.find("warning"), notes.npos) << notes;
}

TEST_F(StagesTest, ResultIsTheLastCheckpointAndBothScores) {
  EXPECT_TRUE(whole_->finished);
  EXPECT_EQ(whole_->model, StepDirectory(*scratch_ / "whole/reinforced", 3));
  for (const auto* scores : {&whole_->base, &whole_->reinforced}) {
    ASSERT_EQ(scores->size(), 2u);
    EXPECT_EQ((*scores)[0]["task"], "sum");
    EXPECT_EQ((*scores)[1]["task"], "sort");
    for (const auto& task : *scores) {
      EXPECT_EQ(task["problems"], 5);
      EXPECT_EQ(task["samples"], 2);
      EXPECT_LE(task["mean_length"], 9);  // rl.max_tokens
      EXPECT_FALSE(task.contains("reward_program_failures"));
    }
  }
  EXPECT_EQ(ReadFile(*scratch_ / "whole/base.json"), whole_->base.dump());
  EXPECT_EQ(ReadFile(*scratch_ / "whole/reinforced.json"), whole_->reinforced.dump());
}

// The scores of each model are of its own checkpoint, with the seed that no recipe changes and that
// an evaluation by hand has too.
TEST_F(StagesTest, ScoresAreOfTheStagesModel) {
  const auto environment = MakeTaskEnvironment({"sum:1", "sort:1"});
  const auto scores = [&](const std::string& checkpoint, std::vector<Sample>* samples) {
    const LoadedModel loaded(checkpoint);
    return Evaluate(loaded.model(), loaded.weights(), Prompter(loaded.Asked()), *environment,
                    {.problems = 5, .samples = 2, .max_tokens = 9, .slots = 4},
                    /*stop=*/{}, samples);
  };
  const std::string run = *scratch_ / "whole/";
  size_t told = 0;
  for (const auto& [checkpoint, json] :
       {std::pair{StepDirectory(run + "base", 4), whole_->base},
        std::pair{StepDirectory(run + "reinforced", 3), whole_->reinforced}}) {
    std::vector<Sample> samples;
    const std::vector<TaskEvaluation> expected = scores(checkpoint, &samples);
    for (size_t task = 0; task < 2; ++task)
      EXPECT_EQ(json[task]["mean_length"], expected[task].mean_length) << checkpoint;
    // The thoughts that were told are the first samples of the first three problems.
    for (size_t problem = 0; problem < 3; ++problem, ++told) {
      ASSERT_LT(told, thoughts_.size());
      EXPECT_EQ(thoughts_[told].sample.problem, problem);
      EXPECT_EQ(thoughts_[told].sample.completion, samples[2 * problem].completion);
      EXPECT_EQ(thoughts_[told].problem.prompt, environment->HeldOut(5)[0][problem].prompt);
      EXPECT_EQ(thoughts_[told].model, told < 3 ? "base" : "reinforced");
    }
  }
  EXPECT_EQ(told, thoughts_.size());
  EXPECT_NE(thoughts_[0].sample.completion, thoughts_[3].sample.completion);  // it did learn
}

TEST_F(StagesTest, TheCorpusIsTheRecipes) {
  const Tokenizer tokenizer = Tokenizer::Load(*scratch_ / "whole/tokenizer.json");
  EXPECT_EQ(tokenizer.vocab_size(), 300);
  EXPECT_NE(ReadFile(*scratch_ / "whole/tokenizer.json").find("|\\\\p{N}{1,3}|"),
            std::string::npos);
  // It is trained on all of them, there being fewer than 20000.
  std::vector<std::string> documents;
  for (uint64_t i = 0; i < 400; ++i)
    documents.push_back(CorpusDocument(Recipe().corpus.Mix(), 77, i));
  std::string pattern = kDefaultSplitPattern;
  pattern.replace(pattern.find("|\\p{N}|"), 7, "|\\p{N}{1,3}|");
  EXPECT_EQ(tokenizer.ToJson(),
            TrainTokenizer(documents, {.vocab_size = 300,
                                       .special_tokens = {"<|begin|>", "<|end|>", "<think>",
                                                          "</think>", "<answer>", "</answer>"},
                                       .pattern = pattern})
                .ToJson());
  std::multiset<std::string> expected, found;
  for (uint64_t i = 0; i < 400; ++i)
    expected.insert("<|begin|>" + CorpusDocument(Recipe().corpus.Mix(), 77, i) + "<|end|>");
  int64_t thinking = 0;
  for (const char* split : {kTrainShard, kValidationShard}) {
    const TokenShard shard = TokenShard::Open(*scratch_ / "whole/data/" + split, tokenizer.hash());
    for (int64_t d = 0; d < shard.documents(); ++d) {
      const int64_t begin = shard.DocumentBegin(d), end = shard.DocumentBegin(d + 1);
      std::vector<int32_t> tokens(static_cast<size_t>(end - begin));
      shard.Copy(begin, end - begin, tokens.data());
      found.insert(tokenizer.Decode(tokens));
      thinking += std::count(tokens.begin(), tokens.end(), tokenizer.TokenId("<think>").value());
    }
  }
  EXPECT_EQ(found, expected);
  EXPECT_GT(thinking, 200);  // as one token each, in three quarters of 400 documents
}

TEST_F(StagesTest, ASecondCallComputesNothingAnew) {
  const auto before = FilesOf(*scratch_ / "whole");
  std::vector<std::string> begun;
  int64_t steps = 0;
  const RunResult again =
      RunStages(Recipe(), *scratch_ / "whole",
                {.on_begin = [&](Stage stage) { begun.push_back(Name(stage)); },
                 .on_pretraining_step = [&](const StepMetrics&) { ++steps; },
                 .on_reinforcement_step = [&](const ReinforceMetrics&) { ++steps; },
                 .on_scores = [&](const std::string&, const TaskEvaluation&) { ++steps; }});
  EXPECT_TRUE(again.finished);
  EXPECT_EQ(again.model, whole_->model);
  EXPECT_EQ(again.base, whole_->base);
  EXPECT_EQ(again.reinforced, whole_->reinforced);
  EXPECT_EQ(begun, (std::vector<std::string>{"pretraining", "reinforcement"}));
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(FilesOf(*scratch_ / "whole"), before);
}

// Stopped in each stage that can be, the run says so and goes on to the same files.
TEST_F(StagesTest, StoppedItGoesOnToTheSameFiles) {
  const std::string run = *scratch_ / "stopped";
  const RunRecipe recipe = Recipe();
  bool stop = false;
  RunCallbacks callbacks{.stop = [&] { return stop; }};
  const auto stopped_in = [&](auto RunCallbacks::*member, auto callback) {
    RunCallbacks with = callbacks;
    with.*member = callback;
    stop = false;
    const RunResult result = RunStages(recipe, run, with);
    EXPECT_FALSE(result.finished);
    EXPECT_EQ(result.model, "");
    EXPECT_TRUE(result.reinforced.is_null());
    return result;
  };
  stopped_in(&RunCallbacks::on_begin, [&](Stage stage) { stop = stage == Stage::kCorpus; });
  EXPECT_TRUE(FileExists(run + "/tokenizer.json"));
  EXPECT_FALSE(FileExists(run + "/data/train.bin"));
  const RunResult in_pretraining = stopped_in(&RunCallbacks::on_pretraining_step,
                                              [&](const StepMetrics& m) { stop = m.step == 3; });
  EXPECT_TRUE(FileExists(StepDirectory(run + "/base", 3)));
  EXPECT_TRUE(in_pretraining.base.is_null());
  const RunResult in_reinforcement = stopped_in(
      &RunCallbacks::on_reinforcement_step, [&](const ReinforceMetrics& m) { stop = m.step == 1; });
  EXPECT_TRUE(FileExists(StepDirectory(run + "/reinforced", 1)));
  EXPECT_EQ(in_reinforcement.base, whole_->base);
  stop = false;
  EXPECT_TRUE(RunStages(recipe, run, callbacks).finished);
  const auto stopped = FilesOf(run), whole = FilesOf(*scratch_ / "whole");
  for (const auto& [name, bytes] : whole) {
    // Checkpoints of the moment of stopping may be kept in place of others.
    if (name.find("checkpoints/") != std::string::npos && !name.starts_with("reinforced")) continue;
    ASSERT_TRUE(stopped.contains(name)) << name;
    EXPECT_TRUE(stopped.at(name) == bytes) << name;
  }
}

TEST_F(StagesTest, MoreStepsOfAStageExtendTheRun) {
  const std::string run = *scratch_ / "extended";
  RunRecipe recipe = Recipe();
  recipe.pretrain.schedule.schedule = recipe.reinforce.schedule.schedule = "constant";
  RunRecipe longest = recipe;
  const RunResult whole = RunStages(longest, *scratch_ / "long", {});
  const auto same_files = [&] {
    const auto extended = FilesOf(run), expected = FilesOf(*scratch_ / "long");
    for (const auto& [name, bytes] : expected) {
      ASSERT_TRUE(extended.contains(name)) << name;
      EXPECT_TRUE(extended.at(name) == bytes) << name;
    }
  };
  // The base, once it is measured.
  bool stop = false;
  RunCallbacks callbacks{.on_end = [&](Stage stage) { stop = stage == Stage::kBaseScores; },
                         .stop = [&] { return stop; }};
  recipe.pretrain.train.steps = 2;
  EXPECT_FALSE(RunStages(recipe, run, callbacks).finished);
  std::set<std::string> measured;
  callbacks = {.on_scores = [&](const std::string& model, const TaskEvaluation&) {
    measured.insert(model);
  }};
  recipe.pretrain.train.steps = 4;
  recipe.reinforce.rl.steps = 2;
  EXPECT_TRUE(RunStages(recipe, run, callbacks).finished);
  EXPECT_EQ(measured, (std::set<std::string>{"base", "reinforced"}));
  // Reinforcement, after the end.
  measured.clear();
  recipe.reinforce.rl.steps = 3;
  const RunResult result = RunStages(recipe, run, callbacks);
  EXPECT_EQ(measured, std::set<std::string>{"reinforced"});
  EXPECT_EQ(result.base, whole.base);
  EXPECT_EQ(result.reinforced, whole.reinforced);
  same_files();
  // Not the base any more, which reinforcement has begun from.
  recipe.pretrain.train.steps = 5;
  EXPECT_TRUE(
      Says(MessageOf([&] { RunStages(recipe, run, {}); }),
           "pretrain.train.steps was 4 and is now 5, but reinforcement has begun from the base "
           "model and done 3 steps; set it back, or choose another"));
  same_files();
}

// A stage that refuses leaves the recipe and what was measured as they were.
TEST_F(StagesTest, RefusedStepsChangeNothing) {
  const std::string run = *scratch_ / "ended";
  RunRecipe recipe = Recipe();
  recipe.reinforce.stop.patience = 1;
  recipe.reinforce.rl.evaluate_every = 1;
  recipe.reinforce.rl.steps = 9;
  ASSERT_TRUE(RunStages(recipe, run, {}).finished);
  const auto before = FilesOf(run);
  recipe.reinforce.rl.steps = 12;
  EXPECT_TRUE(Says(MessageOf([&] { RunStages(recipe, run, {}); }), "more steps do not go on"));
  EXPECT_EQ(FilesOf(run), before);
}

TEST_F(StagesTest, DamagedScoresAreNotBelieved) {
  const std::string path = *scratch_ / "whole/base.json";
  const std::string sound = ReadFile(path);
  for (const std::string& damaged :
       {sound.substr(0, 20), std::string("5"), std::string("[]"), std::string("{\"task\":\"a\"}"),
        std::string("[{\"task\":3}]"), std::string("[{\"task\":\"a\",\"task\":\"b\"}]"),
        std::string(60000, '[')}) {
    WriteFileAtomically(path, damaged);
    EXPECT_TRUE(Says(MessageOf([&] { RunStages(Recipe(), *scratch_ / "whole", {}); }),
                     "base.json: is damaged; remove it"))
        << damaged.substr(0, 40);
  }
  WriteFileAtomically(path, sound);
}

TEST_F(StagesTest, WhatAnotherLeftIsNotAdopted) {
  for (const char* name :
       {"data", "base", "base.json", "reinforced", "reinforced.json", "tokenizer.json", "best",
        "checkpoints", "inputs.json", "metrics.jsonl", "samples.jsonl", "timings.jsonl",
        "probe.json", "report.html", "figures", "tensorboard"}) {
    const std::string run = *scratch_ / ("with " + std::string(name));
    scratch_->Write("with " + std::string(name) + "/" + name + "/x", "x");
    EXPECT_TRUE(Says(MessageOf([&] { RunStages(Recipe(), run, {}); }),
                     "holds other files (" + std::string(name) + ")"));
  }
}

TEST_F(StagesTest, SamplesThatCouldNotBeScoredAreCountedAndTold) {
  std::string rows;
  for (int i = 0; i < 40; ++i) rows += fmt::format("{{\"prompt\": \"sum {}+1\"}}\n", i);
  RunRecipe recipe = Recipe();
  recipe.reinforce.problems = {
      .file = scratch_->Write("rows.jsonl", rows),
      // Every other sample is answered with garbage.
      .reward =
          "while read -r line; do id=${line#*:}; id=${id%%,*}; case $id in *[13579]) echo "
          "garbage;; *) echo \"{\\\"id\\\": $id, \\\"score\\\": 1}\";; esac; done",
      .held_out_share = 0.5,
      .reward_processes = 1,
      .reward_seconds = 120};
  bool stop = false;
  ScoringFaults told;
  const RunResult result =
      RunStages(recipe, *scratch_ / "failing",
                {.on_end = [&](Stage stage) { stop = stage == Stage::kBaseScores; },
                 .on_faults = [&](const ScoringFaults& faults) { told = faults; },
                 .stop = [&] { return stop; }});
  EXPECT_FALSE(result.finished);
  ASSERT_EQ(result.base.size(), 1u);
  EXPECT_EQ(result.base[0]["problems"], 5);
  EXPECT_EQ(result.base[0]["reward_program_failures"], 5);  // of ten
  EXPECT_EQ(told.samples, 5);
  EXPECT_EQ(told.last, "the reward program wrote a line that is not JSON: garbage");
  EXPECT_EQ(ReadFile(*scratch_ / "failing/base.json"), result.base.dump());
}

}  // namespace
}  // namespace darkhorse
