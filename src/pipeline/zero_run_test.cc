// A run from nothing to a reinforced model, as recipes/countdown.toml is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/scratch_testing.h"
#include "checkpoint/run_directory.h"
#include "data/shard.h"
#include "pipeline/loaded_model.h"
#include "pipeline/run_report.h"
#include "pipeline/stage_list.h"
#include "pipeline/stage_list_testing.h"

namespace darkhorse {
namespace {

// All stages in about a second.
const std::string kRecipe = R"(
vocab_size = 300
digits_per_token = 3
[corpus]
tasks = ["sum:1"]
documents = 400
seed = 77
)" + std::string(kTinyBase) +
                            R"(evaluate_every = 2
evaluate_tokens = 256
[[stage]]
kind = "evaluate"
[stage.evaluation]
problems = 5
samples = 2
[[stage]]
kind = "reinforce"
name = "reinforced"
[stage.rl]
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
[stage.probe]
problems = 0
[stage.optimizer]
learning_rate = 0.1
[[stage]]
kind = "evaluate"
[stage.evaluation]
problems = 5
samples = 2
)";

StagesRecipe Recipe(std::vector<std::string> overrides = {}) {
  return ParseStagesRecipe({"test.toml", kRecipe, std::move(overrides)});
}

// Of recipes that end as they were meant to.
constexpr char kConstant[] = "pretrain.schedule.schedule=constant",
               kConstantRl[] = "reinforce.schedule.schedule=constant";

StageListResult RunIt(const StagesRecipe& recipe, const std::string& run,
                      StageListCallbacks callbacks = {}) {
  return RunStageList(recipe, run, callbacks);
}

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

class ZeroRunTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    StageListCallbacks callbacks;
    callbacks.on_begin = [](const StageRecipe& stage) { told_.push_back("begin " + Name(stage)); };
    callbacks.on_end = [](const StageRecipe& stage, const std::string&) {
      told_.push_back("end " + Name(stage));
      if (Name(stage) == "evaluate base") {
        EXPECT_TRUE(FileExists(*scratch_ / "whole/base.json"));
        EXPECT_FALSE(FileExists(*scratch_ / "whole/reinforced.json"));
      }
    };
    callbacks.on_note = [](const std::string& note) { notes_ += note + "\n"; };
    callbacks.on_corpus = [](const PrepareProgress& p) { corpus_ = p; };
    callbacks.pretraining.on_step = [](const StepMetrics& m) { steps_.push_back(m.step); };
    callbacks.reinforcement.on_step = [](const ReinforceMetrics& m) {
      rl_steps_.push_back(m.step);
    };
    callbacks.reinforcement.on_evaluation = [](const ReinforceMetrics& m) {
      rl_evaluations_.push_back(m.step);
    };
    callbacks.on_scores = [](const std::string& model, const TaskEvaluation& e) {
      told_.push_back("scores " + model + " " + e.task);
    };
    callbacks.on_thought = [](const std::string& model, const Problem& problem,
                              const Sample& sample) {
      thoughts_.push_back({model, problem, sample});
    };
    whole_ = new StageListResult(RunIt(Recipe(), *scratch_ / "whole", callbacks));
  }
  static void TearDownTestSuite() {
    delete whole_;
    delete scratch_;
  }

  static std::string Name(const StageRecipe& stage) {
    return stage.head.kind + " " + stage.head.name;
  }
  static nlohmann::ordered_json Scores(const StageListResult& result, const std::string& name) {
    for (const auto& [own, scores] : result.scores) {
      if (own == name) return scores;
    }
    return nullptr;
  }

  struct Thought {
    std::string model;
    Problem problem;
    Sample sample;
  };
  static inline ScratchDirectory* scratch_;
  static inline StageListResult* whole_;
  static inline std::vector<std::string> told_;
  static inline std::string notes_;
  static inline PrepareProgress corpus_;
  static inline std::vector<int64_t> steps_, rl_steps_, rl_evaluations_;
  static inline std::vector<Thought> thoughts_;
};

