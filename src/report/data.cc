#include "report/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "report/markup.h"
#include "report/tensorboard.h"

namespace darkhorse {
namespace {

std::string ReadIfThere(const std::string& path) { return FileExists(path) ? ReadFile(path) : ""; }

// Null where the text is not JSON.
Json Parsed(std::string_view text) { return TryParseJson<Json>(RepairUtf8(text)).value_or(Json()); }

std::vector<Json> ReadLines(const std::string& path) {
  const std::string text = ReadIfThere(path);
  std::vector<Json> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    Json line = Parsed(std::string_view(text).substr(begin, end - begin));
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer())
      lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

RunRecord ReadRun(const std::string& directory) {
  return {directory,
          ReadIfThere(directory + "/recipe.toml"),
          ReadLines(directory + "/" + kMetricsFile),
          ReadLines(directory + "/" + kSamplesFile),
          ReadLines(directory + "/" + kTimingsFile),
          ReadIfThere(directory + "/" + kTextFile),
          Parsed(ReadIfThere(directory + "/" + kProbeFile))};
}

Json OnlyEvaluations(const Json& tasks) {
  Json kept = Json::array();
  if (!tasks.is_array()) return kept;
  for (const Json& task : tasks) {
    if (task.is_object() && task.contains("task") && task["task"].is_string()) kept.push_back(task);
  }
  return kept;
}

Evaluation ReadEvaluation(const std::string& run, const std::string& file) {
  if (file.empty()) return {};
  return {std::filesystem::path(file).stem(),
          OnlyEvaluations(Parsed(ReadIfThere(run + "/" + file)))};
}

// A reinforcement run alone is measured as it goes: its first and its last measurement.
void TakeEvaluationsOf(const RunRecord& run, ReportData* data) {
  for (const Json& line : run.metrics) {
    if (!line.contains("evaluation")) continue;
    const auto step = line["step"].get<int64_t>();
    const Evaluation evaluation{step == 0 ? "at the start" : fmt::format("after step {}", step),
                                OnlyEvaluations(line["evaluation"])};
    if (data->before.tasks.empty()) {
      data->before = evaluation;
    } else {
      data->after = evaluation;
    }
  }
  if (data->after.tasks.empty()) std::swap(data->before, data->after);
}

}  // namespace

bool RunRecord::is_reinforcement() const {
  return std::ranges::any_of(metrics, [](const Json& line) {
    return line.contains("reward") || line.contains("evaluation");
  });
}

bool RunRecord::is_finetuning() const {
  return recipe.starts_with("[finetune]") || recipe.find("\n[finetune]") != std::string::npos;
}

size_t CountSteps(const std::vector<Json>& lines) {
  return static_cast<size_t>(
      std::ranges::count_if(lines, [](const Json& line) { return line["step"] > 0; }));
}

ReportData ReadReportData(const std::string& run, const StageNames& stages) {
  ReportData data;
  if (!std::filesystem::is_directory(run))
    Fail("{}: no such folder; give the directory of a run, which its --out named", run);
  const std::filesystem::path path = std::filesystem::weakly_canonical(run);
  data.name = path.filename().string();
  RunRecord alone = ReadRun(run);
  if (alone.is_reinforcement()) {
    data.reinforcement = std::move(alone);
  } else if (alone.present()) {
    data.pretraining = std::move(alone);
  } else {
    data.recipe = alone.recipe;
    if (!stages.pretraining.empty()) data.pretraining = ReadRun(run + "/" + stages.pretraining);
    if (!stages.reinforcement.empty())
      data.reinforcement = ReadRun(run + "/" + stages.reinforcement);
    data.before = ReadEvaluation(run, stages.before);
    data.after = ReadEvaluation(run, stages.after);
  }
  if (!data.pretraining.present() && !data.reinforcement.present()) {
    const std::string& first =
        stages.pretraining.empty() ? stages.reinforcement : stages.pretraining;
    const std::string empty =
        first.empty() ? fmt::format("{} has no line", kMetricsFile)
                      : fmt::format("neither {0} nor {1}/{0} has a line", kMetricsFile, first);
    Fail("{}: holds no run: {}; give the directory of a run", run, empty);
  }
  if (data.before.tasks.empty() && data.after.tasks.empty())
    TakeEvaluationsOf(data.reinforcement, &data);
  return data;
}

std::string TaskName(const Json& evaluation) {
  const std::string task = evaluation.value("task", "");
  const auto level = evaluation.find("level");
  if (level == evaluation.end() || !level->is_number_integer()) return task;
  return fmt::format("{} level {}", task, level->get<int64_t>());
}

bool AreOfTheSameTasks(const Json& one, const Json& other) {
  return std::ranges::equal(one, other, {}, TaskName, TaskName);
}

double NumberAt(const Json& object, const std::string& field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_number() ? found->get<double>()
                                                     : std::numeric_limits<double>::quiet_NaN();
}

Interval ShareAt(const Json& task, const std::string& field) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const double value = NumberAt(task, field);
  const auto bounds = task.find(field + "_ci95");
  if (bounds == task.end()) return {value, kNone, kNone};
  if (bounds->is_number()) {
    const double half = bounds->get<double>();
    return {value, std::max(0.0, value - half), std::min(1.0, value + half)};
  }
  if (!bounds->is_array() || bounds->size() != 2 || !bounds->at(0).is_number() ||
      !bounds->at(1).is_number())
    return {value, kNone, kNone};
  return {value, bounds->at(0).get<double>(), bounds->at(1).get<double>()};
}

