#include "pipeline/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/chat_rows.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {
namespace {

// A teacher that answers parity problems by guessing, half of the time without tags.
class SamplingTest : public ReinforceTest {
 protected:
  static SampleRecipe Asking(int64_t problems) {
    SampleRecipe recipe;
    recipe.sample.tasks = {"parity:1"};
    recipe.sample.problems = problems;
    recipe.sample.samples = 4;
    recipe.sample.max_tokens = 14;
    recipe.sample.problems_at_once = 3;
    return recipe;
  }
  static SampleResult Sample(const SampleRecipe& recipe, const std::string& name,
                             bool resume = false, const SampleCallbacks& callbacks = {}) {
    return SampleAnswers(recipe, Base(), RunPath(name), resume, callbacks);
  }
  static std::string File(const std::string& name, const std::string& file) {
    return ReadFile(RunPath(name) + "/" + file);
  }
  static void ExpectSame(const std::string& a, const std::string& b) {
    for (const char* file :
         {"recipe.toml", "inputs.json", "samples.jsonl", "chats.jsonl", "README.md"})
      EXPECT_EQ(File(a, file), File(b, file)) << a << " and " << b << ": " << file;
  }
};

TEST_F(SamplingTest, KeepsWhatIsRightAsChats) {
  const SampleResult result = Sample(Asking(8), "all");
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.problems, 8);
  EXPECT_EQ(result.selection.answers, 32);
  EXPECT_GT(result.selection.kept, 0);
  EXPECT_LT(result.selection.kept, 32);
  int64_t chats = 0;
  ForEachChat({result.chats}, [&](const Chat& chat) {
    ++chats;
    ASSERT_EQ(chat.messages.size(), 2u);
    const std::string asked = chat.messages[0]["content"], said = chat.messages[1]["content"];
    EXPECT_FALSE(asked.ends_with("\n"));
    Problem problem = MakeProblem(FindTask("parity"), 1, 0, 1, Split::kTrain);
    bool found = false;  // among the training problems, with this answer
    for (uint64_t i = 0; i < 4000 && !found; ++i) {
      problem = MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain);
      found = problem.prompt == asked + "\n";
    }
    ASSERT_TRUE(found) << asked;
    EXPECT_TRUE(FindTask("parity").ScoreCompletion(said, problem).correct) << asked << said;
  });
  EXPECT_EQ(chats, result.selection.kept);
  const std::string card = File("all", "README.md");
  EXPECT_TRUE(card.starts_with("---\nconfigs:\n- config_name: default\n  data_files: chats.jsonl"));
  ExpectMessage(card,
                {"| problems | 8, of which", "| answers | 32, of which",
                 fmt::format("| chats | {} |", chats), "| base, fingerprint ", "max_tokens = 14"});
}

TEST_F(SamplingTest, HowManyAtOnceAndHowManySlotsChangeNothing) {
  SampleRecipe recipe = Asking(8);
  Sample(recipe, "some");
  recipe.sample.problems_at_once = 8;
  recipe.sample.slots = 5;
  Sample(recipe, "others");
  EXPECT_EQ(File("some", "samples.jsonl"), File("others", "samples.jsonl"));
  EXPECT_EQ(File("some", "chats.jsonl"), File("others", "chats.jsonl"));
  recipe.sample.seed = 2;
  Sample(recipe, "seed");
  EXPECT_NE(File("seed", "samples.jsonl"), File("others", "samples.jsonl"));
}

TEST_F(SamplingTest, StoppedOrKilledItGoesOnToTheSameBytes) {
  const SampleRecipe recipe = Asking(8);
  Sample(recipe, "whole");
  int64_t asked = 0;
  for (int64_t allowed : {0, 5, 20, 40}) {
    asked = 0;
    const SampleResult part =
        Sample(recipe, "parts", /*resume=*/true, {.stop = [&] { return asked++ >= allowed; }});
    EXPECT_FALSE(part.finished);
  }
  // What a kill leaves of a line.
  const std::string path = RunPath("parts") + "/samples.jsonl";
  const std::string kept = FileExists(path) ? ReadFile(path) : "";
  EXPECT_LT(std::ranges::count(kept, '\n'), 8);
  WriteFileAtomically(path, kept + File("whole", "samples.jsonl").substr(kept.size(), 50));
  EXPECT_TRUE(Sample(recipe, "parts", /*resume=*/true).finished);
  ExpectSame("parts", "whole");
  // A finished one stays what it is.
  EXPECT_TRUE(Sample(recipe, "parts", /*resume=*/true).finished);
  ExpectSame("parts", "whole");
}

