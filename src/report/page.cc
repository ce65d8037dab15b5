#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/format.h"
#include "report/charts.h"
#include "report/markup.h"
#include "report/parts.h"
#include "report/reinforcement.h"

namespace darkhorse {
namespace {

constexpr char kStyle[] =
    R"(*{box-sizing:border-box}html{background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
body{max-width:1180px;margin:0 auto;padding:48px 28px 96px}
h1{font-size:2.1rem;line-height:1.15;margin:0 0 .3rem;overflow-wrap:anywhere}h2{font-size:1.4rem;margin:3.2rem 0 .3rem;padding-top:1.1rem;border-top:1px solid var(--rule)}
p{margin:.3rem 0 1rem;max-width:46rem}.soft{color:var(--soft)}
figcaption{color:var(--soft);font-size:.85rem;line-height:1.4;margin:.2rem 0 0}
.tiles{display:flex;flex-wrap:wrap;gap:14px 34px;margin:1.8rem 0 0}.tile b{display:block;font-size:1.9rem;font-weight:600;line-height:1.25;font-variant-numeric:tabular-nums;white-space:nowrap}.tile span{color:var(--soft);font-size:.9rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:26px 30px;margin-top:1.2rem}.chart{width:100%;height:auto;display:block}.charts .only{max-width:760px}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.8rem 0}th,td{text-align:right;padding:.4rem 1.1rem .4rem 0;border-bottom:1px solid var(--rule);white-space:nowrap}th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
article{margin:1.4rem 0}article header{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:baseline}article header b{font-size:1.02rem}.good{color:var(--c2)}.bad{color:var(--c1)}
pre{margin:.4rem 0 0;padding:.8rem 1rem;border-left:3px solid var(--rule);background:color-mix(in srgb,var(--ink) 4%,transparent);font:14px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;max-height:22em;overflow-y:auto;unicode-bidi:isolate}
pre .prompt{font-weight:600}pre .think{color:var(--soft)}summary{cursor:pointer;color:var(--soft)}
@media print{body{padding:0}pre{max-height:none}}
)";

std::string Tile(const std::string& value, const std::string& name) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", EscapeMarkup(value),
                     EscapeMarkup(name));
}

std::string IntervalOf(const Json& task, const std::string& field) {
  return PercentWithInterval(ShareAt(task, field));
}

// "3.41e15": three digits say all.
std::string Flops(double flops) {
  constexpr std::pair<double, const char*> kUnits[] = {
      {1e18, "EFLOP"}, {1e15, "PFLOP"}, {1e12, "TFLOP"}, {1e9, "GFLOP"}};
  for (const auto& [unit, name] : kUnits) {
    if (flops >= unit) return fmt::format("{:.3g} {}", flops / unit, name);
  }
  return fmt::format("{:.3g} FLOP", flops);
}

// Where a curve begins and where it ends, as a tile; "" where it has fewer points than two.
std::string ChangeTile(const std::vector<Point>& curve, const std::string& name,
                       const std::function<std::string(double)>& spell) {
  if (curve.size() < 2) return "";
  return Tile(spell(curve.front().y) + " → " + spell(curve.back().y),
              fmt::format("{} (step {} → {})", name, curve.front().x, curve.back().x));
}

// The loss of pretraining or fine-tuning, from its start where that was measured.
std::string LossTiles(const RunRecord& run) {
  const auto loss = [](double value) { return OrDash(value, 3); };
  const std::vector<Point> held_out = Curve(run.metrics, "validation_loss");
  const std::vector<Point> training = Curve(run.metrics, "loss");
  const std::vector<Point>& shown = held_out.empty() ? training : held_out;
  const std::string name = held_out.empty() ? "training loss" : "held-out loss";
  const std::string unit =
      name + (run.is_finetuning() ? ", nats a token" : " of the base, nats a token");
  std::string out =
      shown.size() == 1 ? Tile(loss(shown.back().y), unit) : ChangeTile(shown, unit, loss);
  if (shown.size() == 1) {
    out += Tile(Perplexity(shown.back().y), "perplexity, e to the " + name);
  } else {
    out += ChangeTile(shown, "perplexity, e to the " + name, Perplexity);
  }
  if (!held_out.empty()) out += ChangeTile(training, "training loss", loss);
  return out;
}

double LastOf(const RunRecord& run, const std::string& field) {
  const std::vector<Point> curve = Curve(run.metrics, field);
  return curve.empty() ? std::nan("") : curve.back().y;
}

double MeanOver(const Json& tasks, const std::string& field) {
  double sum = 0, count = 0;
  for (const Json& task : tasks) {
    if (const double value = NumberAt(task, field); std::isfinite(value)) sum += value, ++count;
  }
  return count > 0 ? sum / count : std::nan("");
}

