// A run's checkpoints one after another: which are kept, found and gone on from.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "checkpoint/checkpoint_testing.h"
#include "checkpoint/checksums.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

const char* exit_at = "";
int steps_to_go = 0;
void ExitAt(const char* step) {
  if (std::strcmp(step, exit_at) == 0) _exit(9);
}
void ExitAfterSteps(const char*) {
  if (steps_to_go-- == 0) _exit(9);
}

template <typename Body>
int InChild(const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    try {
      body();
    } catch (const Error&) {
      _exit(2);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(CheckpointTest, KeepsTheNewest) {
  for (const int64_t step : {5, 10, 15, 20}) Publish(step, 2);
  EXPECT_EQ(CheckpointEntries(), 2u);
  EXPECT_EQ(FindLatestCheckpoint(run())->step, 20);
  // A run resumed at 10 publishes 12: what stands beyond 12 is no reason to remove 12 or 10.
  Publish(10);
  Publish(12, 2);
  EXPECT_TRUE(FileExists(StepDirectory(run(), 10)) && FileExists(StepDirectory(run(), 12)));
}

TEST_F(CheckpointTest, LatestFallsBackFromADamagedOne) {
  EXPECT_FALSE(FindLatestCheckpoint(run()).has_value());
  for (const int64_t step : {5, 10, 15}) Publish(step);
  FlipBit(StepDirectory(run(), 15) + "/optimizer.safetensors", 70);
  fs::remove(StepDirectory(run(), 10) + "/checksums.json");
  MakeDirectories(run() + "/checkpoints/step-99");  // not ours
  const auto latest = FindLatestCheckpoint(run());
  ASSERT_TRUE(latest.has_value());
  EXPECT_EQ(latest->step, 5);
  EXPECT_EQ(Loaded(latest->directory)[0], 5.0f);
  ASSERT_EQ(latest->warnings.size(), 2u);
  EXPECT_TRUE(Says(latest->warnings[0], "optimizer.safetensors: damaged"));
  fs::remove(StepDirectory(run(), 5) + "/config.json");
  EXPECT_TRUE(Says(MessageOf([&] { FindLatestCheckpoint(run()); }), "none of the checkpoints (3)"));
}

TEST_F(CheckpointTest, FullDiskLeavesTheOldOnes) {
  Publish(5);
  const int code = InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    Publish(10, 1);
  });
  EXPECT_EQ(code, 2);
  EXPECT_EQ(CheckpointEntries(), 1u);
  EXPECT_EQ(FindLatestCheckpoint(run())->step, 5);
}

// Kills a publication before each of its system steps in turn: what is found afterwards is whole,
// and is the new one only if everything before the rename was done.
TEST_F(CheckpointTest, KilledAnywhereSomethingSoundIsFound) {
  bool finished = false;
  int kills = 0;
  for (int step = 0; !finished; ++step) {
    fs::remove_all(run());
    publication_hook = nullptr;
    Publish(5);
    const int code = InChild([&] {
      steps_to_go = step;
      publication_hook = ExitAfterSteps;
      Publish(10, 1);
    });
    finished = code == 0;
    ASSERT_TRUE(finished || code == 9);
    kills += code == 9;
    const auto latest = FindLatestCheckpoint(run());
    ASSERT_TRUE(latest.has_value());
    EXPECT_TRUE(latest->warnings.empty());
    EXPECT_EQ(Loaded(latest->directory)[0], static_cast<float>(latest->step));
    EXPECT_EQ(SavedTrainerState(latest->directory).step(), latest->step);
    for (const auto& entry : fs::directory_iterator(run() + "/checkpoints")) {
      EXPECT_EQ(entry.path().string().find(".tmp-"), std::string::npos) << "leftover " << entry;
    }
    EXPECT_TRUE(!finished || latest->step == 10);
  }
  EXPECT_GT(kills, 20);
}

TEST_F(CheckpointTest, ReplacingAStepIsAtOnce) {
  Publish(5);
  exit_at = "remove";
  EXPECT_EQ(InChild([&] {
              publication_hook = ExitAt;
              moments_[0] = 7;
              Publish(5);
            }),
            9);
  const auto latest = FindLatestCheckpoint(run());
  std::vector<float> moments(3);
  SavedTrainerState(latest->directory).Read("m", moments);
  EXPECT_EQ(moments[0], 7);
  EXPECT_EQ(CheckpointEntries(), 1u);
}