std::vector<Point> Curve(const std::vector<Json>& lines, const std::string& field) {
  std::vector<Point> points;
  for (const Json& line : lines) {
    const double y = NumberAt(line, field);
    if (std::isfinite(y)) points.push_back({NumberAt(line, "step"), y});
  }
  return points;
}

Cost CostOf(const std::vector<Json>& timings) {
  Cost cost;
  const auto count = [](double value) { return std::isfinite(value) ? value : 0; };
  for (const Json& line : timings) {
    const double seconds = count(NumberAt(line, "seconds"));
    cost.flops += count(NumberAt(line, "flops"));
    cost.seconds += seconds;
    cost.sample_seconds += count(NumberAt(line, "sample_seconds"));
    cost.tail_seconds += count(NumberAt(line, "tail_seconds"));
    cost.core_seconds += seconds * count(NumberAt(line, "threads"));
  }
  return cost;
}

std::string TensorBoardFileOf(const RunRecord& run) {
  std::vector<std::pair<int64_t, std::vector<Scalar>>> steps;
  for (const Json& line : run.metrics) {
    std::vector<Scalar> scalars;
    for (const auto& [name, value] : line.items()) {
      if (value.is_number() && name != "step") scalars.push_back({name, value.get<double>()});
    }
    if (line.contains("evaluation")) {
      for (const Json& task : OnlyEvaluations(line["evaluation"])) {
        const double level = NumberAt(task, "level");
        const std::string task_name = task["task"].get<std::string>();
        const std::string prefix = std::isfinite(level)
                                       ? fmt::format("eval/{}:{}/", task_name, level)
                                       : fmt::format("eval/{}/", task_name);
        for (const auto& [name, value] : task.items()) {
          if (value.is_number() && name != "level")
            scalars.push_back({prefix + name, value.get<double>()});
          const Interval share = ShareAt(task, name);
          if (!std::isfinite(share.high - share.low)) continue;
          scalars.push_back({prefix + name + "_ci95/low", share.low});
          scalars.push_back({prefix + name + "_ci95/high", share.high});
        }
      }
    }
    steps.emplace_back(line["step"].get<int64_t>(), std::move(scalars));
  }
  return TensorBoardFile(steps);
}

}  // namespace darkhorse