std::string Header(const ReportData& data, const ReportOptions& options) {
  const auto describe = [](const auto& how, const std::string& recipe) {
    return how && !recipe.empty() ? EscapeMarkup(how(recipe)) : "";
  };
  const bool both = data.pretraining.present() && data.reinforcement.present();
  std::string out =
      fmt::format("<h1>{}</h1>\n<p class=\"soft\">{}", EscapeMarkup(data.name),
                  both ? "From a generated corpus to a model that reasons: "
                         "pretraining, then reinforcement learning on verifiable "
                         "problems."
                  : data.pretraining.is_finetuning() ? "Supervised fine-tuning on chats."
                  : data.pretraining.present()       ? "A pretraining run."
                                               : "Reinforcement learning on verifiable problems.");
  const std::string model = describe(options.describe_model, data.pretraining.recipe);
  if (!model.empty()) out += " " + model;
  out += "</p>\n";
  const std::string corpus = describe(options.describe_corpus, data.recipe);
  if (!corpus.empty()) out += fmt::format("<p class=\"soft\">{}</p>\n", corpus);
  return out;
}

std::string Tiles(const ReportData& data, const ReportOptions& options) {
  std::string out = "<div class=\"tiles\">\n";
  const auto change = [&](const std::string& field, const std::string& name, bool percent) {
    const double before = MeanOver(data.before.tasks, field);
    const double after = MeanOver(data.after.tasks, field);
    const auto spell = [&](double v) { return percent ? Percent(v) : OrDash(v, 0); };
    if (!std::isfinite(after)) return;
    const bool both =
        std::isfinite(before) && AreOfTheSameTasks(data.before.tasks, data.after.tasks);
    out += Tile(both ? spell(before) + " → " + spell(after) : spell(after),
                name + " (" + (both ? data.before.when + " → " : "") + data.after.when + ")");
  };
  change("pass@1", "held-out pass@1", true);
  change("mean_length", "mean length of a response, tokens", false);
  if (data.before.tasks.empty())
    out +=
        ChangeTile(Curve(data.reinforcement.metrics, "accuracy"), "accuracy in training", Percent);
  out += LossTiles(data.pretraining);
  Cost cost = CostOf(data.pretraining.timings);
  const Cost rl = CostOf(data.reinforcement.timings);
  cost.core_seconds += rl.core_seconds;
  cost.seconds += rl.seconds;
  if (cost.seconds > 0) {
    out += Tile(FormatDuration(cost.seconds), "training time");
    out += Tile(Money(cost.core_seconds / 3600 * options.price_per_core_hour), "cost");
  }
  return out + "</div>\n";
}

std::string HeldOut(const ReportData& data) {
  if (data.before.tasks.empty() && data.after.tasks.empty()) return "";
  std::string out = ReportSection(
      "On held-out problems",
      "pass@k: the probability that at least one of k samples is right, unbiased; in "
      "brackets a 95 % interval over problems. maj@k: the most frequent answer of k samples is "
      "right. Leniently: of answers wherever they stand. Right form: thought and answer stand "
      "where they should. Cut off: the completion met "
      "the limit of its length.");
  out += DrawCharts(PassAtKCharts(data.before, data.after));
  const Json& shown = data.after.tasks.empty() ? data.before.tasks : data.after.tasks;
  for (const Json& task : shown) {
    const double samples = NumberAt(task, "samples");
    const std::string most = OrDash(samples, 0);
    Table table({TaskName(task), "pass@1", "pass@" + most, "maj@" + most, "right form", "cut off",
                 "mean length", "problems"});
    for (const Evaluation* evaluation : {&data.before, &data.after}) {
      for (const Json& row : evaluation->tasks) {
        if (TaskName(row) != TaskName(task)) continue;
        table.Add({evaluation->when, IntervalOf(row, "pass@1") + Leniently(row),
                   IntervalOf(row, "pass@" + most), Percent(NumberAt(row, "maj@" + most)),
                   Percent(NumberAt(row, "format_rate")), Percent(NumberAt(row, "truncated_rate")),
                   OrDash(NumberAt(row, "mean_length"), 1), OrDash(NumberAt(row, "problems"), 0)});
      }
    }
    out += table.Html();
  }
  return out;
}

std::string WrittenText(const std::string& text) {
  if (text.empty()) return "";
  return fmt::format(
      "<p class=\"soft\">What the model writes from nothing at the end, not "
      "chosen:</p>\n<pre>{}</pre>\n",
      EscapeMarkup(text));
}

// What the stage is called that is no reinforcement.
std::string StageName(const RunRecord& run) {
  return run.is_finetuning() ? "fine-tuning" : "pretraining";
}

