// What a run directory holds, read with patience: lines that a killed run cut off, or that are not
// JSON, are passed over.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/interval.h"
#include "report/report.h"
#include "report/svg.h"

namespace darkhorse {

using Json = nlohmann::ordered_json;

// What a run writes line by line, and what was measured before it, by their names in its directory.
inline constexpr char kMetricsFile[] = "metrics.jsonl", kSamplesFile[] = "samples.jsonl",
                      kTimingsFile[] = "timings.jsonl", kProbeFile[] = "probe.json",
                      kTextFile[] = "sample.txt";

// Lines of step 1 and later ones.
size_t CountSteps(const std::vector<Json>& lines);

// One training run: pretraining, fine-tuning or reinforcement.
struct RunRecord {
  std::string directory;
  std::string recipe;         // TOML; empty if there is none
  std::vector<Json> metrics;  // objects with an integer "step", in the file's order
  std::vector<Json> samples;  // likewise
  std::vector<Json> timings;  // likewise
  std::string text;           // that the model of a pretraining run wrote; empty if none
  Json probe;                 // of a reinforcement run: what `--probe-only --json` prints
  bool present() const { return !metrics.empty(); }
  // Of steps: line 0, where there is one, is the measurement before the first, which has no reward.
  size_t steps() const { return CountSteps(metrics); }
  bool is_reinforcement() const;
  // Of chats, as its recipe says; it measures what pretraining does.
  bool is_finetuning() const;
};

// Results on held-out problems: an array of objects as `darkhorse evaluate` prints them.
struct Evaluation {
  std::string when;  // "base", "at the start", "after step 60", ...
  Json tasks = Json::array();
};

// All that one report is about. A run that is only pretraining or only reinforcement has the other
// record empty.
struct ReportData {
  std::string name;
  std::string recipe;                    // of the whole run
  RunRecord pretraining, reinforcement;  // or fine-tuning in the place of pretraining
  Evaluation before, after;
};

// `stages`: where a run of several stages has them. Error: the directory holds no run.
ReportData ReadReportData(const std::string& run_directory, const StageNames& stages);

// "countdown level 1" of one task's evaluation; a file of problems has no levels.
std::string TaskName(const Json& evaluation);
// Whether two arrays of evaluations are of the same tasks, in the same order.
bool AreOfTheSameTasks(const Json& one, const Json& other);

// A field over the steps; lines without it are left out.
std::vector<Point> Curve(const std::vector<Json>& lines, const std::string& field);
// The number at `field`, NaN if there is none.
double NumberAt(const Json& object, const std::string& field);
// The same of a share with its 95 % interval, which older versions wrote as half its width; NaN
// where there is none.
Interval ShareAt(const Json& task, const std::string& field);

struct Cost {
  double flops = 0, seconds = 0, core_seconds = 0;
  // Where the run tells them, of `seconds`: sampling, and the part of it that waits for the longest
  // answers.
  double sample_seconds = 0, tail_seconds = 0;
};
Cost CostOf(const std::vector<Json>& timings);

// Every number of the metrics under its own name, evaluations as eval/<task>:<level>/<name>.
std::string TensorBoardFileOf(const RunRecord& run);

}  // namespace darkhorse
