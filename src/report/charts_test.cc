#include "report/charts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace darkhorse {
namespace {

using Style = Series::Style;

// A run of two steps in whose metrics every field that is drawn has values of its own: field i is
// i + 1 in the first step and i + 1.5 in the second.
const char* const kFields[] = {"loss",
                               "validation_loss",
                               "mtp_loss",
                               "max_violation",
                               "learning_rate",
                               "grad_norm",
                               "reward",
                               "accuracy",
                               "completions/mean_length",
                               "completions/mean_terminated_length",
                               "entropy",
                               "frac_reward_zero_std",
                               "completions/clipped_ratio",
                               "format_rate",
                               "reward_program/failures",
                               "kl",
                               "clip_ratio/low_mean",
                               "clip_ratio/high_mean"};

RunRecord EveryField() {
  RunRecord run;
  for (int step = 1; step <= 2; ++step) {
    Json line{{"step", step}};
    for (size_t i = 0; i < std::size(kFields); ++i)
      line[kFields[i]] = static_cast<double>(i) + 0.5 + 0.5 * step;
    run.metrics.push_back(line);
  }
  return run;
}

// "chart: name = field, ..." of every series, by the values that it shows.
std::map<std::string, std::string> Shown(const std::vector<NamedChart>& charts) {
  std::map<std::string, std::string> shown;
  for (const NamedChart& named : charts) {
    std::string& text = shown[named.name];
    for (const Series& series : named.chart.series) {
      if (series.points.empty()) continue;
      const double first = series.points.front().y;
      EXPECT_EQ(series.points.size(), 2u);
      EXPECT_EQ(series.points.front().x, 1);
      EXPECT_EQ(series.points.back().x, 2);
      EXPECT_EQ(series.points.back().y, first + 0.5);
      if (!text.empty()) text += ", ";
      text += series.name + " = " + kFields[static_cast<size_t>(first) - 1];
    }
    if (named.chart.percent) text += " in percent";
    if (named.chart.from_zero) text += " from zero";
    EXPECT_FALSE(named.chart.log2_x);
    EXPECT_EQ(named.chart.x_label, "step");
  }
  return shown;
}

TEST(PretrainingCharts, EachSeriesShowsItsField) {
  using Expected = std::map<std::string, std::string>;
  EXPECT_EQ(Shown(PretrainingCharts(EveryField())),
            (Expected{{"loss",
                       "training = loss, held-out = validation_loss, multi-token prediction = "
                       "mtp_loss"},
                      {"max_violation", "worst layer = max_violation from zero"},
                      {"learning_rate", "learning rate = learning_rate from zero"},
                      {"grad_norm", "norm = grad_norm from zero"}}));
}

// A rate of 0 is worth seeing; of modules and experts that there are none of, 0 says nothing.
TEST(PretrainingCharts, OnlyWhatAModelMayLackIsLeftOutWhereItIsZero) {
  RunRecord run;
  for (int step = 1; step <= 2; ++step) {
    Json line{{"step", step}};
    for (const char* field : {"loss", "mtp_loss", "max_violation", "learning_rate", "grad_norm"})
      line[field] = 0;
    run.metrics.push_back(line);
  }
  std::vector<std::string> shown;
  for (const NamedChart& named : PretrainingCharts(run)) {
    for (const Series& series : named.chart.series) {
      if (!series.points.empty()) shown.push_back(named.name + ": " + series.name);
    }
  }
  EXPECT_EQ(shown, (std::vector<std::string>{"loss: training", "learning_rate: learning rate",
                                             "grad_norm: norm"}));
}

TEST(ReinforcementCharts, EachSeriesShowsItsField) {
  using Expected = std::map<std::string, std::string>;
  EXPECT_EQ(
      Shown(ReinforcementCharts(EveryField())),
      (Expected{
          {"reward", "accuracy = accuracy, reward = reward in percent"},
          {"length",
           "mean = completions/mean_length, mean of those that ended = "
           "completions/mean_terminated_length from zero"},
          {"entropy", "entropy = entropy from zero"},
          {"signal",
           "no signal = frac_reward_zero_std, cut off = completions/clipped_ratio, right form "
           "= format_rate in percent"},
          {"unscored", "failures = reward_program/failures from zero"},
          {"rl_grad_norm", "norm = grad_norm from zero"},
          {"kl", "KL = kl from zero"},
          {"clip", "low = clip_ratio/low_mean, high = clip_ratio/high_mean in percent"},
          {"rl_max_violation", "worst layer = max_violation from zero"}}));
}

// Who reads a chart need not know the field's words.
TEST(Charts, TermsAreExplainedBelow) {
  const auto notes = [](const std::vector<NamedChart>& charts) {
    std::map<std::string, std::string> by_name;
    for (const NamedChart& chart : charts) by_name[chart.name] = chart.note;
    return by_name;
  };
  auto pretraining = notes(PretrainingCharts(EveryField()));
  auto rl = notes(ReinforcementCharts(EveryField()));
  const auto begins = [](const std::string& note, const char* term) {
    return note.starts_with(term) || note.find(std::string(" ") + term) != std::string::npos;
  };
  EXPECT_TRUE(begins(pretraining["max_violation"], "MaxVio: "));
  EXPECT_TRUE(begins(rl["rl_max_violation"], "MaxVio: "));
  EXPECT_TRUE(begins(rl["signal"], "No signal: "));
  EXPECT_TRUE(begins(rl["signal"], "Cut off: "));
  EXPECT_TRUE(begins(rl["clip"], "Clip ratio: "));
  EXPECT_TRUE(begins(rl["reward"], "pass@1: "));
  EXPECT_FALSE(rl["entropy"].empty());
  EXPECT_TRUE(begins(
      PassAtKCharts({"x", Json::array({{{"task", "a"}, {"pass@1", 1}}})}, {})[0].note, "pass@k: "));
}

TEST(Charts, PerplexityStandsBesideTheLoss) {
  RunRecord run;
  run.metrics = {{{"step", 1}, {"loss", 3}}, {{"step", 2}, {"loss", 2}, {"validation_loss", 1}}};
  EXPECT_EQ(
      PretrainingCharts(run).at(0).note,
      "Perplexity is e to the loss: among so many equally likely tokens the model chooses. In "
      "training it went from 20.09 to 7.389.");
  run.metrics = {{{"step", 1}, {"validation_loss", 1}}};
  EXPECT_EQ(PretrainingCharts(run).at(0).note, "");
  EXPECT_EQ(Perplexity(1000), "–");
}

TEST(Charts, OfWhatTheRecipeDoesNotUseAreLeftOut) {
  RunRecord run;
  for (int step = 1; step <= 2; ++step)
    run.metrics.push_back({{"step", step}, {"loss", 2.5}, {"mtp_loss", 0}, {"max_violation", 0}});
  const std::vector<NamedChart> charts = PretrainingCharts(run);
  ASSERT_EQ(charts.size(), 1u);
  EXPECT_EQ(charts[0].name, "loss");
  EXPECT_FALSE(charts[0].chart.series[0].points.empty());
  EXPECT_TRUE(charts[0].chart.series[2].points.empty());  // mtp_loss
  EXPECT_TRUE(PretrainingCharts({}).empty());
  EXPECT_TRUE(ReinforcementCharts({}).empty());
  // One value that is not zero is something to show.
  run.metrics.push_back({{"step", 3}, {"max_violation", 0.5}});
  EXPECT_EQ(PretrainingCharts(run).size(), 2u);
}

TEST(ReinforcementCharts, HeldOutAccuracyIsTheMeanOverTasks) {
  RunRecord run;
  run.metrics.push_back({{"step", 1}, {"reward", 0.5}});
  run.metrics.push_back({{"step", 2},
                         {"reward", 0.5},
                         {"evaluation",
                          {{{"task", "a"}, {"pass@1", 0.2}, {"pass@1_ci95", {0.17, 0.26}}},
                           {{"task", "b"}, {"pass@1", 0.6}, {"pass@1_ci95", {0.56, 0.68}}},
                           {{"task", "c"}, {"maj@4", 0.9}}}}});
  const Series series = ReinforcementCharts(run).at(0).chart.series.at(1);
  EXPECT_EQ(series.name, "held-out pass@1");
  EXPECT_EQ(series.style, Style::kDots);
  ASSERT_EQ(series.points.size(), 1u);
  EXPECT_EQ(series.points[0].x, 2);
  EXPECT_DOUBLE_EQ(series.points[0].y, 0.4);
  // Independent: of a mean of two sqrt(0.03² + 0.04²) / 2 below and sqrt(0.06² + 0.08²) / 2 above.
  EXPECT_NEAR(series.points[0].below, 0.025, 0x1p-52);
  EXPECT_NEAR(series.points[0].above, 0.05, 0x1p-52);
}

Json Scores(const std::string& task, int level, double at_1, double at_2, double at_16) {
  // As JSON objects may be ordered: not by k.
  return {{"task", task},
          {"level", level},
          {"samples", 16},
          {"pass@1", at_1},
          {"pass@1_ci95", {0, 1}},
          {"pass@16", at_16},
          {"pass@16_ci95", {0, at_16}},
          {"pass@2", at_2},
          {"maj@16", 0.75},
          {"pass@x", 0.5},
          {"pass@2x", 0.5}};
}

std::vector<std::vector<double>> PointsOf(const Series& series) {
  std::vector<std::vector<double>> points;
  for (const Point& p : series.points) points.push_back({p.x, p.y, p.below, p.above});
  return points;
}

TEST(PassAtKCharts, BeforeAndAfterOfEachTask) {
  const Evaluation before{
      "base", Json::array({Scores("sum", 1, 0.1, 0.2, 0.3), Scores("sum", 2, 0.01, 0.02, 0.03)})};
  const Evaluation after{"reinforced", Json::array({Scores("sum", 1, 0.5, 0.6, 0.7),
                                                    Scores("sum", 2, 0.05, 0.06, 0.07)})};
  const std::vector<NamedChart> charts = PassAtKCharts(before, after);
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0].name, "pass_at_k");
  EXPECT_EQ(charts[1].name, "pass_at_k_2");
  EXPECT_EQ(charts[0].chart.title, "Held-out pass@k: sum level 1");
  EXPECT_EQ(charts[1].chart.title, "Held-out pass@k: sum level 2");
  for (const NamedChart& named : charts) {
    EXPECT_TRUE(named.chart.percent && named.chart.log2_x);
    EXPECT_EQ(named.chart.x_label, "k");
    ASSERT_EQ(named.chart.series.size(), 2u);
    EXPECT_EQ(named.chart.series[0].name, "base");
    EXPECT_EQ(named.chart.series[1].name, "reinforced");
    EXPECT_EQ(named.chart.series[0].style, Style::kDots);
  }
  using Points = std::vector<std::vector<double>>;
  EXPECT_EQ(PointsOf(charts[0].chart.series[0]),
            (Points{{1, 0.1, 0.1, 1 - 0.1}, {2, 0.2, 0, 0}, {16, 0.3, 0.3, 0}}));
  EXPECT_EQ(PointsOf(charts[0].chart.series[1]),
            (Points{{1, 0.5, 0.5, 1 - 0.5}, {2, 0.6, 0, 0}, {16, 0.7, 0.7, 0}}));
  EXPECT_EQ(PointsOf(charts[1].chart.series[1]),
            (Points{{1, 0.05, 0.05, 1 - 0.05}, {2, 0.06, 0, 0}, {16, 0.07, 0.07, 0}}));
  // Before reinforcement has ended.
  EXPECT_EQ(PassAtKCharts(before, {}).size(), 2u);
}

}  // namespace
}  // namespace darkhorse
