// Curves as SVG: drawn here, shown by any browser, no scripts. Colours follow the reader's light or
// dark setting through CSS.
#pragma once

#include <string>
#include <vector>

namespace darkhorse {

struct Point {
  double x = 0;
  double y = 0;
  double below = 0, above = 0;  // lengths of an error bar, which a chart of shares ends at 0 and 1
};

struct Series {
  enum class Style { kLine, kTrend, kDots };  // kTrend: faint points, a moving average through them
  std::string name;
  std::vector<Point> points;  // by ascending x; those that are not finite are left out
  Style style = Style::kLine;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::vector<Series> series;  // up to 6
  bool from_zero = false;      // the y axis shows 0
  bool percent = false;        // y is a share: its axis shows 0 to 100 % at least to 1
  bool log2_x = false;         // x = 1, 2, 4, ...
};

bool IsEmpty(const Chart& chart);

// An <svg> element that takes its colours from ChartStyle().
std::string DrawChart(const Chart& chart);
// The same as a file of its own.
std::string DrawChartFile(const Chart& chart);

// Load of experts: [MoE layer][expert] as shares of an even load, 1 being even.
std::string DrawHeatMap(const std::vector<std::vector<double>>& load);

// CSS: custom properties on :root, light and dark, and the classes of the drawings.
std::string ChartStyle();

}  // namespace darkhorse
