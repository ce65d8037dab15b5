#include "report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/markup.h"

namespace darkhorse {
namespace {

constexpr double kWidth = 640, kHeight = 320;
constexpr double kLeft = 60, kRight = 20, kTop = 58, kBottom = 46;
constexpr size_t kMostPoints = 240;                     // drawn of a series; more are averaged
constexpr double kSmallest = 1e-100, kLargest = 1e100;  // numbers that an axis can hold

struct Axis {
  double low = 0, high = 1, step = 0.2;
  double from = 0, to = 1;  // pixels
  double operator()(double value) const {
    return from + (value - low) / (high - low) * (to - from);
  }
};

// Ticks at multiples of 1, 2 or 5 times a power of ten, about `count` of them. A range that is lost
// in its numbers' rounding is widened.
Axis MakeAxis(double low, double high, int count, double from, double to) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (!(high - low > 1e-9 * size && high - low > kSmallest)) {
    const double room = size > kSmallest ? size * 0.1 : 1;
    if (low != 0) low -= room;
    high += room;
  }
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double digit = raw / power;
  const double step = power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
  return {low, high, step, from, to};
}

std::string Number(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.3g}k", value / 1e3);
  if (size > 0 && size < 1e-3) return fmt::format("{:.2g}", value);
  return fmt::format("{:.4g}", value);
}

std::string YText(const Chart& chart, double value) {
  return chart.percent ? fmt::format("{:.3g} %", 100 * value) : Number(value);
}

double X(const Chart& chart, double x) { return chart.log2_x ? std::log2(x) : x; }

// Ends of a point's error bar: no share is below 0 or above 1.
double BarLow(const Chart& chart, const Point& p) {
  return chart.percent ? std::max(p.y - p.below, std::min(p.y, 0.0)) : p.y - p.below;
}
double BarHigh(const Chart& chart, const Point& p) {
  return chart.percent ? std::min(p.y + p.above, std::max(p.y, 1.0)) : p.y + p.above;
}

bool Fits(double value) { return std::abs(value) <= kLargest; }  // no NaN does

std::vector<Point> Drawn(const std::vector<Point>& points) {
  std::vector<Point> finite;
  for (const Point& p : points) {
    if (Fits(p.x) && Fits(p.y) && Fits(p.below) && Fits(p.above)) finite.push_back(p);
  }
  if (finite.size() <= kMostPoints) return finite;
  std::vector<Point> means;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t begin = finite.size() * i / kMostPoints;
    const size_t end = finite.size() * (i + 1) / kMostPoints;
    Point mean;
    for (size_t j = begin; j < end; ++j) {
      mean.x += finite[j].x / static_cast<double>(end - begin);
      mean.y += finite[j].y / static_cast<double>(end - begin);
    }
    mean.x = std::round(mean.x);
    means.push_back(mean);
  }
  return means;
}

// Each point's mean with its neighbours up to a twentieth of the curve away, fewer near the ends.
std::vector<Point> Smooth(const std::vector<Point>& points) {
  std::vector<Point> smooth = points;
  const size_t n = points.size();
  for (size_t i = 0; i < n; ++i) {
    const size_t reach = std::min({n / 20, i, n - 1 - i});
    double sum = 0;
    for (size_t j = i - reach; j <= i + reach; ++j) sum += points[j].y;
    smooth[i].y = sum / static_cast<double>(2 * reach + 1);
  }
  return smooth;
}

std::string Polyline(const std::vector<Point>& points, const Axis& x, const Axis& y, bool log2_x,
                     std::string_view classes) {
  std::string out = fmt::format("<polyline class=\"{}\" points=\"", classes);
  for (const Point& p : points)
    out += fmt::format("{:.1f},{:.1f} ", x(log2_x ? std::log2(p.x) : p.x), y(p.y));
  return out + "\"/>\n";
}

std::string DrawSeries(const Series& series, size_t colour, const Axis& x, const Axis& y,
                       bool log2_x) {
  const std::vector<Point> points = Drawn(series.points);
  if (points.empty()) return "";
  std::string out = fmt::format("<g class=\"s{}\">\n", colour);
  for (const Point& p : points) {
    if (p.below <= 0 && p.above <= 0) continue;
    const double at = x(log2_x ? std::log2(p.x) : p.x);
    out += fmt::format(
        "<path class=\"bar\" d=\"M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {1:.1f}h8M{3:.1f} "
        "{2:.1f}h8\"/>\n",
        at, y(std::max(y.low, p.y - p.below)), y(std::min(y.high, p.y + p.above)), at - 4);
  }
  const bool smooth = series.style == Series::Style::kTrend && points.size() >= 20;
  if (smooth) out += Polyline(points, x, y, log2_x, "line faint");
  if (points.size() > 1) out += Polyline(smooth ? Smooth(points) : points, x, y, log2_x, "line");
  if (series.style == Series::Style::kDots || points.size() == 1) {
    for (const Point& p : points) {
      out += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>\n",
                         x(log2_x ? std::log2(p.x) : p.x), y(p.y));
    }
  }
  return out + "</g>\n";
}

