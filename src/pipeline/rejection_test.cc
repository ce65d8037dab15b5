#include "pipeline/rejection.h"

#include <gtest/gtest.h>

#include "base/fields_testing.h"
#include "base/file.h"
#include "base/json.h"
#include "base/scratch_testing.h"
#include "rl/log.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

TEST(SampleRecipe, ListsAreWhole) {
  EXPECT_TRUE(ListsEveryMember<SampleOptions>());
  EXPECT_TRUE(ListsEveryMember<SampleRecipe>());
}

TEST(SampleRecipe, RefusesWhatCannotBe) {
  const auto refused = [](const std::string& field) {
    SampleRecipe recipe;
    recipe.sample.tasks = {"sum:1"};
    SetField(FieldsOf(recipe), field);
    return MessageOf([&] { Validate(recipe); });
  };
  EXPECT_EQ(refused("sample.seed=2"), "");
  EXPECT_EQ(refused("sample.samples=0"), "sample.samples is 0; it must be from 1 to 2^31");
  EXPECT_NE(refused("sample.min_length=-1"), "");
  EXPECT_NE(refused("sample.script_share=1.5"), "");
  EXPECT_NE(refused("sample.temperature=-1"), "");
  EXPECT_NE(refused("sample.top_p=0"), "");
  EXPECT_NE(refused("sample.weights=f16"), "");
  EXPECT_NE(refused("sample.tasks=summ:1"), "");
  EXPECT_NE(refused("problems.rule=exact"), "");
  EXPECT_NE(refused("sample.tasks=[]").find("nothing to ask"), std::string::npos);
  SampleRecipe both;
  both.sample.tasks = {"sum:1"};
  both.problems.file = "p.jsonl";
  EXPECT_NE(MessageOf([&] { Validate(both); }).find("at once"), std::string::npos);
  SampleRecipe empty_range;
  empty_range.sample.tasks = {"sum:1"};
  empty_range.sample.min_length = 3;
  empty_range.sample.max_length = 2;
  EXPECT_NE(MessageOf([&] { Validate(empty_range); }).find("sample.max_length is 2, below"),
            std::string::npos);
}

TEST(IsReadable, ThoughtsAreClosedAndSomethingIsSaid) {
  for (const char* text : {"5", "<think>a</think>5", "<think></think> 5", "a <think> b"})
    EXPECT_TRUE(IsReadable(text)) << text;
  for (const char* text : {"", " \n", "<think>5", "<think>5</think>", "\xff", "5 \xe4\xbd"})
    EXPECT_FALSE(IsReadable(text)) << text;
}

// A right answer of 40 tokens.
WrittenAnswer Right(const std::string& text) {
  return {.text = text,
          .tokens = 40,
          .score = {.value = 1, .correct = true, .parts = {{"answer", 1}, {"script", 1}}}};
}

class SelectAnswersTest : public testing::Test {
 protected:
  SelectAnswersTest() {
    recipe_.sample.min_length = 10;
    recipe_.sample.max_length = 50;
    recipe_.sample.seed = 7;
    problem_.task = "sums";
    problem_.level = 0;
    problem_.prompt = "2+3?\n";
    problem_.answer = "5";
  }

  Selection Select(const std::vector<std::vector<WrittenAnswer>>& problems) {
    std::string lines;
    int64_t step = 0;
    for (const auto& answers : problems)
      lines += JsonLine(AnswersLine(++step, problem_, asked_, answers)) + "\n";
    WriteFileAtomically(scratch_ / "samples.jsonl", lines);
    const Selection selection =
        SelectAnswers(recipe_, scratch_ / "samples.jsonl", scratch_ / "chats.jsonl");
    const std::string text = ReadFile(scratch_ / "chats.jsonl");
    rows_.clear();
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1)
      rows_.push_back(*TryParseJson<Json>(text.substr(begin, end - begin)));
    return selection;
  }
  Selection SelectOne(const WrittenAnswer& sample) { return Select({{sample}}); }
  std::string Said(size_t row) const { return rows_[row]["messages"].back()["content"]; }

  ScratchDirectory scratch_;
  SampleRecipe recipe_;
  Problem problem_;
  const Json asked_ = Json::array({{{"role", "user"}, {"content", "2+3? Think."}}});
  std::vector<Json> rows_;
};

TEST_F(SelectAnswersTest, ARowIsAChatWithItsOrigin) {
  EXPECT_EQ(SelectOne(Right("<think>2</think>5")).kept, 1);
  ASSERT_EQ(rows_.size(), 1u);
  EXPECT_EQ(rows_[0].dump(),
            R"({"messages":[{"role":"user","content":"2+3? Think."},)"
            R"({"role":"assistant","content":"<think>2</think>5"}],)"
            R"("problem":"2+3?","answer":"5","task":"sums","reward":1.0,"tokens":40,)"
            R"("seed":7,"number":1,"sample":0})");
}