TEST(TruncateJsonLinesTest, KeepsWholeLinesUpToTheStep) {
  const ScratchDirectory dir;
  const std::string path = dir / "metrics.jsonl";
  TruncateJsonLines(path, 3);
  EXPECT_FALSE(FileExists(path));
  const std::string good = "{\"step\":1,\"loss\":2.50}\n{\"loss\": 2, \"step\": 3}\n";
  WriteFileAtomically(path, good + "{\"step\":4}\n{\"step\":2");
  TruncateJsonLines(path, 3);
  EXPECT_EQ(ReadFile(path), good);
  WriteFileAtomically(path, good + "{\"step\":2}");  // whole but for its end of line: torn
  TruncateJsonLines(path, 3);
  EXPECT_EQ(ReadFile(path), good);
  TruncateJsonLines(path, 0);
  EXPECT_EQ(ReadFile(path), "");
  // What is no line of a step goes too.
  WriteFileAtomically(path,
                      "{\"step\":1.5}\n{\"step\":\"1\"}\n{\"loss\":1}\n[1]\n1\n\n{]\n" + good);
  TruncateJsonLines(path, 9);
  EXPECT_EQ(ReadFile(path), good);
}

TEST_F(CheckpointTest, ARunGoesOnOnlyWithItsOwnRecipe) {
  const auto message = [&](const std::string& folder, const std::string& toml) {
    return MessageOf([&] {
      CheckRecipe(folder, toml, /*goes_on=*/true, {"metrics.jsonl", "tokenizer.json"});
      RecordRecipe(folder, toml);
    });
  };
  const std::string recipe = "[model]\na = 1\n\n[train]\na = 2\n";
  EXPECT_EQ(message(run(), recipe), "");
  EXPECT_EQ(message(run(), recipe), "");
  EXPECT_TRUE(Says(message(run(), "[model]\na = 1\n\n[train]\na = 3\n"),
                   "was started with 'a = 2' in [train], now it is 'a = 3'"));
  EXPECT_TRUE(Says(message(run(), "[train]\na = 2\n"), "whose recipes have 'a' in [model]"));
  // A run that lost its recipe, a checkpoint, prepared data: nothing is written to them.
  MakeDirectories(run() + "/checkpoints");
  fs::remove(run() + "/recipe.toml");
  PublishPlain(dir_ / "model");
  for (const std::string& folder : {run(), std::string(dir_ / "model")}) {
    EXPECT_TRUE(Says(message(folder, recipe), "choose another run directory"));
    EXPECT_FALSE(FileExists(folder + "/recipe.toml"));
  }
  for (const char* name : {"checkpoints", "inputs.json", "metrics.jsonl", "tokenizer.json"}) {
    const std::string folder = dir_ / fmt::format("with {}", name);
    MakeDirectories(folder);
    WriteFileAtomically(folder + "/" + name, "another's");
    EXPECT_TRUE(Says(message(folder, recipe), fmt::format("holds other files ({})", name)));
  }
}

TEST_F(CheckpointTest, ARunGoesOnOnlyWithTheInputsItBeganWith) {
  const auto message = [&](const RunInputs& inputs) {
    return MessageOf([&] { RecordInputs(run(), inputs, /*goes_on=*/true); });
  };
  RecordInputs(run(), {{"train.bin", 1}, {"model", ~uint64_t{0}}}, /*goes_on=*/false);
  EXPECT_EQ(message({{"train.bin", 1}, {"model", ~uint64_t{0}}}), "");
  EXPECT_TRUE(Says(message({{"train.bin", 2}, {"model", ~uint64_t{0}}}), "another train.bin"));
  EXPECT_TRUE(Says(message({{"train.bin", 1}}), "model, which is missing now"));
  EXPECT_TRUE(
      Says(message({{"train.bin", 1}, {"model", ~uint64_t{0}}, {"val.bin", 3}}), "no val.bin"));
  RecordInputs(run(), {{"train.bin", 2}}, /*goes_on=*/false);
  EXPECT_EQ(message({{"train.bin", 2}}), "");
}

}  // namespace
}  // namespace darkhorse
