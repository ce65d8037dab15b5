#include "checkpoint/run_directory.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

// A run's checkpoint, empty, as if written so many hours ago.
std::string MakeStep(const std::string& run, int64_t step, int hours_ago) {
  const std::string directory = StepDirectory(run, step);
  MakeDirectories(directory);
  fs::last_write_time(directory, fs::file_time_type::clock::now() - std::chrono::hours(hours_ago));
  return directory;
}

TEST(RequireCheckpointTest, NamesTheCheckpointThatWasWrittenLast) {
  const ScratchDirectory dir;
  const auto refusal = [&] { return MessageOf([&] { RequireCheckpoint(dir.path()); }); };
  const auto is_a_run = [&](const std::string& newest) {
    return fmt::format("{}: is a run, not a checkpoint; its newest checkpoint is {}", dir.path(),
                       newest);
  };
  EXPECT_EQ(refusal(), dir.path() +
                           ": holds no config.json; name a folder that holds config.json, "
                           "model.safetensors and tokenizer.json");
  // Of one run the last step; of several stages the one that was at work last, whatever its step
  // and its folder's place in the order of names.
  MakeStep(dir / "b", 500, 9);
  const std::string b = MakeStep(dir / "b", 1000, 8);
  EXPECT_EQ(refusal(), is_a_run(b));
  const std::string a = MakeStep(dir / "a", 3, 7);
  EXPECT_EQ(refusal(), is_a_run(a));
  MakeStep(dir / "c", 7, 99);
  EXPECT_EQ(refusal(), is_a_run(a));
  const std::string own = MakeStep(dir.path(), 1, 6);
  EXPECT_EQ(refusal(), is_a_run(own));
  const std::string later = MakeStep(dir / "c", 7, 5);
  EXPECT_EQ(refusal(), is_a_run(later));
  const std::string file = dir.Write("config.json", "{}");  // now it is a checkpoint itself
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(MessageOf([&] { RequireCheckpoint(file); }),
            file + ": is a file; name a checkpoint's directory");
}

TEST(RequireCheckpointTest, OfTheFolderOfCheckpointsNamesTheNewest) {
  const ScratchDirectory dir;
  for (const int step : {3, 5}) {
    const std::string checkpoint = StepDirectory(dir / "run", step);
    MakeDirectories(checkpoint);
    WriteFileAtomically(checkpoint + "/config.json", "{}");
  }
  EXPECT_EQ(MessageOf([&] { RequireCheckpoint(dir / "run/checkpoints"); }),
            dir / "run/checkpoints" + ": holds checkpoints; the newest is " +
                StepDirectory(dir / "run", 5));
}

TEST(RequireCheckpointTest, OfADirectoryThatIsNotThereNamesThoseBesideIt) {
  const ScratchDirectory dir;
  const auto refusal = [](const std::string& path) {
    return MessageOf([&] { RequireCheckpoint(path); });
  };
  const std::string files = "config.json, model.safetensors and tokenizer.json";
  const std::string gone = dir / "run/checkpoints/step-00000050";
  EXPECT_EQ(refusal(gone), gone + ": no such folder; name one that holds " + files);
  const std::string best = dir / "run/best";
  dir.Write("run/best/config.json", "{}");
  EXPECT_EQ(refusal(gone), fmt::format("{}: no such checkpoint; there are {}", gone, best));
  dir.Write("run/checkpoints/step-00000060/config.json", "{}");
  dir.Write("run/checkpoints/step-00000030/config.json", "{}");
  dir.Write("run/checkpoints/other/note.txt", "");
  EXPECT_EQ(refusal(gone + "//"),
            fmt::format("{}: no such checkpoint; there are step-00000030, step-00000060, {}", gone,
                        best));
  const std::string none = dir / "run/last";
  EXPECT_EQ(refusal(none), fmt::format("{}: no such checkpoint; there are best", none));
  std::filesystem::remove_all(best);
  EXPECT_EQ(refusal(none), fmt::format("{}: no such checkpoint; the newest of {} is {}", none,
                                       dir / "run", dir / "run/checkpoints/step-00000060"));
  for (int step = 1; step <= 8; ++step)
    dir.Write(fmt::format("run/checkpoints/step-0000001{}/config.json", step), "{}");
  EXPECT_EQ(refusal(gone),
            gone +
                ": no such checkpoint; there are 2 others, step-00000013, step-00000014, "
                "step-00000015, step-00000016, step-00000017, step-00000018, step-00000030, "
                "step-00000060");
}

