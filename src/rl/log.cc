#include "rl/log.h"

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/run_directory.h"
#include "rl/metrics.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

std::string Truncated(const std::string& path, int64_t last_step) {
  TruncateJsonLines(path, last_step);
  return path;
}

// Null, which has no members, where the text is not JSON.
Json Parsed(const std::string& text) { return TryParseJson<Json>(text).value_or(Json()); }

// A line as the loop's state keeps it: "" for none.
std::string KeptLine(const Json& line) { return line.is_null() ? "" : JsonLine(line); }

Json ParseKeptLine(const Json& kept) {
  const std::string text = kept.get<std::string>();
  return text.empty() ? Json() : Parsed(text);
}

// Checkpoints of older versions hold the value and half the width.
Interval ParseStart(const Json& json) {
  const double value = json.at(0).get<double>(), second = json.at(1).get<double>();
  if (json.size() == 2) return {value, value - second, value + second};
  return {value, second, json.at(2).get<double>()};
}

void AddWarnings(const std::vector<Warning>& warnings, Json& line) {
  for (const Warning& warning : warnings)
    line["warnings"].push_back({{"name", warning.name}, {"text", warning.text}});
}

}  // namespace

std::string JsonLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json Bounds(const Interval& interval) { return Json::array({interval.low, interval.high}); }

namespace {

void AddAccuracies(const Accuracies& accuracies, int64_t samples, Json* json) {
  for (const auto& [k, interval] : accuracies.pass_at_k) {
    (*json)["pass@" + std::to_string(k)] = interval.value;
    (*json)["pass@" + std::to_string(k) + "_ci95"] = Bounds(interval);
  }
  if (!accuracies.majority) return;
  (*json)["maj@" + std::to_string(samples)] = accuracies.majority->value;
  (*json)["maj@" + std::to_string(samples) + "_ci95"] = Bounds(*accuracies.majority);
}

}  // namespace

Json ToJson(const TaskEvaluation& e) {
  Json json{{"task", e.task}};
  if (e.level > 0) json["level"] = e.level;
  json["problems"] = e.problems;
  json["samples"] = e.samples;
  AddAccuracies(e, e.samples, &json);
  if (e.lenient) AddAccuracies(*e.lenient, e.samples, &json["lenient"]);
  if (e.format_rate) json["format_rate"] = *e.format_rate;
  json["truncated_rate"] = e.truncated_rate;
  json["mean_length"] = e.mean_length;
  return json;
}

std::string WriteLoopState(const LoopState& s) {
  const GuardState& g = s.guards;
  Json json{{"completed", s.progress.completed},
            {"next_problem", s.progress.next_problem},
            {"generated", s.progress.generated},
            {"optimizer_step", s.progress.updates},
            {"best_accuracy", s.best_accuracy},
            {"problems", s.problems},
            {"success", s.progress.success},
            {"guards",
             {{"begun", g.begun},
              {"first_entropy", g.first_entropy},
              {"first_length", g.first_length},
              {"first_clipped", g.first_clipped},
              {"first_accuracy", g.first_accuracy},
              {"mean_format", g.mean_format},
              {"best_format", g.best_format},
              {"silent_steps", g.silent_steps},
              {"stale_evaluations", g.stale_evaluations},
              {"warned", g.warned}}},
            {"stopped", s.stopped},
            {"unevaluated", {KeptLine(s.unevaluated.metrics), KeptLine(s.unevaluated.sample)}}};
  if (s.best) json["best"] = *s.best;
  if (g.start) json["guards"]["start"] = {g.start->value, g.start->low, g.start->high};
  return JsonLine(json);
}