// Its answers would be another problem's.
TEST_F(SamplingTest, ADamagedLineIsNotPassedOver) {
  Sample(Asking(4), "damaged");
  const std::string path = RunPath("damaged") + "/samples.jsonl";
  const std::string sound = ReadFile(path);
  const size_t second = sound.find('\n') + 1, third = sound.find('\n', second) + 1;
  for (const std::string& lines : {sound.substr(0, second) + "{\n" + sound.substr(third),
                                   sound.substr(0, second) + sound.substr(third)}) {
    WriteFileAtomically(path, lines);
    EXPECT_EQ(MessageOf([] { Sample(Asking(4), "damaged", /*resume=*/true); }),
              path + ":2: is damaged; sample anew, in another folder");
    EXPECT_EQ(ReadFile(path), lines);
  }
}

// Killed between its first files.
TEST_F(SamplingTest, TheRecipeIsThereFirst) {
  Sample(Asking(2), "first");
  for (const char* file : {"samples.jsonl", "chats.jsonl", "README.md", "inputs.json"})
    std::filesystem::remove(RunPath("first") + "/" + file);
  EXPECT_TRUE(Sample(Asking(2), "first", /*resume=*/true).finished);
}

TEST_F(SamplingTest, ItMayGrow) {
  Sample(Asking(8), "whole");
  Sample(Asking(4), "grown");
  int64_t asked = 0;
  Sample(Asking(8), "grown", /*resume=*/true, {.stop = [&] { return asked++ >= 5; }});
  EXPECT_FALSE(FileExists(RunPath("grown") + "/README.md"));  // it was of four problems
  EXPECT_TRUE(Sample(Asking(8), "grown", /*resume=*/true).finished);
  ExpectSame("grown", "whole");
  const std::string why = MessageOf([] { Sample(Asking(5), "grown", /*resume=*/true); });
  ExpectMessage(why, {"sample.problems was 8 and is now 5, but 8 steps are done"});
}

TEST_F(SamplingTest, RefusesWhatIsNotItsOwn) {
  Sample(Asking(2), "mine");
  ExpectMessage(MessageOf([] { Sample(Asking(2), "mine"); }), {"holds a run already"});
  SampleRecipe other = Asking(2);
  other.sample.keep = 1;
  ExpectMessage(MessageOf([&] { Sample(other, "mine", /*resume=*/true); }), {"keep"});
  const std::string model = *scratch_ / "other";
  std::filesystem::copy(Base(), model, std::filesystem::copy_options::recursive);
  std::string weights = ReadFile(model + "/model.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  WriteFileAtomically(model + "/model.safetensors", weights);
  std::filesystem::remove(model + "/checksums.json");
  ExpectMessage(
      MessageOf([&] { SampleAnswers(Asking(2), model, RunPath("mine"), /*resume=*/true, {}); }),
      {"another model"});
  // Files that some other program wrote.
  MakeDirectories(RunPath("theirs"));
  WriteFileAtomically(RunPath("theirs") + "/README.md", "mine\n");
  EXPECT_NE(MessageOf([] { Sample(Asking(2), "theirs"); }), "");
  EXPECT_EQ(File("theirs", "README.md"), "mine\n");
  EXPECT_FALSE(FileExists(RunPath("theirs") + "/samples.jsonl"));
}

TEST_F(SamplingTest, OfAFileTheRowsToLearnFromAreAskedOnce) {
  std::string rows;
  for (int i = 0; i < 40; ++i)
    rows += fmt::format("{{\"prompt\": \"{} {}?\", \"answer\": \"odd\"}}\n", i % 20, i % 20);
  const std::string file = RunPath("rows.jsonl");
  WriteFileAtomically(file, rows);
  SampleRecipe recipe = Asking(0);
  recipe.sample.tasks.clear();
  recipe.problems.file = file;
  recipe.problems.rule = "exact";
  recipe.problems.held_out_share = 0.3;
  std::string notes;
  const SampleResult result =
      Sample(recipe, "rows", false, {.on_note = [&](const std::string& n) { notes += n + "\n"; }});
  EXPECT_GT(result.problems, 5);
  EXPECT_LT(result.problems, 20);
  ExpectMessage(notes, {"held out"});
  recipe.sample.problems = 3;
  EXPECT_EQ(Sample(recipe, "three").problems, 3);
  // All that there are to learn from are not too few, where no row comes twice.
  WriteFileAtomically(file, rows.substr(0, rows.size() / 2));
  recipe.sample.problems = 0;
  notes.clear();
  Sample(recipe, "distinct", false, {.on_note = [&](const std::string& n) { notes += n + "\n"; }});
  EXPECT_EQ(notes.find("were asked for"), notes.npos) << notes;
}

}  // namespace
}  // namespace darkhorse