TEST(RequireCheckpointTest, OfAHubsNameSaysThatNothingIsDownloaded) {
  const std::string files = "config.json, model.safetensors and tokenizer.json";
  const auto refusal = [](const std::string& path) {
    return MessageOf([&] { RequireCheckpoint(path); });
  };
  EXPECT_EQ(
      refusal("Qwen/Qwen2.5-0.5B"),
      "Qwen/Qwen2.5-0.5B: no such folder, and nothing is downloaded; fetch the model and name "
      "its folder, which holds " +
          files);
  for (const std::string path : {"/Qwen/x", "./Qwen", "Qwen", "a/b/c"})
    EXPECT_EQ(refusal(path), path + ": no such folder; name one that holds " + files);
}

TEST(FindLatestCheckpointTest, OfNoneThatIsSoundTheNewestIsNamed) {
  const ScratchDirectory dir;
  MakeStep(dir.path(), 5, 0);
  const std::string newest = MakeStep(dir.path(), 10, 9);
  EXPECT_EQ(MessageOf([&] { FindLatestCheckpoint(dir.path()); }),
            fmt::format("{}/checkpoints: none of the checkpoints (2) is sound; restore one from a "
                        "copy or start a new run in another directory (the newest: {}: passed "
                        "over: checksums.json is missing)",
                        dir.path(), newest));
  WriteFileAtomically(newest + "/checksums.json", "{");
  EXPECT_TRUE(Says(MessageOf([&] { FindLatestCheckpoint(dir.path()); }),
                   fmt::format("(the newest: passed over: {}/checksums.json: ", newest)));
}

TEST(StepDirectoryTest, OnlyItsOwnSpellingIsACheckpoint) {
  const ScratchDirectory dir;
  for (const char* name : {"step-", "step-1", "step-0000000x", "step-000000001", "stop-00000001",
                           "step-99999999999999999999", "step-000000000000000000001"}) {
    MakeDirectories(dir / (std::string("checkpoints/") + name));
  }
  EXPECT_FALSE(FindLatestCheckpoint(dir.path()).has_value());
  for (const int64_t step : {int64_t{0}, int64_t{123456789}, INT64_MAX}) {
    const std::string directory = MakeStep(dir.path(), step, 0);
    EXPECT_TRUE(Says(MessageOf([&] { FindLatestCheckpoint(dir.path()); }), directory));
  }
}

TEST(RecordRecipeTest, SaysWhatTheFolderHoldsThatIsOfAnotherKind) {
  const ScratchDirectory dir;
  const auto why = [&](const std::string& before, const std::string& now) {
    RecordRecipe(dir.path(), before);
    return MessageOf([&] { CheckRecipe(dir.path(), now, false, {}); });
  };
  const std::string pretraining = "[model]\na = 1\n[train]\nb = 2\n",
                    sampling = "[sample]\nc = 3\n",
                    stages = "d = 4\n[[stage]]\ne = 5\n[stage.train]\nb = 2\n";
  EXPECT_EQ(why(pretraining, sampling),
            dir.path() +
                ": holds a pretraining run, by its recipe.toml, and cannot hold answers of "
                "a teacher; choose another folder");
  EXPECT_EQ(why(stages, pretraining),
            dir.path() +
                ": holds a run of several stages, by its recipe.toml, and cannot hold a "
                "pretraining run; choose another folder");
  EXPECT_EQ(why("[rl]\na = 1\n", "[finetune]\na = 1\n"),
            dir.path() +
                ": holds a run of reinforcement learning, by its recipe.toml, and cannot "
                "hold a fine-tuning run; choose another folder");
  EXPECT_EQ(why(stages, stages), "");
}

// What cannot be gone on with is not offered to be.
TEST(RefuseNewRunTest, OffersToResumeARunOfItsKindOnly) {
  const ScratchDirectory dir;
  const std::string pretraining = "[train]\nb = 2\n", sampling = "[sample]\nc = 3\n";
  EXPECT_THROW(RefuseNewRun(dir.path(), sampling), RunIsThere);  // of an older version
  RecordRecipe(dir.path(), pretraining);
  EXPECT_THROW(RefuseNewRun(dir.path(), pretraining), RunIsThere);
  EXPECT_TRUE(Says(MessageOf([&] { RefuseNewRun(dir.path(), sampling); }),
                   "holds a pretraining run, by its recipe.toml, and cannot hold answers of a "
                   "teacher; choose another folder"));
}