LoopState ParseLoopState(const std::string& text, const std::string& name) {
  try {
    const Json json = Parsed(text);
    LoopState s;
    json.at("completed").get_to(s.progress.completed);
    json.at("next_problem").get_to(s.progress.next_problem);
    json.at("generated").get_to(s.progress.generated);
    json.at("optimizer_step").get_to(s.progress.updates);
    json.at("best_accuracy").get_to(s.best_accuracy);
    if (json.contains("best")) s.best = json["best"].get<std::string>();
    json.at("problems").get_to(s.problems);
    json.at("success").get_to(s.progress.success);
    json.at("stopped").get_to(s.stopped);
    s.unevaluated.metrics = ParseKeptLine(json.at("unevaluated").at(0));
    s.unevaluated.sample = ParseKeptLine(json.at("unevaluated").at(1));
    const Json& g = json.at("guards");
    g.at("begun").get_to(s.guards.begun);
    g.at("first_entropy").get_to(s.guards.first_entropy);
    g.at("first_length").get_to(s.guards.first_length);
    g.at("first_clipped").get_to(s.guards.first_clipped);
    g.at("first_accuracy").get_to(s.guards.first_accuracy);
    g.at("mean_format").get_to(s.guards.mean_format);
    g.at("best_format").get_to(s.guards.best_format);
    g.at("silent_steps").get_to(s.guards.silent_steps);
    g.at("stale_evaluations").get_to(s.guards.stale_evaluations);
    g.at("warned").get_to(s.guards.warned);
    if (const auto start = g.find("start"); start != g.end()) s.guards.start = ParseStart(*start);
    return s;
  } catch (const Json::exception&) {
    Fail(
        "{}: its trainer state is not a reinforcement-learning run's; choose another run directory",
        name);
  }
}

ReinforceLog::ReinforceLog(const std::string& run, int64_t last_step)
    : metrics_(Truncated(run + "/metrics.jsonl", last_step)),
      samples_(Truncated(run + "/samples.jsonl", last_step)) {}

StepLines DescribeStep(const ReinforceMetrics& m, bool with_load) {
  Json json{{"step", m.step}, {"num_tokens", m.num_tokens}};
  if (m.scored) {
    json.update({{"reward", m.reward}, {"reward_std", m.reward_std}, {"accuracy", m.accuracy}});
    if (m.accuracy_lenient) json["accuracy_lenient"] = *m.accuracy_lenient;
    if (m.format_rate) json["format_rate"] = *m.format_rate;
  }
  json.update({{"completions/mean_length", m.mean_length},
               {"completions/min_length", m.min_length},
               {"completions/max_length", m.max_length},
               {"completions/clipped_ratio", m.clipped_ratio}});
  if (m.mean_terminated_length)
    json["completions/mean_terminated_length"] = *m.mean_terminated_length;
  json.update({{"completions/repeated_ratio", m.repeated_ratio},
               {"frac_reward_zero_std", m.frac_reward_zero_std}});
  if (m.trained) {
    json["entropy"] = m.entropy;
    if (m.kl) json["kl"] = *m.kl;
    if (m.teacher_kl) json["teacher_kl"] = *m.teacher_kl;
    json.update({{"loss", m.loss},
                 {"grad_norm", m.grad_norm},
                 {"learning_rate", m.learning_rate},
                 {"clip_ratio/low_mean", m.clip_ratio_low},
                 {"clip_ratio/high_mean", m.clip_ratio_high},
                 {"sampling/logp_gap_max", m.sampling_gap},
                 {"max_violation", m.max_violation}});
  }
  json["refills"] = m.refills;
  if (m.scoring_can_fail) json["reward_program/failures"] = m.faults.samples;
  if (m.faults.samples > 0) json["reward_program/last_failure"] = m.faults.last;
  if (with_load && m.trained) json["expert_load"] = m.load;
  for (const PartShare& part : m.curriculum) {
    json["curriculum/" + part.name + "/share"] = part.share;
    json["curriculum/" + part.name + "/success"] = part.success;
  }
  AddWarnings(m.warnings, json);
  Json sample{{"step", m.step}, {"task", m.shown_problem.task}, {"prompt", m.shown_problem.prompt}};
  if (!m.shown_asked.empty()) sample["asked"] = m.shown_asked;
  sample.update(
      {{"completion", m.shown.text}, {"reward", m.shown.score.value}, {"why", m.shown.score.why}});
  return {json, sample};
}

void AddEvaluation(const ReinforceMetrics& m, StepLines& lines) {
  Json& json = lines.metrics;
  json["step"] = m.step;
  json["evaluation"] = Json::array();
  for (const TaskEvaluation& e : m.evaluation) json["evaluation"].push_back(ToJson(e));
  if (m.evaluation_faults.samples > 0)
    json["evaluation/reward_program_failures"] = m.evaluation_faults.samples;
  AddWarnings(m.evaluation_warnings, json);
  if (!m.stopped.empty()) json["stopped"] = m.stopped;
}

void ReinforceLog::Append(const StepLines& lines) {
  metrics_.AppendLine(JsonLine(lines.metrics));
  if (!lines.sample.is_null()) samples_.AppendLine(JsonLine(lines.sample));
}

void ReinforceLog::Sync() {
  metrics_.Sync();
  samples_.Sync();
}

}  // namespace darkhorse
