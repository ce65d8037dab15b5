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

// Without a bar where its interval is not known.
Point WithBar(double x, const Interval& y) {
  if (!std::isfinite(y.high - y.low)) return {x, y.value};
  return {x, y.value, y.value - y.low, y.high - y.value};
}

// pass@1 of each held-out measurement, the mean over tasks.
std::vector<Point> HeldOutAccuracy(const RunRecord& run) {
  std::vector<Point> points;
  for (const Json& line : run.metrics) {
    if (!line.contains("evaluation") || !line["evaluation"].is_array()) continue;
    std::vector<Interval> tasks;  // whose problems are independent
    for (const Json& task : line["evaluation"]) {
      const Interval share = ShareAt(task, "pass@1");
      if (std::isfinite(share.value)) tasks.push_back(share);
    }
    if (!tasks.empty()) points.push_back(WithBar(NumberAt(line, "step"), MeanOf(tasks)));
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
      points.push_back(WithBar(k, ShareAt(task, field)));
    }
  }
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  return points;
}

constexpr char kImbalanceNote[] =
    "MaxVio: by how much the busiest expert's share of the tokens exceeds an even one. 0 is even, "
    "1 is twice as many.";
constexpr char kGradNormNote[] =
    "The length of the gradient; a jump tells of a batch that the model was not ready for.";

// "" where no loss was measured. Training's loss is known from the first step on.
std::string PerplexityNote(const std::vector<Json>& lines) {
  const std::vector<Point> curve = Curve(lines, "loss");
  if (curve.empty()) return "";
  return fmt::format(
      "Perplexity is e to the loss: among so many equally likely tokens the model chooses. In "
      "training it went from {} to {}.",
      Perplexity(curve.front().y), Perplexity(curve.back().y));
}

}  // namespace

std::string Perplexity(double loss) {
  const double perplexity = std::exp(loss);
  return std::isfinite(perplexity) ? fmt::format("{:.4g}", perplexity) : "–";
}

std::vector<NamedChart> PretrainingCharts(const RunRecord& run) {
  const auto& lines = run.metrics;
  return WithPoints({
      {"loss",
       {.title = "Loss (nats a token)",
        .x_label = "step",
        .series = {{"training", Curve(lines, "loss"), Style::kTrend},
                   {"held-out", Curve(lines, "validation_loss"), Style::kDots},
                   {"multi-token prediction", CurveUnlessZero(lines, "mtp_loss"), Style::kTrend}}},
       PerplexityNote(lines)},
      {"max_violation",
       {.title = "Imbalance of the experts (MaxVio)",
        .x_label = "step",
        .series = {{"worst layer", CurveUnlessZero(lines, "max_violation"), Style::kTrend}},
        .from_zero = true},
       kImbalanceNote},
      {"learning_rate",
       {.title = "Learning rate",
        .x_label = "step",
        .series = {{"learning rate", Curve(lines, "learning_rate")}},
        .from_zero = true}},
      {"grad_norm",
       {.title = "Gradient norm, before clipping",
        .x_label = "step",
        .series = {{"norm", Curve(lines, "grad_norm"), Style::kTrend}},
        .from_zero = true},
       kGradNormNote},
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
                   {"reward", Curve(lines, "reward"), Style::kTrend},
                   {"accuracy, lenient", Curve(lines, "accuracy_lenient"), Style::kTrend}},
        .percent = true},
       "Accuracy: the share of completions with the right answer; lenient: wherever it stands. "
       "Reward: what they earned; their "
       "form or length may lower it. pass@1: accuracy on held-out problems; bars "
       "are 95 % intervals."},
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
        .from_zero = true},
       "How undecided the policy is about its next token; near 0 it says always the same and finds "
       "nothing new."},
      {"signal",
       {.title = "Groups without signal, completions cut off, right form",
        .x_label = "step",
        .series = {{"no signal", Curve(lines, "frac_reward_zero_std"), Style::kTrend},
                   {"cut off", Curve(lines, "completions/clipped_ratio"), Style::kTrend},
                   {"right form", Curve(lines, "format_rate"), Style::kTrend}},
        .percent = true},
       "No signal: all samples of a problem got the same reward, so the group teaches nothing. Cut "
       "off: the completion met the limit of its length. Right form: thought and answer stand "
       "where they should."},
      {"unscored",
       {.title = "Samples that the reward program failed on",
        .x_label = "step",
        .series = {{"failures", CurveUnlessZero(lines, "reward_program/failures"), Style::kTrend}},
        .from_zero = true}},
      {"rl_grad_norm",
       {.title = "Gradient norm, before clipping",
        .x_label = "step",
        .series = {{"norm", Curve(lines, "grad_norm"), Style::kTrend}},
        .from_zero = true},
       kGradNormNote},
      {"kl",
       {.title = "Divergence from the reference (k3, nats a token)",
        .x_label = "step",
        .series = {{"KL", CurveUnlessZero(lines, "kl"), Style::kTrend}},
        .from_zero = true},
       "How far the policy has moved from the reference, by the estimator k3."},
      {"clip",
       {.title = "Tokens whose ratio was clipped",
        .x_label = "step",
        .series = {{"low", CurveUnlessZero(lines, "clip_ratio/low_mean"), Style::kTrend},
                   {"high", CurveUnlessZero(lines, "clip_ratio/high_mean"), Style::kTrend}},
        .percent = true},
       "Clip ratio: the share of tokens whose probability had left the range around that of "
       "sampling, so that they taught nothing more; low and high are the two ends of the range."},
      {"rl_max_violation",
       {.title = "Imbalance of the experts (MaxVio)",
        .x_label = "step",
        .series = {{"worst layer", CurveUnlessZero(lines, "max_violation"), Style::kTrend}},
        .from_zero = true},
       kImbalanceNote},
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
    charts.push_back(
        {name, chart,
         "pass@k: the probability that at least one of k samples is right. Bars are 95 % "
         "intervals over problems."});
  }
  return WithPoints(charts);
}

}  // namespace darkhorse
