#include "pipeline/stage_list.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "pipeline/stage_list_testing.h"

namespace darkhorse {
namespace {

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

// Checkpoints of the moment of stopping may be kept in place of others.
void LeaveLastCheckpoints(std::map<std::string, std::string>* files) {
  const auto folder = [](const std::string& name) {
    const size_t at = name.find("checkpoints/step-");
    return at == name.npos ? "" : name.substr(0, at);
  };
  const auto step = [](const std::string& name) {
    return name.substr(name.find("checkpoints/step-"),
                       std::string("checkpoints/step-00000000").size());
  };
  std::map<std::string, std::string> last;
  for (const auto& [name, content] : *files) {
    if (!folder(name).empty()) last[folder(name)] = step(name);  // names are in order
  }
  std::erase_if(*files, [&](const auto& file) {
    return !folder(file.first).empty() && step(file.first) != last[folder(file.first)];
  });
}

void ExpectSame(const std::string& a, const std::string& b) {
  auto of_a = FilesOf(a), of_b = FilesOf(b);
  LeaveLastCheckpoints(&of_a);
  LeaveLastCheckpoints(&of_b);
  for (const auto& [name, content] : of_a) {
    ASSERT_TRUE(of_b.contains(name)) << name;
    EXPECT_TRUE(content == of_b.at(name)) << name;
  }
  EXPECT_EQ(of_a.size(), of_b.size());
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

// The first stage is not gone through then; what follows is as if its model had been made here.
TEST_F(StageListTest, AModelMayTakeThePlaceOfTheFirst) {
  const std::string base = *scratch_ / "whole/base/checkpoints/step-00000004";
  const StageListResult result = Run(List(kList, {"model=" + base}), "given");
  EXPECT_TRUE(result.finished);
  EXPECT_FALSE(FileExists(*scratch_ / "given/base"));
  EXPECT_FALSE(FileExists(*scratch_ / "given/data"));
  EXPECT_EQ(result.scores, whole_->scores);
  for (const char* file : {"traces/chats.jsonl", "cold/metrics.jsonl", "reinforce/metrics.jsonl",
                           "distil/student/metrics.jsonl"})
    EXPECT_EQ(ReadFile(*scratch_ / "given" + "/" + file),
              ReadFile(*scratch_ / "whole" + "/" + file))
        << file;
}

// What another stage has begun from does not grow.
TEST_F(StageListTest, WhatIsBuiltOnStays) {
  const auto before = FilesOf(*scratch_ / "whole");
  const auto why = [](const std::string& override) {
    return MessageOf([&] { Run(List(kList, {override}), "whole"); });
  };
  EXPECT_TRUE(Says(why("traces.sample.problems=30"),
                   "traces.sample.problems was 24 and is now 30, but cold has begun from what "
                   "traces made"));
  EXPECT_TRUE(Says(why("base.train.steps=6"), "but traces has begun from what base made"));
  EXPECT_TRUE(Says(why("reinforce.rl.steps=3"), "but distil has begun from what reinforce made"));
  EXPECT_TRUE(Says(why("distil.sample.problems=21"), "but the student has begun to learn"));
  EXPECT_TRUE(FilesOf(*scratch_ / "whole") == before);
  std::string behind = kList;
  behind +=
      "[[stage]]\nkind = \"finetune\"\nname = \"behind\"\nfrom = \"distil\"\n"
      "data = [\"traces\"]\n[stage.finetune]\nsteps = 1\nsamples_per_step = 2\n";
  EXPECT_TRUE(Run(List(behind), "whole").finished);
  EXPECT_TRUE(Says(MessageOf([&] { Run(List(behind, {"distil.finetune.steps=3"}), "whole"); }),
                   "distil.finetune.steps was 2 and is now 3, but behind has begun from"));
}

// Scores are of a model and of problems, which may both change under their names.
TEST_F(StageListTest, ScoresOfOtherProblemsAreNotTakenForThese) {
  const auto problems = [](int add) {
    std::string rows;
    for (int i = 0; i < 40; ++i)
      rows += fmt::format("{{\"prompt\":\"{0}\",\"answer\":\"{1}\"}}\n", i, i + add);
    return scratch_->Write("problems.jsonl", rows);
  };
  const std::string base = *scratch_ / "whole/base/checkpoints/step-00000004";
  const StagesRecipe recipe =
      List("model = \"" + base + "\"\n[problems]\nrule = \"exact\"\nfile = \"" + problems(1) +
           "\"\n[[stage]]\nkind = \"evaluate\"\n[stage.evaluation]\nproblems = 1\nsamples = 1\n"
           "max_tokens = 3\n");
  EXPECT_TRUE(Run(recipe, "scores").finished);
  EXPECT_TRUE(Run(recipe, "scores").finished);
  problems(2);
  EXPECT_TRUE(Says(MessageOf([&] { Run(recipe, "scores"); }),
                   "model.json: is of another model or of other problems; remove it"));
  std::filesystem::remove(*scratch_ / "scores/model.json");
  EXPECT_TRUE(Run(recipe, "scores").finished);
  scratch_->Write("scores/measured.json", "[");
  EXPECT_TRUE(Says(MessageOf([&] { Run(recipe, "scores"); }), "measured.json: is damaged"));
}

// A path that a late stage reads is missed before the first; and what has not begun may change.
TEST_F(StageListTest, WhatHasNotBegunMayChange) {
  const std::string base =
      std::string(kList).substr(0, std::string(kList).find("[[stage]]\nkind = \"evaluate"));
  const std::string tuned = base + "[[stage]]\nkind = \"finetune\"\ndata = [\"./absent.jsonl\"]\n";
  EXPECT_TRUE(Says(MessageOf([&] { Run(List(tuned), "changes"); }),
                   "stage finetune: data is ./absent.jsonl, and there is no such file or folder"));
  EXPECT_FALSE(FileExists(*scratch_ / "changes/base"));
  EXPECT_TRUE(Run(List(base), "changes").finished);
  const std::string sampled = base +
                              "[[stage]]\nkind = \"sample\"\n[stage.sample]\ntasks = [\"sum:1\"]\n"
                              "writer = \"traces\"\nproblems = 4\nsamples = 1\n";
  EXPECT_TRUE(Run(List(sampled), "changes").finished);
  EXPECT_TRUE(Says(MessageOf([&] { Run(List(base), "changes"); }), "another number of stages"));
}

// A corpus of the user's, in tokens of the user's: here that of another run, so the model is its.
TEST_F(StageListTest, PretrainingTakesPreparedData) {
  std::string text = kTinyBase;
  const std::string kind = "kind = \"pretrain\"\n";
  text.insert(text.find(kind) + kind.size(), "data = [\"" + (*scratch_ / "whole/data") + "\"]\n");
  const std::string reinforced =
      "[[stage]]\nkind = \"reinforce\"\n[stage.rl]\ntasks = [\"sort:1\"]\nsteps = 1\n"
      "prompts_per_step = 1\ngroup_size = 2\nmax_tokens = 2\nevaluate_every = 0\n"
      "[stage.probe]\nproblems = 0\n";
  EXPECT_TRUE(Run(List("seed = 5\n" + text + reinforced), "prepared").finished);
  EXPECT_EQ(told_.find("of which the corpus has nothing"), std::string::npos) << told_;
  EXPECT_FALSE(FileExists(*scratch_ / "prepared/data"));
  // It is missed before anything is done, but not where a model takes the stage's place.
  const auto absent = [&](const std::string& model) {
    return List("seed = 5\n" + model + "[[stage]]\nkind = \"pretrain\"\ndata = [\"./absent\"]\n" +
                reinforced);
  };
  EXPECT_TRUE(Says(MessageOf([&] { Run(absent(""), "none"); }),
                   "stage pretrain: data is ./absent, and there is no such file or folder"));
  const std::string base = *scratch_ / "prepared/base/checkpoints/step-00000004";
  EXPECT_TRUE(Run(absent("model = \"" + base + "\"\n"), "replaced").finished);
  EXPECT_FALSE(FileExists(*scratch_ / "prepared/tokenizer.json"));
  const std::string weights = "/base/checkpoints/step-00000004/model.safetensors";
  EXPECT_TRUE(ReadFile(*scratch_ / "prepared" + weights) ==
              ReadFile(*scratch_ / "whole" + weights));
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