TEST_F(SelectAnswersTest, EachReasonIsCountedAloneAndOnce) {
  const auto rejects = [&](int64_t Rejections::*reason, auto&& spoil) {
    WrittenAnswer sample = Right("5");
    spoil(sample);
    const Selection selection = SelectOne(sample);
    EXPECT_EQ(selection.kept, 0);
    EXPECT_EQ(selection.covered, 0);
    EXPECT_TRUE(rows_.empty());
    EXPECT_EQ(selection.rejected.*reason, 1);
    return selection.right;
  };
  EXPECT_EQ(rejects(&Rejections::unscored, [](WrittenAnswer& s) { s.score.failed = true; }), 0);
  EXPECT_EQ(rejects(&Rejections::wrong, [](WrittenAnswer& s) { s.score.correct = false; }), 0);
  EXPECT_EQ(rejects(&Rejections::cut_off, [](WrittenAnswer& s) { s.truncated = true; }), 1);
  EXPECT_EQ(rejects(&Rejections::unreadable, [](WrittenAnswer& s) { s.text = "<think>5"; }), 1);
  EXPECT_EQ(rejects(&Rejections::too_short, [](WrittenAnswer& s) { s.tokens = 9; }), 1);
  EXPECT_EQ(rejects(&Rejections::too_long, [](WrittenAnswer& s) { s.tokens = 51; }), 1);
  EXPECT_EQ(
      rejects(&Rejections::other_script, [](WrittenAnswer& s) { s.score.parts[1].second = 0.9; }),
      1);
  recipe_.sample.max_length = 0;
  EXPECT_EQ(rejects(&Rejections::unreadable, [](WrittenAnswer& s) { s.repeats = true; }), 1);
  WrittenAnswer at_the_bounds = Right("5");
  at_the_bounds.tokens = 10;
  EXPECT_EQ(SelectOne(at_the_bounds).kept, 1);
}

TEST_F(SelectAnswersTest, StrictnessAsksForThePlace) {
  WrittenAnswer elsewhere = Right("5");
  elsewhere.score.correct = false;
  elsewhere.score.lenient = LenientScore{.correct = true};
  EXPECT_EQ(SelectOne(elsewhere).rejected.wrong, 1);
  recipe_.sample.strict = false;
  EXPECT_EQ(SelectOne(elsewhere).kept, 1);
  elsewhere.score.lenient->correct = false;
  EXPECT_EQ(SelectOne(elsewhere).rejected.wrong, 1);
}

TEST_F(SelectAnswersTest, TheFirstDifferentOnesOfEachProblemAreKept) {
  WrittenAnswer wrong = Right("x");
  wrong.score.correct = false;
  const Selection s =
      Select({{wrong, Right("a"), Right("a "), Right("b"), Right("c")}, {wrong}, {Right("a")}});
  EXPECT_EQ(s.problems, 3);
  EXPECT_EQ(s.solved, 2);
  EXPECT_EQ(s.covered, 2);
  EXPECT_EQ(s.answers, 7);
  EXPECT_EQ(s.right, 5);
  EXPECT_EQ(s.kept, 3);
  EXPECT_EQ(s.tokens, 120);
  EXPECT_EQ(s.shortest, 40);
  EXPECT_EQ(s.longest, 40);
  EXPECT_EQ(s.rejected.repeated, 1);
  EXPECT_EQ(s.rejected.surplus, 1);
  ASSERT_EQ(rows_.size(), 3u);
  EXPECT_EQ(Said(0), "a");
  EXPECT_EQ(Said(1), "b");
  EXPECT_EQ(rows_[1]["sample"], 3);
  EXPECT_EQ(rows_[2]["number"], 3);
}

TEST_F(SelectAnswersTest, ADamagedLineIsNamed) {
  for (const char* line : {"{}\n", "no\n", "[]\n", "{\"samples\": [{}]}\n"}) {
    WriteFileAtomically(scratch_ / "s.jsonl", line);
    EXPECT_EQ(MessageOf([&] { SelectAnswers(recipe_, scratch_ / "s.jsonl", scratch_ / "c"); }),
              std::string(scratch_ / "s.jsonl") + ":1: is damaged; sample anew, in another folder");
    EXPECT_FALSE(FileExists(scratch_ / "c"));
  }
}

}  // namespace
}  // namespace darkhorse