std::string Pretraining(const RunRecord& run) {
  if (!run.present()) return "";
  const double tokens = LastOf(run, "tokens");
  return ReportSection(run.is_finetuning() ? "Fine-tuning" : "Pretraining",
                       fmt::format("{}, {} tokens.", Counted(run.steps(), "step"),
                                   FormatCount(std::isfinite(tokens) ? tokens : 0))) +
         DrawCharts(PretrainingCharts(run)) + WrittenText(run.text);
}

// Each layer's counts over their mean.
std::vector<std::vector<double>> RelativeLoad(const Json& load) {
  std::vector<std::vector<double>> relative;
  for (const Json& layer : load) {
    relative.emplace_back();
    double sum = 0;
    for (const Json& tokens : layer) {
      if (!tokens.is_number()) return {};
      relative.back().push_back(tokens.get<double>());
      sum += relative.back().back();
    }
    for (double& share : relative.back())
      share *= sum > 0 ? static_cast<double>(layer.size()) / sum : 0;
  }
  return relative;
}

std::string ExpertLoad(const RunRecord& run, const std::string& stage) {
  for (size_t i = run.metrics.size(); i-- > 0;) {
    const auto load = run.metrics[i].find("expert_load");
    if (load == run.metrics[i].end() || !load->is_array()) continue;
    const std::string map = DrawHeatMap(RelativeLoad(*load));
    if (map.empty()) return "";
    return ReportSection(
               "Load of the experts in " + stage,
               fmt::format("Tokens that each routed expert received in step {}, as a multiple "
                           "of an even load.",
                           run.metrics[i]["step"].get<int64_t>())) +
           map;
  }
  return "";
}

std::string Costs(const ReportData& data, const ReportOptions& options) {
  Table table({"stage", "steps", "operations", "time", "GFLOP/s", "core-hours", "money"});
  Cost total;
  int rows = 0;
  std::string tail;
  const auto add = [&](const std::string& name, const std::string& steps, const Cost& cost) {
    table.Add({name, steps, Flops(cost.flops), FormatDuration(cost.seconds),
               OrDash(cost.flops / cost.seconds * 1e-9, 1), OrDash(cost.core_seconds / 3600, 4),
               Money(cost.core_seconds / 3600 * options.price_per_core_hour)});
    ++rows;
  };
  for (const RunRecord* run : {&data.pretraining, &data.reinforcement}) {
    const Cost cost = CostOf(run->timings);
    if (cost.seconds <= 0) continue;
    add(run == &data.pretraining ? StageName(*run) : "reinforcement",
        std::to_string(CountSteps(run->timings)), cost);
    total.flops += cost.flops;
    total.seconds += cost.seconds;
    total.core_seconds += cost.core_seconds;
    if (cost.sample_seconds > 0) {
      tail = fmt::format(
          "<p>Of the time of reinforcement {:.0f} % was sampling, and {:.0f} % its tail: fewer "
          "than half of the sequences were still running, for the longest answers are waited "
          "for.</p>\n",
          100 * cost.sample_seconds / cost.seconds, 100 * cost.tail_seconds / cost.seconds);
    }
  }
  if (rows == 0) return "";
  if (rows > 1) add("both", "", total);
  return ReportSection(
             "Cost",
             fmt::format("Operations are those of the model's matrix products and attention, a "
                         "multiply-add counting two, evaluations left out; time and core-hours "
                         "are those of the steps, evaluations included. Money at ${:g} a core "
                         "an hour; a report can be made at another price.",
                         options.price_per_core_hour)) +
         table.Html() + tail;
}

std::string Recipes(const ReportData& data) {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& toml) {
    if (toml.empty()) return;
    out += fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", name,
                       EscapeMarkup(toml));
  };
  add("Recipe of the run", data.recipe);
  add("Recipe of " + StageName(data.pretraining), data.pretraining.recipe);
  add("Recipe of reinforcement learning", data.reinforcement.recipe);
  return out.empty() ? "" : "<h2>Recipes</h2>\n" + out;
}

}  // namespace

std::string ReportPage(const ReportData& data, const ReportOptions& options) {
  // The policy makes the browser refuse anything that a completion might smuggle in.
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
             "style-src 'unsafe-inline'\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n"
             "<title>{} · darkhorse</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
             EscapeMarkup(data.name), ChartStyle(), kStyle) +
         Header(data, options) + Tiles(data, options) + HeldOut(data) +
         ReinforcementSections(data.reinforcement) + Pretraining(data.pretraining) +
         ExpertLoad(data.pretraining, StageName(data.pretraining)) +
         ExpertLoad(data.reinforcement, "reinforcement") + Costs(data, options) + Recipes(data) +
         "</body>\n</html>\n";
}

}  // namespace darkhorse