TEST(RecordRecipeTest, SaysWhoseRunDiffersAndWhere) {
  const ScratchDirectory dir;
  const auto record = [&](const std::string& toml, bool goes_on) {
    return MessageOf([&] {
      CheckRecipe(dir.path(), toml, goes_on, {});
      RecordRecipe(dir.path(), toml);
    });
  };
  const auto differs = [&](const char* whose, const char* then, const char* section,
                           const char* now) {
    return fmt::format(
        "{0}/recipe.toml: the run {1} with '{2}'{3}, now it is '{4}; go on with the run's own "
        "recipe, that file, or choose another run directory",
        dir.path(), whose, then, section, now);
  };
  EXPECT_EQ(record("a = 1\n[b]\nc = 2\n", false), "");
  EXPECT_EQ(record("a = 1\n[b]\nc = 2\n", false), "");
  EXPECT_EQ(record("a = 2\n[b]\nc = 2\n", true), differs("was started", "a = 1", "", "a = 2'"));
  EXPECT_EQ(record("a = 1\n[b]\nc = 3\n", false),
            differs("in this folder was started", "c = 2", " in [b]", "c = 3'"));
  EXPECT_EQ(MessageOf([&] {
              CheckRecipe(dir.path(), "a = 1\n[b]\nc = 3\n", true, {}, {}, {},
                          "a = 1\n[b]\nc = 3\n");
            }),
            differs("was started", "c = 2", " in [b]", "c = 3', the default"));
  const auto of_another_version = [&](const char* had) {
    return fmt::format(
        "{}/recipe.toml: the run was started by a version of this program whose recipes {} in [b]; "
        "go on with that version, or choose another run directory",
        dir.path(), had);
  };
  EXPECT_EQ(record("a = 1\n[b]\n", true), of_another_version("have 'c'"));
  EXPECT_EQ(record("a = 1\n[b]\nc = 2\nd = 4\n", true), of_another_version("have no 'd'"));
  EXPECT_EQ(record("a = 1\n[b]\nd = 4\n\n[e]\nc = 2\n", true), of_another_version("have no 'd'"));
  EXPECT_EQ(record("e = 1\n", true),
            dir.path() +
                "/recipe.toml: is no recipe of this program, so this is no run to go on with; "
                "choose another run directory");
  const ScratchDirectory other;
  other.Write("inputs.json", "{}");
  EXPECT_EQ(MessageOf([&] { CheckRecipe(other.path(), "a = 1\n", true, {}); }),
            other.path() +
                ": holds other files (inputs.json) and no recipe.toml, so it is no run to go on "
                "with; choose another run directory");
  // Under a name by which it cannot be opened before the run makes a folder.
  const std::string by_way =
      other / "new/../../" + other.path().substr(other.path().rfind('/') + 1);
  EXPECT_EQ(
      MessageOf([&] { CheckRecipe(by_way, "a = 1\n", false, {}); }),
      by_way + ": leads through a folder that does not exist; name " + other.path() + " itself");
  EXPECT_TRUE(Says(MessageOf([&] { RunLock lock(by_way); }), "leads through"));
  EXPECT_FALSE(FileExists(other / "new"));
}

TEST(RequireNoStepsBeyondTest, StepsWithoutCheckpointsAreNotThrownAway) {
  const ScratchDirectory dir;
  const auto message = [&](int64_t every) {
    return MessageOf([&] { RequireNoStepsBeyond(dir.path(), every); });
  };
  EXPECT_EQ(message(2), "");
  dir.Write("metrics.jsonl", "{\"step\":2}\n{\"step\":3}\n{\"step\":9}");
  EXPECT_EQ(message(2), "");  // another's file, which CheckRecipe refuses
  RecordRecipe(dir.path(), "a = 1\n");
  EXPECT_EQ(message(3), "");  // killed before the checkpoint of step 3 was whole
  EXPECT_EQ(message(2), dir.path() +
                            ": the run came to step 3, and its checkpoints are gone; bring them "
                            "back, or choose another run directory");
}

