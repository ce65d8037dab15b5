#include "report/svg.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

namespace darkhorse {
namespace {

// The drawing is 640 by 320 pixels; curves lie between x = 60 and 620 and between y = 274, the
// bottom, and 58, the top. Expected coordinates follow by hand from the range that each axis
// spans; the file rounds them to a tenth of a pixel.

using Style = Series::Style;
using Cells = std::vector<std::vector<std::string>>;

// What the groups of `pattern` hold, a row per match.
Cells Matches(const std::string& svg, const std::string& pattern) {
  Cells rows;
  const std::regex regex(pattern);
  for (std::sregex_iterator match(svg.begin(), svg.end(), regex), end; match != end; ++match)
    rows.emplace_back(std::next(match->begin()), match->end());
  return rows;
}

// The corners of each polyline of the class, as "x,y x,y ".
std::vector<std::string> Lines(const std::string& svg, const std::string& classes = "line") {
  std::vector<std::string> lines;
  for (const auto& row : Matches(svg, "<polyline class=\"" + classes + "\" points=\"([^\"]*)\""))
    lines.push_back(row[0]);
  return lines;
}

// Label and height of each tick of the y axis, from its grid line; label and place of each of the x
// axis.
Cells YTicks(const std::string& svg) {
  return Matches(svg,
                 "class=\"grid\" d=\"M60 ([0-9.]+)H620\"/><text class=\"tick\" x=\"52\" "
                 "y=\"([0-9.]+)\" text-anchor=\"end\">([^<]*)<");
}
Cells XTicks(const std::string& svg) {
  return Matches(svg,
                 "class=\"axis\" d=\"M([0-9.]+) 274v5\"/><text class=\"tick\" x=\"([0-9.]+)\" "
                 "y=\"294\" text-anchor=\"middle\">([^<]*)<");
}

Chart OneLine(std::vector<Point> points) {
  return {.title = "Loss", .x_label = "step", .series = {{"loss", std::move(points)}}};
}

std::string Pixels(double x, double y) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f,%.1f ", x, y);
  return text;
}

TEST(DrawChart, PointsLieWhereTheAxesSay) {
  // x spans 0 to 10; y spans 0 to 100 and 4 % above: 26 of 104 is a quarter of the height.
  const std::string svg = DrawChart(OneLine({{0, 0}, {5, 26}, {10, 100}}));
  EXPECT_EQ(Lines(svg), std::vector<std::string>{"60.0,274.0 340.0,220.0 620.0,66.3 "});
}

TEST(DrawChart, LowestIsAtTheBottomWithoutFromZero) {
  // y spans 10 to 20.4.
  const std::vector<Point> points = {{1, 10}, {2, 20}};
  EXPECT_EQ(Lines(DrawChart(OneLine(points))),
            std::vector<std::string>{"60.0,274.0 620.0,66.3 "});  // 274 - 216 * 10 / 10.4
  // From zero it spans 0 to 20.8.
  Chart chart = OneLine(points);
  chart.from_zero = true;
  EXPECT_EQ(Lines(DrawChart(chart)),
            std::vector<std::string>{"60.0,170.2 620.0,66.3 "});  // 274 - 216 * 10 / 20.8
  // Below zero it must not be cut: -10 to 10.8.
  chart.series[0].points = {{1, -10}, {2, 10}};
  EXPECT_EQ(Lines(DrawChart(chart)), std::vector<std::string>{"60.0,274.0 620.0,66.3 "});
}

TEST(DrawChart, TicksAreAtTheirValues) {
  const std::string svg = DrawChart(OneLine({{0, 0}, {5, 26}, {10, 100}}));
  // A step of 20: 104 / 5 rounded to 1, 2 or 5 times a power of ten. Labels hang 4.5 below.
  EXPECT_EQ(YTicks(svg), (Cells{{"274.0", "278.5", "0"},
                                {"232.5", "237.0", "20"},
                                {"190.9", "195.4", "40"},
                                {"149.4", "153.9", "60"},
                                {"107.8", "112.3", "80"},
                                {"66.3", "70.8", "100"}}));
  const Cells ticks = XTicks(svg);
  ASSERT_EQ(ticks.size(), 11u);
  for (int i = 0; i <= 10; ++i) {
    const std::string at = std::to_string(60 + 56 * i) + ".0";
    EXPECT_EQ(ticks[static_cast<size_t>(i)], (std::vector<std::string>{at, at, std::to_string(i)}));
  }
}

// The distance of two ticks is 1, 2 or 5 times a power of ten.
TEST(DrawChart, StepsOfTheAxisAreRound) {
  const auto y_labels = [](double high) {
    Chart chart = OneLine({{1, 0}, {2, high}});
    std::vector<std::string> labels;
    for (const auto& row : YTicks(DrawChart(chart))) labels.push_back(row[2]);
    return labels;
  };
  using Labels = std::vector<std::string>;
  EXPECT_EQ(y_labels(6), (Labels{"0", "1", "2", "3", "4", "5", "6"}));           // 6.24 / 5 = 1.2
  EXPECT_EQ(y_labels(8), (Labels{"0", "2", "4", "6", "8"}));                     // 1.66
  EXPECT_EQ(y_labels(15), (Labels{"0", "2", "4", "6", "8", "10", "12", "14"}));  // 3.12
  EXPECT_EQ(y_labels(30), (Labels{"0", "5", "10", "15", "20", "25", "30"}));     // 6.24
  EXPECT_EQ(y_labels(40), (Labels{"0", "10", "20", "30", "40"}));                // 8.32
  EXPECT_EQ(y_labels(0.02), (Labels{"0", "0.005", "0.01", "0.015", "0.02"}));    // 0.00416
  EXPECT_EQ(y_labels(2e7), (Labels{"0", "5M", "10M", "15M", "20M"}));
  EXPECT_EQ(y_labels(2e6), (Labels{"0", "500k", "1M", "1.5M", "2M"}));
  EXPECT_EQ(y_labels(40000), (Labels{"0", "10k", "20k", "30k", "40k"}));
  EXPECT_EQ(y_labels(4e-4), (Labels{"0", "0.0001", "0.0002", "0.0003", "0.0004"}));
}

TEST(DrawChart, StepsOfARunAreWhole) {
  std::vector<std::string> labels;
  for (const auto& row : XTicks(DrawChart(OneLine({{1, 0}, {3, 1}})))) labels.push_back(row[2]);
  EXPECT_EQ(labels, (std::vector<std::string>{"1", "2", "3"}));
}

TEST(DrawChart, ARangeOfNothingIsWidened) {
  // A tenth of the value to both sides: x spans 0.9 to 1.1, y 4.5 to 5.5.
  EXPECT_EQ(Matches(DrawChart(OneLine({{1, 5}})), "cx=\"([^\"]*)\" cy=\"([^\"]*)\" r=\"4\""),
            (Cells{{"340.0", "166.0"}}));
  // Zeros stay at the bottom.
  EXPECT_EQ(Lines(DrawChart(OneLine({{1, 0}, {2, 0}}))),
            std::vector<std::string>{"60.0,274.0 620.0,274.0 "});
}

TEST(DrawChart, SharesSpanWhatTheyReachOrAll) {
  const auto heights = [](double share) {
    Chart chart = OneLine({{1, 0}, {2, share}});
    chart.percent = true;
    const auto line = Lines(DrawChart(chart)).at(0);
    EXPECT_EQ(line.substr(0, 11), "60.0,274.0 ");
    return line.substr(11);
  };
  EXPECT_EQ(heights(0.5), "620.0,68.3 ");    // of 0.525: 274 - 216 / 1.05
  EXPECT_EQ(heights(0.8), "620.0,101.2 ");   // of 1: 274 - 216 * 0.8
  EXPECT_EQ(heights(0.02), "620.0,187.6 ");  // of 0.05: 274 - 216 * 0.4
  EXPECT_EQ(heights(1), "620.0,58.0 ");
  Chart chart = OneLine({{1, 0.6}, {2, 0.9}});  // from 0, though nothing is near it
  chart.percent = true;
  EXPECT_EQ(YTicks(DrawChart(chart)), (Cells{{"274.0", "278.5", "0 %"},
                                             {"230.8", "235.3", "20 %"},
                                             {"187.6", "192.1", "40 %"},
                                             {"144.4", "148.9", "60 %"},
                                             {"101.2", "105.7", "80 %"},
                                             {"58.0", "62.5", "100 %"}}));
}

TEST(DrawChart, PowersOfTwoAreEvenlySpaced) {
  Chart chart = OneLine({{1, 0.25}, {2, 0.5}, {4, 0.75}, {16, 1}});
  chart.percent = chart.log2_x = true;
  chart.series[0].style = Style::kDots;
  const std::string svg = DrawChart(chart);
  // log2 x spans 0 to 4 between x = 80 and 600: 130 pixels per doubling.
  EXPECT_EQ(Lines(svg), std::vector<std::string>{"80.0,220.0 210.0,166.0 340.0,112.0 600.0,58.0 "});
  EXPECT_EQ(Matches(svg, "class=\"dot\" cx=\"([^\"]*)\" cy=\"([^\"]*)\""),
            (Cells{{"80.0", "220.0"}, {"210.0", "166.0"}, {"340.0", "112.0"}, {"600.0", "58.0"}}));
  EXPECT_EQ(XTicks(svg), (Cells{{"80.0", "80.0", "1"},
                                {"210.0", "210.0", "2"},
                                {"340.0", "340.0", "4"},
                                {"470.0", "470.0", "8"},
                                {"600.0", "600.0", "16"}}));
}

TEST(DrawChart, OnePointOfALogarithmicAxis) {
  Chart chart = OneLine({{1, 0.25}});
  chart.percent = chart.log2_x = true;
  const std::string svg = DrawChart(chart);
  EXPECT_EQ(Matches(svg, "class=\"dot\" cx=\"([^\"]*)\""), (Cells{{"80.0"}}));
  EXPECT_EQ(XTicks(svg), (Cells{{"80.0", "80.0", "1"}, {"600.0", "600.0", "2"}}));
}

constexpr char kBar[] =
    "class=\"bar\" d=\"M([0-9.]+) ([0-9.]+)V([0-9.]+)M([0-9.]+) ([0-9.]+)h8M([0-9.]+) "
    "([0-9.]+)h8\"";

TEST(DrawChart, ErrorBarsReachDownAndUp) {
  // Of 10 - 6 = 4 to 10 + 3 = 13 and 4 % more: 4 to 13.36. Two points: x from 60 to 620.
  Chart chart = OneLine({{1, 10, 6, 3}, {2, 10}});
  EXPECT_EQ(Matches(DrawChart(chart), kBar),
            (Cells{{"60.0", "274.0", "66.3", "56.0", "274.0", "56.0", "66.3"}}));
  EXPECT_EQ(Lines(DrawChart(chart)),
            std::vector<std::string>{"60.0,135.5 620.0,135.5 "});  // 274 - 216 * 6 / 9.36
  chart.log2_x = true;
  EXPECT_EQ(Matches(DrawChart(chart), kBar)[0][0], "80.0");
}

TEST(DrawChart, ErrorBarsOfSharesEndWhereSharesEnd) {
  Chart chart = OneLine({{1, 0.1, 0.3, 0.3}, {2, 0.9, 0.2, 0.2}});
  chart.percent = true;
  EXPECT_EQ(Matches(DrawChart(chart), kBar),
            (Cells{{"60.0", "274.0", "187.6", "56.0", "274.0", "56.0", "187.6"},      // 0 to 0.4
                   {"620.0", "122.8", "58.0", "616.0", "122.8", "616.0", "58.0"}}));  // 0.7 to 1
}

TEST(DrawChart, ATrendIsTheMeanOfNeighbours) {
  // 40 points: each is averaged with 40 / 20 = 2 on either side, with fewer at the ends.
  std::vector<Point> points;
  for (int i = 0; i < 40; ++i) points.push_back({static_cast<double>(i), 0});
  points[1].y = 9;
  points[20].y = 30;
  points[39].y = 15;
  Chart chart = OneLine(points);
  chart.series[0].style = Style::kTrend;
  const std::string svg = DrawChart(chart);
  std::vector<double> smooth(40, 0), raw(40, 0);
  smooth[1] = 3;                                                       // (0 + 9 + 0) / 3
  smooth[2] = smooth[3] = 1.8;                                         // 9 / 5
  smooth[18] = smooth[19] = smooth[20] = smooth[21] = smooth[22] = 6;  // 30 / 5
  smooth[37] = 3;                                                      // 15 / 5
  smooth[38] = 5;                                                      // 15 / 3
  smooth[39] = 15;
  raw[1] = 9, raw[20] = 30, raw[39] = 15;
  const auto drawn = [](const std::vector<double>& values) {
    std::string line;
    for (size_t i = 0; i < values.size(); ++i)
      line += Pixels(60 + 560 * static_cast<double>(i) / 39, 274 - 216 * values[i] / 31.2);
    return line;
  };
  EXPECT_EQ(Lines(svg), std::vector<std::string>{drawn(smooth)});
  EXPECT_EQ(Lines(svg, "line faint"), std::vector<std::string>{drawn(raw)});
}

TEST(DrawChart, FewPointsAreNoTrend) {
  std::vector<Point> points;
  for (int i = 0; i < 19; ++i) points.push_back({static_cast<double>(i), i % 2 ? 26.0 : 0.0});
  points[18].y = 100;
  Chart chart = OneLine(points);
  chart.series[0].style = Style::kTrend;
  const std::string svg = DrawChart(chart);
  EXPECT_TRUE(Lines(svg, "line faint").empty());
  ASSERT_EQ(Lines(svg).size(), 1u);
  EXPECT_TRUE(Lines(svg)[0].starts_with("60.0,274.0 91.1,220.0 122.2,274.0 "));
  chart.series[0].points.push_back({19, 0});  // twenty are one
  EXPECT_EQ(Lines(DrawChart(chart), "line faint").size(), 1u);
}

// Where points are averaged they have no bars.
TEST(DrawChart, AsManyPointsAsAreDrawnKeepTheirBars) {
  std::vector<Point> points;
  for (int i = 0; i < 240; ++i) points.push_back({static_cast<double>(i), 1, 0.5});
  EXPECT_EQ(Matches(DrawChart(OneLine(points)), "(class=\"bar\")").size(), 240u);
  points.push_back({240, 1, 0.5});
  EXPECT_EQ(Matches(DrawChart(OneLine(points)), "(class=\"bar\")").size(), 0u);
}

TEST(DrawChart, ManyPointsAreAveraged) {
  std::vector<Point> points;
  for (int i = 0; i < 480; ++i) points.push_back({static_cast<double>(i), static_cast<double>(i)});
  const std::string svg = DrawChart(OneLine(points));
  const std::string line = Lines(svg).at(0);
  EXPECT_EQ(std::count(line.begin(), line.end(), ','), 240);
  // Pairs: x of 0 and 1 is 0.5, rounded to the step 1; the last is 478.5, rounded to 479. y spans
  // 0.5 to 478.5 and 4 % of 478 more.
  EXPECT_TRUE(line.starts_with("60.0,274.0 ")) << line;
  EXPECT_TRUE(line.ends_with(" 620.0,66.3 ")) << line;
  const Cells told = Matches(svg, "<title>(step 1|step 479)\nloss: ([0-9.]+)<");
  EXPECT_EQ(told, (Cells{{"step 1", "0.5"}, {"step 479", "478.5"}}));
}

TEST(DrawChart, WhatIsNoNumberIsLeftOut) {
  const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  const std::string svg = DrawChart(
      OneLine({{0, 0}, {2, nan}, {3, infinite}, {nan, 3}, {4, 1e101}, {5, 26}, {10, 100}}));
  EXPECT_EQ(Lines(svg), std::vector<std::string>{"60.0,274.0 340.0,220.0 620.0,66.3 "});
  EXPECT_TRUE(IsEmpty(OneLine({{1, nan}, {infinite, 1}})));
  EXPECT_TRUE(IsEmpty(OneLine({})));
  EXPECT_FALSE(IsEmpty(OneLine({{1, 1}})));
}

TEST(DrawChart, SeriesShareTheAxesAndKeepTheirColours) {
  Chart chart = OneLine({{0, 0}, {5, 26}});
  chart.series.push_back({"none", {}});
  chart.series.push_back({"upper", {{5, 52}, {10, 100}}});
  const std::string svg = DrawChart(chart);
  EXPECT_EQ(Lines(svg),
            (std::vector<std::string>{"60.0,274.0 340.0,220.0 ", "340.0,166.0 620.0,66.3 "}));
  EXPECT_EQ(Matches(svg, "<g class=\"(s.)\">\n<polyline"), (Cells{{"s0"}, {"s2"}}));
  // The legend: 46 pixels and 7.2 per letter of the name before.
  EXPECT_EQ(Matches(svg,
                    "<g class=\"(s.)\"><path class=\"line\" d=\"M(\\d+) 40h18\"/></g><text "
                    "class=\"name\" x=\"(\\d+)\" y=\"44.5\">([^<]*)<"),
            (Cells{{"s0", "60", "84", "loss"}, {"s2", "135", "159", "upper"}}));
}

TEST(DrawChart, TheMouseIsToldTheNearestStep) {
  Chart chart = OneLine({{0, 0}, {5, 26, 2, 2}, {10, 100}});
  chart.series.push_back({"held-out", {{5, 13}}});
  const std::string svg = DrawChart(chart);
  // Borders half way between 60, 340 and 620.
  EXPECT_EQ(Matches(svg,
                    "class=\"hit\" x=\"([^\"]*)\" y=\"58\" width=\"([^\"]*)\" "
                    "height=\"216\"><title>([^<]*)<"),
            (Cells{{"60.0", "140.0", "step 0\nloss: 0"},
                   {"200.0", "280.0", "step 5\nloss: 26 (24 to 28)\nheld-out: 13"},
                   {"480.0", "140.0", "step 10\nloss: 100"}}));
  chart = OneLine({{0, 0.125}, {1, 0.5, 0.25, 0.25}});
  chart.percent = true;
  EXPECT_EQ(Matches(DrawChart(chart), "<title>([^<]*)<"),
            (Cells{{"step 0\nloss: 12.5 %"}, {"step 1\nloss: 50 % (25 % to 75 %)"}}));
}

// No share is above 1 or below 0, whatever a symmetric interval says.
TEST(DrawChart, IntervalsOfSharesEndWhereSharesDo) {
  Chart chart = OneLine({{0, 1, 0.25, 0.25}, {1, 0.125, 0.25, 0.25}});
  chart.percent = true;
  EXPECT_EQ(
      Matches(DrawChart(chart), "<title>([^<]*)<"),
      (Cells{{"step 0\nloss: 100 % (75 % to 100 %)"}, {"step 1\nloss: 12.5 % (0 % to 37.5 %)"}}));
  chart.percent = false;
  EXPECT_EQ(Matches(DrawChart(chart), "<title>([^<]*)<"),
            (Cells{{"step 0\nloss: 1 (0.75 to 1.25)"}, {"step 1\nloss: 0.125 (-0.125 to 0.375)"}}));
}

TEST(DrawChart, WordsAreEscaped) {
  Chart chart = OneLine({{1, 1}, {2, 2}});
  chart.title = "a<b";
  chart.x_label = "c<d";
  chart.series[0].name = "e<f";
  const std::string svg = DrawChart(chart);
  EXPECT_EQ(Matches(svg, "(a|c|e)<").size(), 0u);
  EXPECT_EQ(Matches(svg, "class=\"title\" x=\"60\" y=\"20\">(a&lt;b)<").size(), 1u);
  EXPECT_EQ(Matches(svg, "text-anchor=\"end\">(c&lt;d)<").size(), 1u);
  EXPECT_EQ(Matches(svg, "y=\"44.5\">(e&lt;f)<").size(), 1u);
}

TEST(DrawChartFile, IsTheChartWithItsColours) {
  const Chart chart = OneLine({{0, 0}, {10, 100}});
  const std::string drawn = DrawChart(chart), file = DrawChartFile(chart);
  const size_t head = drawn.find(">\n") + 2;
  EXPECT_EQ(file, drawn.substr(0, head) + "<style>\n" + ChartStyle() +
                      "</style>\n<rect class=\"paper\" width=\"640\" height=\"320\"/>\n" +
                      drawn.substr(head));
}

TEST(DrawHeatMap, CellsSayTheirLoad) {
  const std::string svg = DrawHeatMap({{0.5, 1.5}, {1, 2.5}});
  // Cells of 56 by 30 pixels from x = 70 on, with a margin; as opaque as the load is uneven, at
  // least 0.08 and at most 1.
  EXPECT_EQ(
      Matches(svg,
              "<rect class=\"(over|under)\" x=\"([^\"]*)\" y=\"([^\"]*)\" "
              "width=\"54.0\" height=\"27\" rx=\"3\" fill-opacity=\"([^\"]*)\"><title>"
              "([^<]*)<"),
      (Cells{{"under", "70.0", "0", "0.58", "MoE layer 1, expert 0: 0.50 of an even load"},
             {"over", "126.0", "0", "0.58", "MoE layer 1, expert 1: 1.50 of an even load"},
             {"over", "70.0", "30", "0.08", "MoE layer 2, expert 0: 1.00 of an even load"},
             {"over", "126.0", "30", "1.00", "MoE layer 2, expert 1: 2.50 of an even load"}}));
  EXPECT_EQ(Matches(svg,
                    "class=\"cell\" x=\"([^\"]*)\" y=\"([^\"]*)\" "
                    "text-anchor=\"middle\">([^<]*)<"),
            (Cells{{"97.0", "18", "0.50"},
                   {"153.0", "18", "1.50"},
                   {"97.0", "48", "1.00"},
                   {"153.0", "48", "2.50"}}));
  EXPECT_EQ(Matches(svg, "class=\"tick\" x=\"60\" y=\"([^\"]*)\" text-anchor=\"end\">([^<]*)<"),
            (Cells{{"20", "MoE 1"}, {"50", "MoE 2"}}));
  EXPECT_EQ(Matches(svg, "viewBox=\"([^\"]*)\""), (Cells{{"0 0 640 66"}}));
}

TEST(DrawHeatMap, ManyExpertsFillTheWidth) {
  // 570 pixels for 20 experts: 28.5 each, too narrow for a number.
  const std::string svg = DrawHeatMap({std::vector<double>(20, 1.0)});
  const Cells cells = Matches(svg, "<rect class=\"over\" x=\"([^\"]*)\" y=\"0\" width=\"26.5\"");
  ASSERT_EQ(cells.size(), 20u);
  EXPECT_EQ(cells[1][0], "98.5");
  EXPECT_EQ(cells[19][0], "611.5");
  EXPECT_TRUE(Matches(svg, "(class=\"cell\")").empty());
  EXPECT_EQ(DrawHeatMap({}), "");
  EXPECT_EQ(DrawHeatMap({{}}), "");
}

TEST(ChartStyle, EverySeriesHasALightAndADarkColour) {
  for (int i = 0; i < 6; ++i) {
    const std::string colour = "--c" + std::to_string(i) + ":(#[0-9a-f]{6})";
    const Cells found = Matches(ChartStyle(), colour);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_NE(found[0], found[1]);
    EXPECT_EQ(Matches(ChartStyle(), "\\.s" + std::to_string(i) + "\\{color:var\\(--c(\\d)\\)\\}"),
              (Cells{{std::to_string(i)}}));
  }
}

}  // namespace
}  // namespace darkhorse