// Invisible columns that say the values under the mouse.
std::string HoverColumns(const Chart& chart, const Axis& x) {
  std::vector<double> stops;
  std::vector<std::vector<Point>> drawn;
  for (const Series& s : chart.series) {
    drawn.push_back(Drawn(s.points));
    for (const Point& p : drawn.back()) stops.push_back(p.x);
  }
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  std::string out;
  for (size_t i = 0; i < stops.size(); ++i) {
    const double here = x(X(chart, stops[i]));
    const double left = i == 0 ? kLeft : (x(X(chart, stops[i - 1])) + here) / 2;
    const double right =
        i + 1 == stops.size() ? kWidth - kRight : (x(X(chart, stops[i + 1])) + here) / 2;
    std::string text = fmt::format("{} {}", chart.x_label, Number(stops[i]));
    for (size_t s = 0; s < drawn.size(); ++s) {
      for (const Point& p : drawn[s]) {
        if (p.x != stops[i]) continue;
        text += fmt::format("\n{}: {}", chart.series[s].name, YText(chart, p.y));
        if (p.below + p.above > 1e-9)
          text += fmt::format(" ({} to {})", YText(chart, BarLow(chart, p)),
                              YText(chart, BarHigh(chart, p)));
      }
    }
    out += fmt::format(
        "<rect class=\"hit\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\">"
        "<title>{}</title></rect>\n",
        left, kTop, std::max(0.5, right - left), kHeight - kTop - kBottom, EscapeMarkup(text));
  }
  return out;
}

// The multiples of an axis' step on it.
std::vector<double> Ticks(const Axis& axis) {
  std::vector<double> ticks;
  for (double i = std::ceil(axis.low / axis.step - 1e-9) + 0.0;
       i * axis.step <= axis.high + axis.step * 1e-9; ++i) {
    ticks.push_back(i * axis.step);
  }
  return ticks;
}

std::string Grid(const Chart& chart, const Axis& x, const Axis& y) {
  std::string out;
  for (const double tick : Ticks(y)) {
    const double at = y(tick);
    out += fmt::format(
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text class=\"tick\" x=\"{}\" "
        "y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        kLeft, at, kWidth - kRight, kLeft - 8, at + 4.5, YText(chart, tick));
  }
  for (const double tick : Ticks(x)) {
    const double at = x(tick);
    const double value = chart.log2_x ? std::exp2(tick) : tick;
    out += fmt::format(
        "<path class=\"axis\" d=\"M{0:.1f} {1}v5\"/><text class=\"tick\" "
        "x=\"{0:.1f}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>\n",
        at, kHeight - kBottom, kHeight - kBottom + 20, Number(value));
  }
  return out + fmt::format(
                   "<path class=\"axis\" d=\"M{} {}H{}\"/>\n"
                   "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
                   kLeft, kHeight - kBottom, kWidth - kRight, kWidth - kRight, kHeight - 8,
                   EscapeMarkup(chart.x_label));
}

std::string Legend(const Chart& chart) {
  std::string out;
  double x = kLeft;
  for (size_t s = 0; s < chart.series.size(); ++s) {
    const std::string& name = chart.series[s].name;
    if (Drawn(chart.series[s].points).empty()) continue;
    out += fmt::format(
        "<g class=\"s{0}\"><path class=\"line\" d=\"M{1:.0f} 40h18\"/></g>"
        "<text class=\"name\" x=\"{2:.0f}\" y=\"44.5\">{3}</text>\n",
        s, x, x + 24, EscapeMarkup(name));
    x += 46 + 7.2 * static_cast<double>(name.size());
  }
  return out;
}

}  // namespace

bool IsEmpty(const Chart& chart) {
  return std::all_of(chart.series.begin(), chart.series.end(),
                     [](const Series& s) { return Drawn(s.points).empty(); });
}

