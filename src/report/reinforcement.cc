#include "report/reinforcement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "report/markup.h"
#include "report/parts.h"

namespace darkhorse {
namespace {

constexpr size_t kThoughts = 8;         // shown, evenly spaced over the run
constexpr size_t kThoughtBytes = 6000;  // of each

std::string TextAt(const Json& line, const std::string& field) {
  const auto found = line.find(field);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Curves(const RunRecord& run) {
  const double gap = [&] {
    double worst = 0;
    for (const Point& p : Curve(run.metrics, "sampling/logp_gap_max")) worst = std::max(worst, p.y);
    return worst;
  }();
  return ReportSection(
             "Reinforcement learning",
             fmt::format("{}. Points are steps, the strong line is their moving average; "
                         "hover for values. Largest difference between the log-probability of "
                         "a token as sampled and as trained on: {:.3g}.",
                         Counted(run.steps(), "step"), gap)) +
         DrawCharts(ReinforcementCharts(run));
}

// What the model could do before its first step, and what that foretold.
std::string Probe(const Json& probe) {
  if (!probe.is_object() || !probe.contains("parts") || !probe["parts"].is_array()) return "";
  Table table({"problems", "tried", "pass@1", "right form", "cut off", "mean length",
               "groups with a signal"});
  for (const Json& part : probe["parts"]) {
    if (!part.is_object()) continue;
    table.Add({TextAt(part, "name"), OrDash(NumberAt(part, "problems"), 0),
               Percent(NumberAt(part, "pass@1")) + Leniently(part),
               Percent(NumberAt(part, "format_rate")), Percent(NumberAt(part, "truncated_rate")),
               OrDash(NumberAt(part, "mean_length"), 0),
               OrDash(NumberAt(part, "signal_groups"), 0)});
  }
  std::string out =
      ReportSection("Before the first step",
                    "A sample of training problems, each tried as often as a group is large. A "
                    "group has a signal "
                    "where its rewards differ: only then is there anything to learn from it.");
  out += table.Html();
  const auto findings = probe.find("findings");
  if (findings == probe.end() || !findings->is_array()) return out;
  for (const Json& finding : *findings) {
    if (finding.is_string())
      out += fmt::format("<p class=\"bad\">{}</p>\n", EscapeMarkup(finding.get<std::string>()));
  }
  return out;
}

// Each warning and the step that gave rise to it; why the run ended early.
std::string Warnings(const std::vector<Json>& lines) {
  std::string out;
  const auto add = [&](const Json& line, const std::string& text) {
    out += fmt::format("<p class=\"bad\">After step {}: {}</p>\n", line["step"].get<int64_t>(),
                       EscapeMarkup(text));
  };
  for (const Json& line : lines) {
    const auto warnings = line.find("warnings");
    if (warnings != line.end() && warnings->is_array()) {
      for (const Json& warning : *warnings) {
        if (warning.is_object()) add(line, TextAt(warning, "text"));
      }
    }
    if (line.contains("stopped")) add(line, "the run ended: " + TextAt(line, "stopped"));
  }
  return out.empty() ? "" : ReportSection("Warnings", "What was noticed while it ran.") + out;
}

// Success of each part of the mixture as measured in training, and how often it was drawn.
std::string Curriculum(const std::vector<Json>& lines) {
  constexpr std::string_view kPrefix = "curriculum/", kSuffix = "/success";
  Table table({"problems", "success at first", "at last", "share at first", "at last"});
  int rows = 0;
  for (const auto& [field, value] : lines.back().items()) {
    if (!field.starts_with(kPrefix) || !field.ends_with(kSuffix)) continue;
    const std::string name =
        field.substr(kPrefix.size(), field.size() - kPrefix.size() - kSuffix.size());
    const std::string share = std::string(kPrefix) + name + "/share";
    const std::vector<Point> successes = Curve(lines, field), shares = Curve(lines, share);
    if (successes.empty() || shares.empty()) continue;
    table.Add({name, Percent(successes.front().y), Percent(successes.back().y),
               Percent(shares.front().y), Percent(shares.back().y)});
    ++rows;
  }
  if (rows == 0) return "";
  return ReportSection("Curriculum",
                       "Problems that are nearly always or never solved teach little and are drawn "
                       "less often. Success is a running mean over the training problems drawn.") +
         table.Html();
}

// The thinking dimmed, up to where it ends.
std::string DimThought(const std::string& escaped) {
  constexpr std::string_view kOpen = "&lt;think&gt;", kClose = "&lt;/think&gt;";
  const size_t begin = escaped.find(kOpen);
  if (begin == std::string::npos) return escaped;
  const size_t close = escaped.find(kClose, begin);
  const size_t end = close == std::string::npos ? escaped.size() : close + kClose.size();
  return fmt::format("{}<span class=\"think\">{}</span>{}", escaped.substr(0, begin),
                     escaped.substr(begin, end - begin), escaped.substr(end));
}

std::string Thought(const Json& sample) {
  std::string completion = TextAt(sample, "completion");
  const size_t size = completion.size();
  if (size > kThoughtBytes) completion.resize(kThoughtBytes);
  const double reward = NumberAt(sample, "reward");
  std::string out = fmt::format(
      "<article><header><b>Step {}</b><span class=\"{}\">reward {}</span><span "
      "class=\"soft\">{}</span></header>\n<pre><span class=\"prompt\">{}</span>{}",
      sample["step"].get<int64_t>(), reward >= 1 ? "good" : "bad", OrDash(reward, 2),
      EscapeMarkup(TextAt(sample, "why")), EscapeMarkup(TextAt(sample, "prompt")),
      DimThought(EscapeMarkup(completion)));
  if (size > kThoughtBytes) out += fmt::format("\n… and {} bytes more", size - kThoughtBytes);
  return out + "</pre></article>\n";
}

std::string Thoughts(const std::vector<Json>& samples) {
  if (samples.empty()) return "";
  std::string out = ReportSection("Thoughts over time",
                                  "The first completion of a step's first problem, not chosen; the "
                                  "prompt stands before it. All are in samples.jsonl.");
  const size_t count = std::min(kThoughts, samples.size());
  for (size_t i = 0; i < count; ++i)
    out += Thought(samples[count == 1 ? 0 : i * (samples.size() - 1) / (count - 1)]);
  return out;
}

}  // namespace

std::string ReinforcementSections(const RunRecord& run) {
  if (!run.present()) return "";
  return Probe(run.probe) + Curves(run) + Warnings(run.metrics) + Curriculum(run.metrics) +
         Thoughts(run.samples);
}

}  // namespace darkhorse
