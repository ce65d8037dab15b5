#include "rl/log.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/run_directory.h"
#include "rl/reinforce.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

std::string Truncated(const std::string& path, int64_t last_step) {
  TruncateJsonLines(path, last_step);
  return path;
}

// Model output may be any bytes; JSON wants UTF-8.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ToJson(const TaskEvaluation& e) {
  Json json{{"task", e.task}, {"level", e.level}, {"problems", e.problems}, {"samples", e.samples}};
  for (const auto& [k, interval] : e.pass_at_k) {
    json["pass@" + std::to_string(k)] = interval.value;
    json["pass@" + std::to_string(k) + "_ci95"] = interval.half_width;
  }
  json["maj@" + std::to_string(e.samples)] = e.majority.value;
  json["format_rate"] = e.format_rate;
  json["truncated_rate"] = e.truncated_rate;
  json["mean_length"] = e.mean_length;
  return json;
}

}  // namespace

std::string EvaluationJson(const TaskEvaluation& evaluation) { return Dump(ToJson(evaluation)); }

std::string WriteLoopState(const LoopState& s) {
  return Dump(Json{{"completed", s.completed},
                   {"next_problem", s.next_problem},
                   {"generated", s.generated},
                   {"optimizer_step", s.optimizer_step},
                   {"best_accuracy", s.best_accuracy},
                   {"problems", s.problems}});
}

LoopState ParseLoopState(const std::string& text, const std::string& name) {
  try {
    const Json json = Json::parse(text);
    return {json.at("completed").get<int64_t>(),    json.at("next_problem").get<int64_t>(),
            json.at("generated").get<int64_t>(),    json.at("optimizer_step").get<int64_t>(),
            json.at("best_accuracy").get<double>(), json.value("problems", "")};
  } catch (const Json::exception&) {
    Fail("{}: its trainer state is not a reinforcement-learning run's; choose another --out", name);
  }
}

ReinforceLog::ReinforceLog(const std::string& run, int64_t last_step)
    : metrics_(Truncated(run + "/metrics.jsonl", last_step)),
      samples_(Truncated(run + "/samples.jsonl", last_step)) {}

void ReinforceLog::Append(const ReinforceMetrics& m) {
  Json json{{"step", m.step},
            {"num_tokens", m.num_tokens},
            {"reward", m.reward},
            {"reward_std", m.reward_std},
            {"accuracy", m.accuracy},
            {"format_rate", m.format_rate},
            {"completions/mean_length", m.mean_length},
            {"completions/min_length", m.min_length},
            {"completions/max_length", m.max_length},
            {"completions/clipped_ratio", m.clipped_ratio},
            {"completions/mean_terminated_length", m.mean_terminated_length},
            {"frac_reward_zero_std", m.frac_reward_zero_std},
            {"entropy", m.entropy},
            {"kl", m.kl},
            {"loss", m.loss},
            {"grad_norm", m.grad_norm},
            {"learning_rate", m.learning_rate},
            {"clip_ratio/low_mean", m.clip_ratio_low},
            {"clip_ratio/high_mean", m.clip_ratio_high},
            {"sampling/logp_gap_max", m.sampling_gap},
            {"max_violation", m.max_violation},
            {"refills", m.refills}};
  if (m.scoring_can_fail) json["reward_program/failures"] = m.faults.samples;
  if (m.faults.samples > 0) json["reward_program/last_failure"] = m.faults.last;
  if (!m.evaluation.empty()) json["expert_load"] = m.load;
  for (const TaskEvaluation& e : m.evaluation) json["evaluation"].push_back(ToJson(e));
  metrics_.AppendLine(Dump(json));
  samples_.AppendLine(Dump(Json{{"step", m.step},
                                {"task", m.shown_problem.task},
                                {"prompt", m.shown_problem.prompt},
                                {"completion", m.shown.text},
                                {"reward", m.shown.score.value},
                                {"why", m.shown.score.why}}));
}

}  // namespace darkhorse
