#include "report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace darkhorse {
namespace {

using Style = Series::Style;

std::vector<NamedChart> WithPoints(std::vector<NamedChart> charts) {
  std::erase_if(charts, [](const NamedChart& c) { return IsEmpty(c.chart); });
  return charts;
}

bool AllZero(const std::vector<Point>& points) {
  for (const Point& p : points) {
    if (p.y != 0) return false;
  }
  return true;
}

// Quantities a recipe may not use at all say nothing as a line of zeros.
std::vector<Point> CurveUnlessZero(const std::vector<Json>& lines, const std::string& field) {
  std::vector<Point> points = Curve(lines, field);
  return AllZero(points) ? std::vector<Point>{} : points;
}

// pass@1 of each held-out measurement, the mean over tasks.
std::vector<Point> HeldOutAccuracy(const RunRecord& run) {
  std::vector<Point> points;
  for (const Json& line : run.metrics) {
    if (!line.contains("evaluation") || !line["evaluation"].is_array()) continue;
    double sum = 0, spread = 0, count = 0;
    for (const Json& task : line["evaluation"]) {
      const double value = NumberAt(task, "pass@1");
      const double half = NumberAt(task, "pass@1_ci95");
      if (!std::isfinite(value)) continue;
      sum += value;
      spread += std::isfinite(half) ? half * half : 0;  // tasks' problems are independent
      ++count;
    }
    if (count > 0)
      points.push_back({NumberAt(line, "step"), sum / count, std::sqrt(spread) / count});
  }
  return points;
}

// k of the field "pass@k", 0 of any other.
int PassK(const std::string& field) {
  int k = 0;
  if (!field.starts_with("pass@")) return 0;
  const char* end = field.data() + field.size();
  return std::from_chars(field.data() + 5, end, k).ptr == end ? k : 0;
}

std::vector<Point> PassCurve(const Json& task) {
  std::vector<Point> points;
  for (const auto& [field, value] : task.items()) {
    if (const int k = PassK(field); k > 0 && value.is_number()) {
      const double half = NumberAt(task, field + "_ci95");
      points.push_back(
          {static_cast<double>(k), value.get<double>(), std::isfinite(half) ? half : 0});
    }
  }
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  return points;
}

}  // namespace

std::vector<NamedChart> PretrainingCharts(const RunRecord& run) {
  const auto& lines = run.metrics;
  return WithPoints({
      {"loss",
       {.title = "Loss (nats a token)",
        .x_label = "step",
        .series = {{"training", Curve(lines, "loss"), Style::kTrend},
                   {"held-out", Curve(lines, "validation_loss"), Style::kDots},
                   {"multi-token prediction", CurveUnlessZero(lines, "mtp_loss"), Style::kTrend}}}},
      {"max_violation",
       {.title = "Imbalance of the experts (MaxVio)",
        .x_label = "step",
        .series = {{"worst layer", CurveUnlessZero(lines, "max_violation"), Style::kTrend}},
        .from_zero = true}},
      {"learning_rate",
       {.title = "Learning rate",
        .x_label = "step",
        .series = {{"learning rate", Curve(lines, "learning_rate")}},
        .from_zero = true}},
      {"grad_norm",
       {.title = "Gradient norm, before clipping",
        .x_label = "step",
        .series = {{"norm", Curve(lines, "grad_norm"), Style::kTrend}},
        .from_zero = true}},
  });
}

std::vector<NamedChart> ReinforcementCharts(const RunRecord& run) {
  const auto& lines = run.metrics;
  return WithPoints({
      {"reward",
       {.title = "Reward and accuracy",
        .x_label = "step",
        .series = {{"accuracy", Curve(lines, "accuracy"), Style::kTrend},
                   {"held-out pass@1", HeldOutAccuracy(run), Style::kDots},
                   {"reward", Curve(lines, "reward"), Style::kTrend}},
        .percent = true}},
      {"length",
       {.title = "Length of a response (tokens)",
        .x_label = "step",
        .series = {{"mean", Curve(lines, "completions/mean_length"), Style::kTrend},
                   {"mean of those that ended", Curve(lines, "completions/mean_terminated_length"),
                    Style::kTrend}},
        .from_zero = true}},
      {"entropy",
       {.title = "Entropy of the policy (nats a token)",
        .x_label = "step",
        .series = {{"entropy", Curve(lines, "entropy"), Style::kTrend}},
        .from_zero = true}},
      {"signal",
       {.title = "Groups without signal, completions cut off, right form",
        .x_label = "step",
        .series = {{"no signal", Curve(lines, "frac_reward_zero_std"), Style::kTrend},
                   {"cut off", Curve(lines, "completions/clipped_ratio"), Style::kTrend},
                   {"right form", Curve(lines, "format_rate"), Style::kTrend}},
        .percent = true}},
      {"unscored",
       {.title = "Samples that the reward program failed on",
        .x_label = "step",
        .series = {{"failures", CurveUnlessZero(lines, "reward_program/failures"), Style::kTrend}},
        .from_zero = true}},
      {"rl_grad_norm",
       {.title = "Gradient norm, before clipping",
        .x_label = "step",
        .series = {{"norm", Curve(lines, "grad_norm"), Style::kTrend}},
        .from_zero = true}},
      {"kl",
       {.title = "Divergence from the reference (k3, nats a token)",
        .x_label = "step",
        .series = {{"KL", CurveUnlessZero(lines, "kl"), Style::kTrend}},
        .from_zero = true}},
      {"clip",
       {.title = "Tokens whose ratio was clipped",
        .x_label = "step",
        .series = {{"low", CurveUnlessZero(lines, "clip_ratio/low_mean"), Style::kTrend},
                   {"high", CurveUnlessZero(lines, "clip_ratio/high_mean"), Style::kTrend}},
        .percent = true}},
      {"rl_max_violation",
       {.title = "Imbalance of the experts (MaxVio)",
        .x_label = "step",
        .series = {{"worst layer", CurveUnlessZero(lines, "max_violation"), Style::kTrend}},
        .from_zero = true}},
  });
}

std::vector<NamedChart> PassAtKCharts(const Evaluation& before, const Evaluation& after) {
  std::vector<NamedChart> charts;
  for (const Json& task : after.tasks.empty() ? before.tasks : after.tasks) {
    Chart chart{.title = "Held-out pass@k: " + TaskName(task),
                .x_label = "k",
                .percent = true,
                .log2_x = true};
    for (const Evaluation* evaluation : {&before, &after}) {
      for (const Json& other : evaluation->tasks) {
        if (TaskName(other) == TaskName(task))
          chart.series.push_back({evaluation->when, PassCurve(other), Style::kDots});
      }
    }
    std::string name = "pass_at_k";
    if (!charts.empty()) name += fmt::format("_{}", charts.size() + 1);
    charts.push_back({name, chart});
  }
  return WithPoints(charts);
}

}  // namespace darkhorse
