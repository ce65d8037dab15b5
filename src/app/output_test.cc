#include "app/output.h"

#include <gtest/gtest.h>

#include <cmath>

#include "app/bench_sampling.h"
#include "app/evaluate.h"
#include "app/run.h"
#include "base/utf8.h"

namespace darkhorse {
namespace {

TEST(ResultText, ForPeopleAlignsNamesAndIndentsParts) {
  const Json result{{"model", "m"},
                    {"loss", 1.23456},
                    {"parts", {{"answer", 1}, {"form", true}}},
                    {"tasks", {{{"task", "a"}, {"rate", 0.5}}, {{"task", "b"}}}},
                    {"sizes", {1, 2}},
                    {"none", Json::array()}};
  EXPECT_EQ(ResultText(result, false),
            "model  m\n"
            "loss   1.235\n"
            "parts\n"
            "  answer  1\n"
            "  form    true\n"
            "tasks 1\n"
            "  task  a\n"
            "  rate  0.5\n"
            "tasks 2\n"
            "  task  b\n"
            "sizes  [1, 2]\n"
            "none   []\n");
}

TEST(ResultText, AsJsonIsOneLineAndValidUtf8) {
  EXPECT_EQ(ResultText({{"b", 1}, {"a", {{"x", 0.5}}}}, true), "{\"b\":1,\"a\":{\"x\":0.5}}\n");
  EXPECT_EQ(ResultText({{"a", "x\xFFy"}}, true), "{\"a\":\"x\xEF\xBF\xBDy\"}\n");
}

TEST(FirstColumns, LeavesTheCursorItsPlace) {
  EXPECT_EQ(FirstColumns("abcdef", 7), "abcdef");
  EXPECT_EQ(FirstColumns("abcdef", 6), "abcde");
  EXPECT_EQ(FirstColumns("abcdef", 1), "");
  EXPECT_EQ(FirstColumns("", 5), "");
  EXPECT_EQ(FirstColumns("a·é…b", 4), "a·é");  // characters, not bytes
  EXPECT_EQ(FirstColumns("a·é…b", 5), "a·é…");
}

TEST(FirstItems, NoneIsCutButTheFirst) {
  EXPECT_EQ(FirstItems("ab · cde · f", 13), "ab · cde · f");
  EXPECT_EQ(FirstItems("ab · cde · f", 12), "ab · cde");
  EXPECT_EQ(FirstItems("ab · cde · f", 9), "ab · cde");
  EXPECT_EQ(FirstItems("ab · cde · f", 8), "ab");
  EXPECT_EQ(FirstItems("ab · cde · f", 2), "a");
  EXPECT_EQ(FirstItems("", 5), "");
}

// stderr is no terminal in a test.
TEST(StatusLine, PrintsTheFirstAtOnceAndTheLastAtItsEnd) {
  testing::internal::CaptureStderr();
  {
    StatusLine status;
    status.Show("one");
    status.Show("two");
    status.Show("three");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "one\nthree\n");
  testing::internal::CaptureStderr();
  { StatusLine nothing; }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(StatusLine, PrintsAnewAfterTenSeconds) {
  double now = 0;
  testing::internal::CaptureStderr();
  {
    StatusLine status([&] { return now; });
    status.Show("at once");
    now = 9.999;
    status.Show("too soon");
    now = 10;
    status.Show("after ten");
    now = 20;
    status.Show("after twenty");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "at once\nafter ten\nafter twenty\n");
}

TEST(StatusLine, IsALineWithoutControls) {
  testing::internal::CaptureStderr();
  { StatusLine().Show("a\x1b[31mb\rc"); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "a\\x1b[31mb\\x0dc\n");
}

TEST(ResultText, SpellsControlsOutForPeopleOnly) {
  const Json result = {{"why\x1b[2J", "a\x1b[31m\u202E"}};
  EXPECT_EQ(ResultText(result, false), "why\\x1b[2J  a\\x1b[31m\\u202e\n");
  EXPECT_EQ(Json::parse(ResultText(result, true)), result);
}

TEST(Note, IsALineWithoutControls) {
  testing::internal::CaptureStderr();
  Note("a\x1b[31mb");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text, "darkhorse: a\\x1b[31mb\n");
}

TEST(DescribeLoss, PerplexityIsEToTheLoss) {
  const Json json = DescribeLoss("data/val.bin", {.loss = 2, .tokens = 37});
  EXPECT_EQ(json["shard"], "data/val.bin");
  EXPECT_EQ(json["loss"], 2.0);
  EXPECT_NEAR(json["perplexity"].get<double>(), 7.38905609893065, 1e-14);
  EXPECT_EQ(json["tokens"], 37);
}

TEST(RunForPeople, ComparesEachTasksFigures) {
  const auto scores = [](double one, double two) {
    return Json::array({{{"task", "a"},
                         {"level", 1},
                         {"problems", 4},
                         {"samples", 4},
                         {"pass@1", one},
                         {"pass@1_ci95", {0.125, 0.5625}},
                         {"pass@2", 0.5},
                         {"pass@4", 1.0}},
                        {{"task", "b"}, {"pass@1", two}, {"only", 0.5}}});
  };
  Json after = scores(0.5, 0.75);
  after[1].erase("only");
  const Json shown =
      RunForPeople({{"run", "r"},
                    {"scores", {{"base", scores(0.25, 0.125)}, {"reinforced", after}}},
                    {"model", "r/m"},
                    {"finished", true}},
                   "./prog");
  EXPECT_EQ(shown, (Json{{"run", "r"},
                         {"model", "r/m"},
                         {"finished", true},
                         {"base -> reinforced",
                          {{"a level 1",
                            {{"pass@1", "0.250 (0.125–0.562) -> 0.500 (0.125–0.562)"},
                             {"pass@4", "1.000 -> 1.000"}}},
                           {"b", {{"pass@1", "0.125 -> 0.750"}}}}},
                         {"ask it", "./prog chat --model r/m"}}));
  // Stopped before there is something to compare, or with more than two to.
  const Json brief = {{"a level 1", "pass@1 0.000 (0.125–0.562)"}, {"b", "pass@1 0.250"}};
  EXPECT_EQ(
      RunForPeople({{"run", "r"},
                    {"scores", {{"base", scores(0, 0.25)}}},
                    {"model", "r/m"},
                    {"finished", false}},
                   "./prog"),
      (Json{{"run", "r"}, {"scores", {{"base", brief}}}, {"model", "r/m"}, {"finished", false}}));
  const Json other = {{{"task", "c"}, {"pass@1", 0.5}}};
  EXPECT_EQ(
      RunForPeople({{"scores", {{"x", scores(0, 0.25)}, {"y", other}}}, {"finished", false}},
                   "./prog"),
      (Json{{"scores", {{"x", brief}, {"y", {{"c", "pass@1 0.500"}}}}}, {"finished", false}}));
  const Json three = {{"x", scores(0, 0.25)}, {"y", scores(0, 0.25)}, {"z", scores(0, 0.25)}};
  EXPECT_EQ(RunForPeople({{"scores", three}, {"finished", false}}, "./prog"),
            (Json{{"scores", {{"x", brief}, {"y", brief}, {"z", brief}}}, {"finished", false}}));
}

TEST(ShownThought, IsAsLongAsItCanBeRead) {
  EXPECT_EQ(ShownThought("<think>2 × 3\n</think>"), "<think>2 × 3\n</think>");
  const std::string long_one = ShownThought(std::string(3000, 'a'));
  EXPECT_EQ(long_one, std::string(2000, 'a') + "… (3000 bytes in all)");
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += "\xff\x01";
  std::string spelt;
  for (int i = 0; i < 25; ++i) spelt += "\\xff\\x01";
  EXPECT_EQ(ShownThought(bytes), spelt + "… (200 bytes in all)");
  // Cut between characters.
  std::string wide = "a";
  for (int i = 0; i < 1500; ++i) wide += "×";
  EXPECT_TRUE(IsValidUtf8(ShownThought(wide)));
}

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(Median({7}), 7);
  EXPECT_EQ(Median({5, 1, 3}), 3);
  EXPECT_EQ(Median({9, 1, 8, 2, 7}), 7);
  EXPECT_EQ(Median({4, 1, 3, 2}), 3);  // the upper one of two
}

}  // namespace
}  // namespace darkhorse