TEST(CheckRecipeTest, AFileMayMoveUnderItsName) {
  const ScratchDirectory dir;
  RecordRecipe(dir.path(), "[p]\nfile = \"./x.jsonl\"\nelse = \"./y\"\n");
  const auto refusal = [&](const std::string& file, const std::string& other) {
    const std::string toml = fmt::format("[p]\nfile = \"{}\"\nelse = \"{}\"\n", file, other);
    return MessageOf([&] { CheckRecipe(dir.path(), toml, true, {}, {}, {"p.file"}); });
  };
  EXPECT_EQ(refusal("x.jsonl", "./y"), "");
  EXPECT_EQ(refusal("/elsewhere/x.jsonl", "./y"), "");
  EXPECT_TRUE(Says(refusal("z.jsonl", "./y"), "with 'file = \"./x.jsonl\"' in [p], now"));
  EXPECT_TRUE(Says(refusal("", "./y"), "now it is 'file = \"\"'"));
  EXPECT_TRUE(Says(refusal("x.jsonl", "y"), "now it is 'else = \"y\"'"));
}

TEST(CheckRecipeTest, OnlyTheStepsFieldMayGrow) {
  const ScratchDirectory dir;
  RecordRecipe(dir.path(), "steps = 1\n[a]\nsteps = 5\nb = 2\n[c.a]\nsteps = 5\n");
  const auto check = [&](const std::string& toml) {
    return CheckRecipe(dir.path(), toml, true, {}, {{"a.steps", 5}, {"c.a.steps", 3}});
  };
  const auto refusal = [&](const std::string& toml) { return MessageOf([&] { check(toml); }); };
  EXPECT_TRUE(check("steps = 1\n[a]\nsteps = 5\nb = 2\n[c.a]\nsteps = 5\n").empty());
  const auto changes = check("steps = 1\n[a]\nsteps = 6\nb = 2\n[c.a]\nsteps = 4\n");
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].field + changes[0].before + changes[0].after, "a.steps56");
  EXPECT_EQ(changes[1].field + changes[1].before + changes[1].after, "c.a.steps54");
  EXPECT_EQ(refusal("steps = 1\n[a]\nsteps = 4\nb = 2\n[c.a]\nsteps = 5\n"),
            dir.path() +
                "/recipe.toml: a.steps was 5 and is now 4, but 5 steps are done; set it to more "
                "than that, or choose another run directory");
  EXPECT_TRUE(Says(refusal("steps = 1\n[a]\nsteps = 6\nb = 2\n[c.a]\nsteps = 3\n"),
                   "c.a.steps was 5 and is now 3, but 3 steps are done"));
  // Neither another section's field of that name nor another field beside it.
  EXPECT_TRUE(Says(refusal("steps = 2\n[a]\nsteps = 6\nb = 2\n[c.a]\nsteps = 5\n"),
                   "now it is 'steps = 2'"));
  EXPECT_TRUE(
      Says(refusal("steps = 1\n[a]\nsteps = 6\nb = 3\n[c.a]\nsteps = 5\n"), "now it is 'b = 3'"));
  // Checking writes nothing.
  EXPECT_TRUE(ReadFile(dir / "recipe.toml").starts_with("steps = 1\n[a]\nsteps = 5\n"));
}

TEST(RecordInputsTest, ARunThatGoesOnWithoutAListGetsOne) {
  const ScratchDirectory dir;
  const std::string path = dir / "run/inputs.json";
  const auto record = [&](uint64_t checksum) {
    return MessageOf([&] { RecordInputs(dir / "run", {{"data", checksum}}, /*goes_on=*/true); });
  };
  EXPECT_EQ(record(0xabc), "");
  EXPECT_EQ(ReadFile(path), "{\n \"data\": \"0000000000000abc\"\n}\n");
  EXPECT_EQ(record(0xabc), "");
  EXPECT_EQ(record(0xabd), path +
                               ": the run was started with another data; go on with what it was "
                               "started with, or choose another run directory");
}

TEST(RunLockTest, ASecondWriterIsRefusedWhileTheFirstIsAtWork) {
  const ScratchDirectory dir;
  const std::string run = dir / "run";
  const auto refusal = [&] { return MessageOf([&] { RunLock second(run); }); };
  {
    const RunLock first(run);
    EXPECT_EQ(refusal(), run +
                             ": another process is at work in it; wait for its end, or choose "
                             "another run directory");
  }
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace darkhorse