TEST_F(ZeroRunTest, AreToldInTheirOrder) {
  EXPECT_EQ(told_, (std::vector<std::string>{
                       "begin pretrain base", "end pretrain base", "begin evaluate base",
                       "scores base sum", "scores base sort", "end evaluate base",
                       "begin reinforce reinforced", "end reinforce reinforced",
                       "begin evaluate reinforced", "scores reinforced sum",
                       "scores reinforced sort", "end evaluate reinforced"}));
  EXPECT_EQ(steps_, (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(rl_steps_, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(rl_evaluations_, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(corpus_.documents, 400);
  EXPECT_TRUE(HasReport(*scratch_ / "whole"));
  EXPECT_FALSE(HasReport(*scratch_ / "none"));
}

TEST_F(ZeroRunTest, ATaskThatTheCorpusLacksIsTold) {
  EXPECT_TRUE(notes_.starts_with(
      "warning: reinforced works on sort, of which the corpus has nothing (it has sum), so"))
      << notes_;
  std::string notes;
  StageListCallbacks callbacks;
  callbacks.on_note = [&](const std::string& note) { notes += note; };
  callbacks.stop = [] { return true; };
  RunIt(Recipe({"corpus.tasks=sum:1,sort:2"}), *scratch_ / "both", callbacks);
  EXPECT_EQ(notes.find("warning"), notes.npos) << notes;
}

TEST_F(ZeroRunTest, ResultIsTheLastCheckpointAndBothScores) {
  EXPECT_TRUE(whole_->finished);
  EXPECT_EQ(whole_->model, StepDirectory(*scratch_ / "whole/reinforced", 3));
  ASSERT_EQ(whole_->scores.size(), 2u);
  EXPECT_EQ(whole_->scores[0].first, "base");
  EXPECT_EQ(whole_->scores[1].first, "reinforced");
  for (const auto& [name, scores] : whole_->scores) {
    ASSERT_EQ(scores.size(), 2u);
    EXPECT_EQ(scores[0]["task"], "sum");
    EXPECT_EQ(scores[1]["task"], "sort");
    for (const auto& task : scores) {
      EXPECT_EQ(task["problems"], 5);
      EXPECT_EQ(task["samples"], 2);
      EXPECT_LE(task["mean_length"], 9);  // rl.max_tokens
      EXPECT_FALSE(task.contains("reward_program_failures"));
    }
  }
  for (const auto& [name, scores] : whole_->scores)
    EXPECT_EQ(ReadFile(*scratch_ / "whole/" + name + ".json"), scores.dump());
}

// The scores of each model are of its own checkpoint, with the seed that no recipe changes and that
// an evaluation by hand has too.
TEST_F(ZeroRunTest, ScoresAreOfTheStagesModel) {
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
       {std::pair{StepDirectory(run + "base", 4), Scores(*whole_, "base")},
        std::pair{StepDirectory(run + "reinforced", 3), Scores(*whole_, "reinforced")}}) {
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

TEST_F(ZeroRunTest, TheCorpusIsTheRecipes) {
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

TEST_F(ZeroRunTest, ASecondCallComputesNothingAnew) {
  const auto before = FilesOf(*scratch_ / "whole");
  std::vector<std::string> begun;
  int64_t steps = 0;
  StageListCallbacks callbacks;
  callbacks.on_begin = [&](const StageRecipe& stage) { begun.push_back(Name(stage)); };
  callbacks.pretraining.on_step = [&](const StepMetrics&) { ++steps; };
  callbacks.reinforcement.on_step = [&](const ReinforceMetrics&) { ++steps; };
  callbacks.on_scores = [&](const std::string&, const TaskEvaluation&) { ++steps; };
  const StageListResult again = RunIt(Recipe(), *scratch_ / "whole", callbacks);
  EXPECT_TRUE(again.finished);
  EXPECT_EQ(again.model, whole_->model);
  EXPECT_EQ(again.scores, whole_->scores);
  EXPECT_EQ(begun, (std::vector<std::string>{"pretrain base", "reinforce reinforced"}));
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(FilesOf(*scratch_ / "whole"), before);
}

// Stopped in each stage that can be, the run says so and goes on to the same files.
TEST_F(ZeroRunTest, StoppedItGoesOnToTheSameFiles) {
  const std::string run = *scratch_ / "stopped";
  bool stop = false;
  const auto stopped_in = [&](const std::function<void(StageListCallbacks*)>& set) {
    StageListCallbacks callbacks;
    callbacks.stop = [&] { return stop; };
    set(&callbacks);
    stop = false;
    const StageListResult result = RunIt(Recipe(), run, callbacks);
    EXPECT_FALSE(result.finished);
    EXPECT_TRUE(Scores(result, "reinforced").is_null());
    return result;
  };
  stopped_in([&](StageListCallbacks* callbacks) {
    callbacks->on_note = [&](const std::string& note) { stop = note == "writing the corpus"; };
  });
  EXPECT_TRUE(FileExists(run + "/tokenizer.json"));
  EXPECT_FALSE(FileExists(run + "/data/train.bin"));
  const StageListResult in_pretraining = stopped_in([&](StageListCallbacks* callbacks) {
    callbacks->pretraining.on_step = [&](const StepMetrics& m) { stop = m.step == 3; };
  });
  EXPECT_TRUE(FileExists(StepDirectory(run + "/base", 3)));
  EXPECT_TRUE(in_pretraining.scores.empty());
  EXPECT_EQ(in_pretraining.model, "");
  const StageListResult in_reinforcement = stopped_in([&](StageListCallbacks* callbacks) {
    callbacks->reinforcement.on_step = [&](const ReinforceMetrics& m) { stop = m.step == 1; };
  });
  EXPECT_TRUE(FileExists(StepDirectory(run + "/reinforced", 1)));
  EXPECT_EQ(Scores(in_reinforcement, "base"), Scores(*whole_, "base"));
  EXPECT_TRUE(RunIt(Recipe(), run).finished);
  const auto stopped = FilesOf(run), whole = FilesOf(*scratch_ / "whole");
  for (const auto& [name, bytes] : whole) {
    // Checkpoints of the moment of stopping may be kept in place of others.
    if (name.find("checkpoints/") != std::string::npos && !name.starts_with("reinforced")) continue;
    ASSERT_TRUE(stopped.contains(name)) << name;
    EXPECT_TRUE(stopped.at(name) == bytes) << name;
  }
}

TEST_F(ZeroRunTest, MoreStepsOfAStageExtendTheRun) {
  const std::string run = *scratch_ / "extended";
  const auto recipe = [](const std::string& steps, const std::string& rl_steps) {
    return Recipe(
        {kConstant, kConstantRl, "base.train.steps=" + steps, "reinforced.rl.steps=" + rl_steps});
  };
  const StageListResult whole = RunIt(recipe("4", "3"), *scratch_ / "long");
  const auto same_files = [&] {
    const auto extended = FilesOf(run), expected = FilesOf(*scratch_ / "long");
    for (const auto& [name, bytes] : expected) {
      ASSERT_TRUE(extended.contains(name)) << name;
      EXPECT_TRUE(extended.at(name) == bytes) << name;
    }
  };
  // The base, once it is measured.
  bool stop = false;
  StageListCallbacks callbacks;
  callbacks.on_end = [&](const StageRecipe& stage, const std::string&) {
    stop = Name(stage) == "evaluate base";
  };
  callbacks.stop = [&] { return stop; };
  EXPECT_FALSE(RunIt(recipe("2", "3"), run, callbacks).finished);
  std::set<std::string> measured;
  callbacks = {};
  callbacks.on_scores = [&](const std::string& model, const TaskEvaluation&) {
    measured.insert(model);
  };
  EXPECT_TRUE(RunIt(recipe("4", "2"), run, callbacks).finished);
  EXPECT_EQ(measured, (std::set<std::string>{"base", "reinforced"}));
  // Reinforcement, after the end.
  measured.clear();
  const StageListResult result = RunIt(recipe("4", "3"), run, callbacks);
  EXPECT_EQ(measured, std::set<std::string>{"reinforced"});
  EXPECT_EQ(result.scores, whole.scores);
  same_files();
  // Not the base any more, which reinforcement has begun from.
  EXPECT_TRUE(
      Says(MessageOf([&] { RunIt(recipe("5", "3"), run); }),
           "base.train.steps was 4 and is now 5, but reinforced has begun from what base made; set "
           "it back, or choose another"));
  same_files();
}

// A stage that refuses leaves the recipe and what was measured as they were.
TEST_F(ZeroRunTest, RefusedStepsChangeNothing) {
  const std::string run = *scratch_ / "ended";
  const auto recipe = [](const std::string& steps) {
    return Recipe({"reinforced.stop.patience=1", "reinforced.rl.evaluate_every=1",
                   "reinforced.rl.steps=" + steps});
  };
  ASSERT_TRUE(RunIt(recipe("9"), run).finished);
  const auto before = FilesOf(run);
  EXPECT_TRUE(Says(MessageOf([&] { RunIt(recipe("12"), run); }), "more steps do not go on"));
  EXPECT_EQ(FilesOf(run), before);
}

TEST_F(ZeroRunTest, StoppedBeforeItsFirstStepThereIsNothingToReport) {
  const std::string run = *scratch_ / "early";
  bool stop = false;
  StageListCallbacks callbacks;
  callbacks.stop = [&] { return stop || (stop = FileExists(run + "/base/metrics.jsonl")); };
  EXPECT_FALSE(RunIt(Recipe(), run, callbacks).finished);
  EXPECT_FALSE(HasReport(run));
}

TEST_F(ZeroRunTest, DamagedScoresAreNotBelieved) {
  const std::string path = *scratch_ / "whole/base.json";
  const std::string sound = ReadFile(path);
  for (const std::string& damaged :
       {sound.substr(0, 20), std::string("5"), std::string("[]"), std::string("{\"task\":\"a\"}"),
        std::string("[{\"task\":3}]"), std::string("[{\"task\":\"a\"}]"),
        std::string("[{\"task\":\"a\",\"pass@1\":\"1\"}]"),
        std::string("[{\"task\":\"a\",\"task\":\"b\"}]"), std::string(60000, '[')}) {
    WriteFileAtomically(path, damaged);
    EXPECT_TRUE(Says(MessageOf([&] { RunIt(Recipe(), *scratch_ / "whole"); }),
                     "base.json: is damaged; remove it"))
        << damaged.substr(0, 40);
  }
  WriteFileAtomically(path, sound);
}

TEST_F(ZeroRunTest, WhatAnotherLeftIsNotAdopted) {
  for (const char* name :
       {"data", "base", "base.json", "reinforced", "reinforced.json", "tokenizer.json", "best",
        "checkpoints", "inputs.json", "metrics.jsonl", "samples.jsonl", "timings.jsonl",
        "probe.json", "report.html", "figures", "tensorboard"}) {
    const std::string run = *scratch_ / ("with " + std::string(name));
    scratch_->Write("with " + std::string(name) + "/" + name + "/x", "x");
    EXPECT_TRUE(Says(MessageOf([&] { RunIt(Recipe(), run); }),
                     "holds other files (" + std::string(name) + ")"));
  }
}

TEST_F(ZeroRunTest, SamplesThatCouldNotBeScoredAreCountedAndTold) {
  std::string rows;
  for (int i = 0; i < 40; ++i) rows += fmt::format("{{\"prompt\": \"sum {}+1\"}}\n", i);
  const StagesRecipe recipe = Recipe(
      {"reinforced.rl.tasks=", "reinforced.problems.file=" + scratch_->Write("rows.jsonl", rows),
       // Every other sample is answered with garbage.
       "reinforced.problems.reward=while read -r line; do id=${line#*:}; id=${id%%,*}; case $id in "
       "*[13579]) echo garbage;; *) echo \"{\\\"id\\\": $id, \\\"score\\\": 1}\";; esac; done",
       "reinforced.problems.held_out_share=0.5", "reinforced.problems.reward_processes=1",
       "reinforced.problems.reward_seconds=120"});
  bool stop = false;
  ScoringFaults told;
  StageListCallbacks callbacks;
  callbacks.on_end = [&](const StageRecipe& stage, const std::string&) {
    stop = Name(stage) == "evaluate base";
  };
  callbacks.on_faults = [&](const ScoringFaults& faults) { told = faults; };
  callbacks.stop = [&] { return stop; };
  const StageListResult result = RunIt(recipe, *scratch_ / "failing", callbacks);
  EXPECT_FALSE(result.finished);
  const auto base = Scores(result, "base");
  ASSERT_EQ(base.size(), 1u);
  EXPECT_EQ(base[0]["problems"], 5);
  EXPECT_EQ(base[0]["reward_program_failures"], 5);  // of ten
  EXPECT_EQ(told.samples, 5);
  EXPECT_EQ(told.last,
            "the reward program wrote a line that is not JSON (messages belong on standard error): "
            "garbage");
  EXPECT_EQ(ReadFile(*scratch_ / "failing/base.json"), base.dump());
}

}  // namespace
}  // namespace darkhorse
