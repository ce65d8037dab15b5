#include "report/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "base/scratch_testing.h"
#include "report/parts.h"
#include "report/reinforcement.h"

namespace darkhorse {
namespace {

using Rows = std::vector<std::vector<std::string>>;

// What the groups of `pattern` hold, a row per match.
Rows Matches(const std::string& page, const std::string& pattern) {
  Rows rows;
  const std::regex regex(pattern);
  for (std::sregex_iterator match(page.begin(), page.end(), regex), end; match != end; ++match)
    rows.emplace_back(std::next(match->begin()), match->end());
  return rows;
}

Rows Tiles(const std::string& page) {
  return Matches(page, "<div class=\"tile\"><b>([^<]*)</b><span>([^<]*)</span>");
}

// The cells of the rows whose first cell is `first`.
Rows RowsOf(const std::string& page, const std::string& first) {
  Rows rows;
  for (const auto& row : Matches(page, "<tr>((?:<t[dh]>[^<]*</t[dh]>)*)</tr>")) {
    std::vector<std::string> cells;
    for (const auto& cell : Matches(row[0], "<t[dh]>([^<]*)<")) cells.push_back(cell[0]);
    if (!cells.empty() && cells[0] == first) rows.push_back(cells);
  }
  return rows;
}

RunRecord Timed(int steps, double seconds, double flops, int threads) {
  RunRecord run;
  for (int step = 1; step <= steps; ++step) {
    run.metrics.push_back({{"step", step}, {"loss", 1.0}});
    run.timings.push_back(
        {{"step", step}, {"seconds", seconds}, {"flops", flops}, {"threads", threads}});
  }
  return run;
}

Json Scores(double right) {
  return {{"task", "sum"},          {"level", 1},
          {"problems", 64},         {"samples", 4},
          {"pass@1", right},        {"pass@1_ci95", {right - 0.05, right + 0.05}},
          {"pass@4", right + 0.1},  {"pass@4_ci95", {right + 0.06, right + 0.14}},
          {"maj@4", right + 0.2},   {"format_rate", 0.9},
          {"truncated_rate", 0.15}, {"mean_length", 100 * right}};
}

TEST(ReportPage, WhatStagesCost) {
  ReportData data;
  data.pretraining = Timed(30, 60, 2e9, 2);     // half an hour on 2 threads
  data.reinforcement = Timed(10, 30, 5e12, 4);  // 5 minutes on 4 threads
  const std::string page = ReportPage(data, {.price_per_core_hour = 3});
  // Core-hours: 0.5 * 2 = 1 and 300 * 4 / 3600.
  EXPECT_EQ(RowsOf(page, "pretraining"),
            (Rows{{"pretraining", "30", "60 GFLOP", "30:00", "0.0", "1.0000", "$3.00"}}));
  EXPECT_EQ(RowsOf(page, "reinforcement"),
            (Rows{{"reinforcement", "10", "50 TFLOP", "5:00", "166.7", "0.3333", "$1.00"}}));
  EXPECT_EQ(RowsOf(page, "both"),
            (Rows{{"both", "", "50.1 TFLOP", "35:00", "23.8", "1.3333", "$4.00"}}));
  EXPECT_EQ(Tiles(page),
            (Rows{{"1.000 → 1.000", "training loss of the base, nats a token (step 1 → 30)"},
                  {"2.718 → 2.718", "perplexity, e to the training loss (step 1 → 30)"},
                  {"35:00", "training time"},
                  {"$4.00", "cost"}}));
  // What was measured before the first step costs time and is no step.
  data.reinforcement.timings.push_back(
      Json{{"step", 0}, {"seconds", 60}, {"flops", 0}, {"threads", 4}});
  EXPECT_EQ(RowsOf(ReportPage(data, {}), "reinforcement")[0][1], "10");
  EXPECT_EQ(RowsOf(ReportPage(data, {}), "reinforcement")[0][3], "6:00");
  EXPECT_TRUE(Matches(ReportPage(data, {}), "(tail)").empty());
  for (Json& line : data.reinforcement.timings) {
    line["sample_seconds"] = 12;
    line["tail_seconds"] = 3;
  }
  // 11 lines, 360 seconds.
  EXPECT_EQ(Matches(ReportPage(data, {}), "(37 % was sampling, and 9 % its tail)").size(), 1u);
  data.reinforcement = {};
  const auto operations = [&](double flops) {
    data.pretraining = Timed(1, 60, flops, 2);
    return RowsOf(ReportPage(data, {}), "pretraining")[0][2];
  };
  EXPECT_EQ(operations(1e9), "1 GFLOP");
  EXPECT_EQ(operations(1e18), "1 EFLOP");
  data.pretraining = Timed(30, 60, 2e9, 2);
  EXPECT_TRUE(RowsOf(ReportPage(data, {}), "both").empty());
  EXPECT_EQ(RowsOf(ReportPage(data, {}), "pretraining")[0].back(), "5 cents");
}

TEST(ReportPage, TilesCompareBeforeAndAfter) {
  ReportData data;
  data.pretraining.metrics = {{{"step", 1}, {"validation_loss", 3.0}, {"tokens", 1000}},
                              {{"step", 2}, {"validation_loss", 1.2345}, {"tokens", 2000}},
                              {{"step", 3}}};
  data.before = {"base", Json::array({Scores(0.25), Scores(0.35)})};
  data.after = {"reinforced", Json::array({Scores(0.5), Scores(0.6)})};
  EXPECT_EQ(Tiles(ReportPage(data, {})),
            (Rows{{"30.0 % → 55.0 %", "held-out pass@1 (base → reinforced)"},
                  {"30 → 55", "mean length of a response, tokens (base → reinforced)"},
                  {"3.000 → 1.234", "held-out loss of the base, nats a token (step 1 → 2)"},
                  {"20.09 → 3.437", "perplexity, e to the held-out loss (step 1 → 2)"}}));
  data.before = {};
  EXPECT_EQ(Tiles(ReportPage(data, {})).at(0),
            (std::vector<std::string>{"55.0 %", "held-out pass@1 (reinforced)"}));
  EXPECT_EQ(Matches(ReportPage(data, {}), "(3 steps, 2k tokens\\.)").size(), 1u);
}

TEST(ReportPage, ShowsWhatThePretrainedModelWrites) {
  ScratchDirectory scratch;
  scratch.Write("metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  const auto page = [&] { return ReportPage(ReadReportData(scratch.path(), {}), {}); };
  EXPECT_EQ(Matches(page(), "(from nothing)").size(), 0u);
  scratch.Write("sample.txt", "a < b\xff");
  EXPECT_EQ(Matches(page(), "from nothing at the end, not chosen:</p>\n<pre>([^<]*)</pre>"),
            (Rows{{"a &lt; b\uFFFD"}}));
}

// What the run began with stands beside what it ended with, as far as it was measured.
TEST(ReportPage, TilesShowWhereTrainingBegan) {
  ReportData data;
  data.pretraining.metrics = {{{"step", 1}, {"loss", 5.5}},
                              {{"step", 2}, {"loss", 2.5}, {"validation_loss", 2.0}}};
  EXPECT_EQ(Tiles(ReportPage(data, {})), (Rows{{"2.000", "held-out loss of the base, nats a token"},
                                               {"7.389", "perplexity, e to the held-out loss"},
                                               {"5.500 → 2.500", "training loss (step 1 → 2)"}}));
  data = {};
  data.reinforcement.metrics = {{{"step", 1}, {"reward", 0}, {"accuracy", 0.25}},
                                {{"step", 2}, {"reward", 0}, {"accuracy", 0.5}}};
  EXPECT_EQ(Tiles(ReportPage(data, {})),
            (Rows{{"25.0 % → 50.0 %", "accuracy in training (step 1 → 2)"}}));
}

// Reinforcement may measure the model before its first step, in a line that has nothing else.
TEST(ReportPage, FineTuningIsCalledSo) {
  ReportData data;
  data.pretraining = Timed(2, 60, 2e9, 2);
  data.pretraining.metrics.insert(data.pretraining.metrics.begin(),
                                  Json{{"step", 0}, {"validation_loss", 3.0}});
  data.pretraining.metrics.back()["validation_loss"] = 2.0;
  data.pretraining.recipe = "[optimizer]\nbeta1 = 0.9\n\n[finetune]\nsteps = 2\n";
  const std::string page = ReportPage(data, {});
  EXPECT_EQ(Tiles(page).at(0), (std::vector<std::string>{
                                   "3.000 → 2.000", "held-out loss, nats a token (step 0 → 2)"}));
  EXPECT_EQ(Matches(page, "(<h2>Fine-tuning</h2>)").size(), 1u);
  EXPECT_EQ(Matches(page, "(Supervised fine-tuning on chats\\.)").size(), 1u);
  EXPECT_EQ(RowsOf(page, "fine-tuning").size(), 1u);
  EXPECT_EQ(Matches(page, "([Pp]retraining)").size(), 0u);
}

TEST(ReportPage, AnEvaluationBeforeTheFirstStepIsTheStart) {
  ScratchDirectory scratch;
  const auto line = [](int step, double right) {
    return Json{{"step", step}, {"evaluation", Json::array({Scores(right)})}};
  };
  Json last = line(2, 0.5);
  last.update({{"reward", 1}, {"curriculum/sum:1/share", 1}, {"curriculum/sum:1/success", 0.5}});
  const Json first{{"step", 1},
                   {"reward", 0},
                   {"curriculum/sum:1/share", 1},
                   {"curriculum/sum:1/success", 0.25}};
  scratch.Write("metrics.jsonl", line(0, 0.25).dump() + "\n");
  EXPECT_TRUE(ReadReportData(scratch.path(), {}).reinforcement.present());
  scratch.Write("metrics.jsonl",
                line(0, 0.25).dump() + "\n" + first.dump() + "\n" + last.dump() + "\n");
  const ReportData data = ReadReportData(scratch.path(), {});
  ASSERT_TRUE(data.reinforcement.present());
  const std::string page = ReportPage(data, {});
  EXPECT_EQ(Tiles(page), (Rows{{"25.0 % → 50.0 %", "held-out pass@1 (at the start → after step 2)"},
                               {"25 → 50",
                                "mean length of a response, tokens (at the start → after "
                                "step 2)"}}));
  EXPECT_EQ(RowsOf(page, "at the start").size(), 1u);
  EXPECT_EQ(Matches(page, "(\\d+) steps\\. Points"), (Rows{{"2"}}));
  EXPECT_EQ(RowsOf(page, "sum:1"), (Rows{{"sum:1", "25.0 %", "50.0 %", "100.0 %", "100.0 %"}}));
  const Series held_out = ReinforcementCharts(data.reinforcement).at(0).chart.series.at(1);
  ASSERT_EQ(held_out.points.size(), 2u);
  EXPECT_EQ(held_out.points[0].x, 0);
  EXPECT_EQ(held_out.points[0].y, 0.25);
}

TEST(ReportPage, HeldOutTableHasEachColumnsFigure) {
  ReportData data;
  data.reinforcement.metrics = {{{"step", 1}, {"reward", 0}}};
  data.before = {"base", Json::array({Scores(0.25)})};
  data.after = {"reinforced", Json::array({Scores(0.5)})};
  const std::string page = ReportPage(data, {});
  EXPECT_EQ(RowsOf(page, "sum level 1"),
            (Rows{{"sum level 1", "pass@1", "pass@4", "maj@4", "right form", "cut off",
                   "mean length", "problems"}}));
  EXPECT_EQ(RowsOf(page, "base"), (Rows{{"base", "25.0 % (20.0–30.0)", "35.0 % (31.0–39.0)",
                                         "45.0 %", "90.0 %", "15.0 %", "25.0", "64"}}));
  EXPECT_EQ(RowsOf(page, "reinforced"),
            (Rows{{"reinforced", "50.0 % (45.0–55.0)", "60.0 % (56.0–64.0)", "70.0 %", "90.0 %",
                   "15.0 %", "50.0", "64"}}));
}

TEST(ReportPage, ExpertsLoadIsRelativeToAnEvenOne) {
  ReportData data;
  data.pretraining.metrics = {{{"step", 1}, {"expert_load", {{1, 1, 1, 1}, {1, 1, 1, 1}}}},
                              {{"step", 2}, {"expert_load", {{10, 30, 20, 20}, {0, 0, 0, 0}}}},
                              {{"step", 3}}};
  const std::string page = ReportPage(data, {});
  EXPECT_EQ(Matches(page, "MoE layer (\\d), expert (\\d): ([0-9.]+) of"),
            (Rows{{"1", "0", "0.50"},
                  {"1", "1", "1.50"},
                  {"1", "2", "1.00"},
                  {"1", "3", "1.00"},
                  {"2", "0", "0.00"},
                  {"2", "1", "0.00"},
                  {"2", "2", "0.00"},
                  {"2", "3", "0.00"}}));
  EXPECT_EQ(Matches(page, "received in step (\\d)"), (Rows{{"2"}}));
}

TEST(ReportPage, SaysWhatRecipesMean) {
  ReportData data;
  data.recipe = "whole";
  data.pretraining.recipe = "base";
  data.pretraining.metrics = {{{"step", 1}, {"loss", 1.0}}};
  ReportOptions options;
  options.describe_model = [](const std::string& toml) { return "a model <" + toml + ">"; };
  options.describe_corpus = [](const std::string& toml) { return "a corpus <" + toml + ">"; };
  const std::string page = ReportPage(data, options);
  EXPECT_EQ(Matches(page, "A pretraining run\\. (a model &lt;base&gt;)</p>").size(), 1u);
  EXPECT_EQ(Matches(page, "<p class=\"soft\">(a corpus &lt;whole&gt;)</p>").size(), 1u);
  EXPECT_EQ(Matches(page, "<summary>Recipe of the run</summary><pre>(whole)<").size(), 1u);
  EXPECT_EQ(Matches(page, "<summary>Recipe of pretraining</summary><pre>(base)<").size(), 1u);
  data.recipe = data.pretraining.recipe = "";
  EXPECT_EQ(ReportPage(data, options).find("a model"), std::string::npos);
}

TEST(ReinforcementSections, ProbeWarningsAndCurriculum) {
  RunRecord run;
  run.metrics = {{{"step", 0}, {"evaluation", {{{"task", "gcd"}, {"pass@1", 0.5}}}}},
                 {{"step", 1},
                  {"reward", 0},
                  {"sampling/logp_gap_max", 0.25},
                  {"curriculum/gcd:1/share", 0.5},
                  {"curriculum/gcd:1/success", 0.125}},
                 {{"step", 2},
                  {"reward", 0},
                  {"sampling/logp_gap_max", 0.125},
                  {"warnings", {{{"text", "entropy <is> low"}}}},
                  {"stopped", "solved"},
                  {"curriculum/gcd:1/share", 0.25},
                  {"curriculum/gcd:1/success", 0.75}}};
  run.probe = {{"findings", {"nothing to learn"}},
               {"parts",
                {{{"name", "gcd:1"},
                  {"problems", 16},
                  {"pass@1", 0.125},
                  {"format_rate", 0.75},
                  {"truncated_rate", 0.5},
                  {"mean_length", 33},
                  {"signal_groups", 7}}}}};
  const std::string page = ReinforcementSections(run);
  EXPECT_EQ(RowsOf(page, "gcd:1"), (Rows{{"gcd:1", "16", "12.5 %", "75.0 %", "50.0 %", "33", "7"},
                                         {"gcd:1", "12.5 %", "75.0 %", "50.0 %", "25.0 %"}}));
  EXPECT_EQ(Matches(page, "<p class=\"bad\">([^<]*)<"),
            (Rows{{"nothing to learn"},
                  {"After step 2: entropy &lt;is&gt; low"},
                  {"After step 2: the run ended: solved"}}));
  EXPECT_EQ(Matches(page, "trained on: ([0-9.]+)\\."), (Rows{{"0.25"}}));
  EXPECT_EQ(Matches(page, "(\\d+) steps\\."), (Rows{{"2"}}));
  EXPECT_EQ(ReinforcementSections({}), "");
}

Json Sample(int step, double reward, const std::string& completion) {
  return {{"step", step},
          {"reward", reward},
          {"why", "why"},
          {"prompt", "p?"},
          {"completion", completion}};
}

TEST(ReinforcementSections, ThoughtsAreEvenlySpacedOverTheRun) {
  RunRecord run;
  run.metrics = {{{"step", 1}, {"reward", 0}}};
  for (int step = 1; step <= 15; ++step) run.samples.push_back(Sample(step, 0.1, "x"));
  EXPECT_EQ(Matches(ReinforcementSections(run), "<b>Step (\\d+)</b>"),
            (Rows{{"1"}, {"3"}, {"5"}, {"7"}, {"9"}, {"11"}, {"13"}, {"15"}}));
  run.samples.resize(1);
  EXPECT_EQ(Matches(ReinforcementSections(run), "<b>Step (\\d+)</b>"), (Rows{{"1"}}));
}

TEST(ReinforcementSections, TheThinkingIsDimmedAndLongOnesAreCut) {
  RunRecord run;
  run.metrics = {{{"step", 1}, {"reward", 0}}};
  run.samples = {Sample(1, 1, "a<think>b</think>c"), Sample(2, 0.99, "<think>never ends"),
                 Sample(3, 0, std::string(6001, 'x')), Sample(4, 0, std::string(6000, 'y'))};
  const std::string page = ReinforcementSections(run);
  EXPECT_EQ(Matches(page, "<span class=\"(good|bad)\">reward ([0-9.]+)<"),
            (Rows{{"good", "1.00"}, {"bad", "0.99"}, {"bad", "0.00"}, {"bad", "0.00"}}));
  EXPECT_EQ(Matches(page,
                    "<span class=\"prompt\">p\\?</span>(a<span class=\"think\">&lt;think&gt;b"
                    "&lt;/think&gt;</span>c)</pre>")
                .size(),
            1u);
  EXPECT_EQ(Matches(page, "(<span class=\"think\">&lt;think&gt;never ends</span></pre>)").size(),
            1u);
  const size_t begin = page.find("xxx");
  EXPECT_EQ(page.find_first_not_of('x', begin) - begin, 6000u);
  EXPECT_EQ(Matches(page, "(… and \\d+ bytes more)"), (Rows{{"… and 1 bytes more"}}));
}

TEST(Parts, WhatIsNoNumberIsADash) {
  EXPECT_EQ(Percent(0.1234), "12.3 %");
  EXPECT_EQ(Percent(std::nan("")), "–");
  EXPECT_EQ(OrDash(2.345, 1), "2.3");
  EXPECT_EQ(OrDash(std::nan(""), 1), "–");
}

TEST(Parts, IntervalsStandBehindTheirShares) {
  const double none = std::nan("");
  EXPECT_EQ(PercentWithInterval({0.25, 0.2, 0.31}), "25.0 % (20.0–31.0)");
  EXPECT_EQ(PercentWithInterval({0.5, none, none}), "50.0 %");
  EXPECT_EQ(PercentWithInterval({none, 0, 1}), "–");
}

TEST(Parts, MoneyIsReadableHoweverLittle) {
  EXPECT_EQ(Money(12.345), "$12.35");
  EXPECT_EQ(Money(0.1), "$0.10");
  EXPECT_EQ(Money(0.05), "5 cents");
  EXPECT_EQ(Money(0.003), "0.3 cents");
  EXPECT_EQ(Money(0.0000123), "0.0012 cents");
  EXPECT_EQ(Money(0), "0 cents");
}

TEST(DrawCharts, NotesStandBelowTheirCharts) {
  const NamedChart chart{"loss", {.series = {{"loss", {{1, 1}, {2, 2}}}}}, "a < b"};
  EXPECT_EQ(
      Matches(DrawCharts({chart}), "</svg>\n(<figcaption>a &lt; b</figcaption>)</figure>").size(),
      1u);
}

TEST(DrawCharts, OneAloneIsNotStretched) {
  const NamedChart chart{"loss", {.series = {{"loss", {{1, 1}, {2, 2}}}}}};
  const std::string only = "<figure style=\"margin:0\" class=\"only\">";
  EXPECT_EQ(Matches(DrawCharts({chart}), "(" + only + ")").size(), 1u);
  EXPECT_EQ(Matches(DrawCharts({chart, chart}), "(" + only + ")").size(), 0u);
  EXPECT_EQ(Matches(DrawCharts({chart, chart}), "(<figure)").size(), 2u);
}

TEST(WriteReport, WritesPageFiguresAndEvents) {
  ScratchDirectory scratch;
  scratch.Write("run/metrics.jsonl", "{\"step\":1,\"loss\":2.5,\"grad_norm\":1}\n");
  const std::string path = WriteReport(scratch / "run", {});
  EXPECT_EQ(path, scratch / "run/report.html");
  EXPECT_EQ(ReadFile(path), ReportPage(ReadReportData(scratch / "run", {}), {}));
  for (const NamedChart& named :
       PretrainingCharts(ReadReportData(scratch / "run", {}).pretraining)) {
    EXPECT_EQ(ReadFile(scratch / "run/figures/" + named.name + ".svg"), DrawChartFile(named.chart));
  }
  EXPECT_EQ(ReadFile(scratch / "run/tensorboard/events.out.tfevents.darkhorse"),
            TensorBoardFileOf(ReadReportData(scratch / "run", {}).pretraining));
}

TEST(WriteReport, AMeasurementBeforeTheFirstStepIsNoStep) {
  ScratchDirectory scratch;
  scratch.Write(
      "run/metrics.jsonl",
      "{\"step\":0,\"validation_loss\":3,\"tokens\":0}\n"
      "{\"step\":1,\"loss\":2.5,\"tokens\":64}\n{\"step\":2,\"loss\":2,\"tokens\":128}\n");
  EXPECT_NE(ReadFile(WriteReport(scratch / "run", {})).find("2 steps, 128 tokens."),
            std::string::npos);
}

}  // namespace
}  // namespace darkhorse