std::string DrawChart(const Chart& chart) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  double x_low = kFar, x_high = -kFar, y_low = kFar, y_high = -kFar;
  for (const Series& s : chart.series) {
    for (const Point& p : Drawn(s.points)) {
      x_low = std::min(x_low, X(chart, p.x));
      x_high = std::max(x_high, X(chart, p.x));
      y_low = std::min(y_low, p.y - p.below);
      y_high = std::max(y_high, p.y + p.above);
    }
  }
  if (chart.from_zero || chart.percent) y_low = std::min(y_low, 0.0);
  if (chart.percent) {  // never beyond what a share can be
    y_low = 0;
    y_high = std::max(std::min(y_high * 1.05, 1.0), 0.05);
    if (y_high > 0.75) y_high = 1;
  } else if (y_high > y_low) {
    y_high += 0.04 * (y_high - y_low);
  }
  Axis x = MakeAxis(x_low, x_high, 7, kLeft, kWidth - kRight);
  x.step = std::max(1.0, std::round(x.step));  // steps are whole
  if (chart.log2_x) x = {x_low, std::max(x_high, x_low + 1), 1, kLeft + 20, kWidth - kRight - 20};
  const Axis y = MakeAxis(y_low, y_high, 5, kHeight - kBottom, kTop);
  std::string out = fmt::format(
      "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" "
      "role=\"img\" "
      "aria-label=\"{}\">\n<text class=\"title\" x=\"{}\" y=\"20\">{}</text>\n",
      kWidth, kHeight, EscapeMarkup(chart.title), kLeft, EscapeMarkup(chart.title));
  out += Grid(chart, x, y) + Legend(chart);
  for (size_t s = 0; s < chart.series.size(); ++s)
    out += DrawSeries(chart.series[s], s, x, y, chart.log2_x);
  return out + HoverColumns(chart, x) + "</svg>\n";
}

std::string DrawChartFile(const Chart& chart) {
  const std::string svg = DrawChart(chart);
  const size_t inside = svg.find(">\n") + 2;
  return fmt::format(
      "{}<style>\n{}</style>\n<rect class=\"paper\" width=\"{}\" height=\"{}\"/>\n{}",
      svg.substr(0, inside), ChartStyle(), kWidth, kHeight, svg.substr(inside));
}

std::string DrawHeatMap(const std::vector<std::vector<double>>& load) {
  size_t experts = 0;
  for (const auto& layer : load) experts = std::max(experts, layer.size());
  if (experts == 0) return "";
  const double left = 70, cell = std::min(56.0, (kWidth - left) / static_cast<double>(experts));
  const double row = 30, height = row * static_cast<double>(load.size()) + 6;
  std::string out = fmt::format(
      "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" "
      "role=\"img\" "
      "aria-label=\"expert load\">\n",
      kWidth, height);
  for (size_t l = 0; l < load.size(); ++l) {
    const double top = row * static_cast<double>(l);
    out +=
        fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\">MoE {}</text>",
                    left - 10, top + 20, l + 1);
    for (size_t e = 0; e < load[l].size(); ++e) {
      const double share = load[l][e];
      out += fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"{}\" rx=\"3\" "
          "fill-opacity=\"{:.2f}\"><title>MoE layer {}, expert {}: {:.2f} of an even "
          "load</title></rect>",
          share >= 1 ? "over" : "under", left + cell * static_cast<double>(e), top, cell - 2,
          row - 3, std::clamp(0.08 + std::abs(share - 1), 0.08, 1.0), l + 1, e, share);
      if (cell >= 34) {
        out += fmt::format(
            "<text class=\"cell\" x=\"{:.1f}\" y=\"{:.0f}\" "
            "text-anchor=\"middle\">{:.2f}</text>",
            left + cell * (static_cast<double>(e) + 0.5) - 1, top + 18, share);
      }
    }
    out += '\n';
  }
  return out + "</svg>\n";
}

std::string ChartStyle() {
  return R"(:root{--paper:#fdfcfa;--ink:#22211f;--soft:#6d6a64;--rule:#e2dfd8;--c0:#0b6e99;--c1:#c2571a;--c2:#4f7f3a;--c3:#8a4fa3;--c4:#a8842c;--c5:#b03a55}
@media (prefers-color-scheme:dark){:root{--paper:#171819;--ink:#e9e6e0;--soft:#a19d95;--rule:#33343a;--c0:#58b4dc;--c1:#f0935a;--c2:#93c47d;--c3:#c79bdc;--c4:#dcbc6a;--c5:#ee8399}}
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.paper{fill:var(--paper)}.title{font-size:16px;font-weight:600;fill:var(--ink)}.tick{font-size:13px;fill:var(--soft)}.name,.cell{font-size:13px;fill:var(--ink)}.cell{font-size:12px}
.grid{stroke:var(--rule);fill:none}.axis{stroke:var(--soft);fill:none}
.line{fill:none;stroke:currentColor;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}.faint{stroke-width:1;opacity:.35}.bar{fill:none;stroke:currentColor;stroke-width:1.25;opacity:.6}.dot{fill:currentColor}
.s0{color:var(--c0)}.s1{color:var(--c1)}.s2{color:var(--c2)}.s3{color:var(--c3)}.s4{color:var(--c4)}.s5{color:var(--c5)}
.hit{fill:var(--ink);fill-opacity:0}.hit:hover{fill-opacity:.08}.over{fill:var(--c1)}.under{fill:var(--c0)}
)";
}

}  // namespace darkhorse
