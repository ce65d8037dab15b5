#include "rl/probe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "model/cost.h"
#include "rl/log.h"
#include "rl/policy_step.h"
#include "rl/sample_metrics.h"

namespace darkhorse {
namespace {

constexpr uint64_t kProbeSeed = 0xd1b54a32d192ed03;

double Count(int64_t n) { return static_cast<double>(n); }

std::vector<Problem> Draw(const ReinforceRecipe& recipe, Environment& environment, size_t part) {
  std::vector<Problem> problems;
  for (int64_t i = 0; i < recipe.probe.problems; ++i) {
    problems.push_back(
        environment.TrainingProblemOf(part, recipe.rl.seed ^ kProbeSeed, static_cast<uint64_t>(i)));
  }
  return problems;
}

PartProbe Measure(const ReinforceOptions& rl, const MixturePart& mixed,
                  const std::vector<Problem>& problems, std::vector<Sample> samples) {
  PartProbe part;
  part.name = mixed.name;
  part.weight = mixed.weight;
  const size_t group = static_cast<size_t>(rl.group_size);
  for (size_t p = 0; p < problems.size(); ++p) {
    const std::span<Sample> own = std::span(samples).subspan(p * group, group);
    for (Sample& sample : own) sample.problem = p;
    part.signal_groups += HasSignal(rl, own);
    part.pass_at_group += std::ranges::any_of(own, [](const Sample& s) { return s.score.correct; });
    part.prompt_length += static_cast<double>(own.front().prompt.size());
  }
  part.pass_at_group /= static_cast<double>(problems.size());
  part.prompt_length /= static_cast<double>(problems.size());
  for (const Sample& sample : samples) part.answered += !sample.score.parsed.empty();
  part.answered /= static_cast<double>(samples.size());
  part.evaluation = Summarize(problems, samples, rl.group_size);
  return part;
}

// FLOP/s of a forward pass over a few micro-batches of the samples. Backward passes are the same
// kernels on the same shapes.
double MeasureTrainingSpeed(const ReinforceRecipe& recipe, TrainedModel& trained,
                            const std::vector<Sample>& samples) {
  constexpr int64_t kMicroBatches = 4;
  std::vector<PolicySample> scored;
  int64_t rows = 0;
  for (const Sample& sample : samples) {
    if (sample.completion.empty()) continue;
    rows += static_cast<int64_t>(sample.prompt.size() + sample.completion.size());
    if (!scored.empty() && rows > kMicroBatches * recipe.rl.micro_batch_tokens) break;
    scored.push_back({&sample, 0, false, {}, {}});
  }
  const double flops =
      ForwardFlops(trained.model().cost(), PackSamples(scored, Packing(recipe.rl)));
  const double start = SteadySeconds();
  CompletionLogps(trained.model(), trained.bound_weights(), Packing(recipe.rl), trained.arena(),
                  scored);
  return flops / (SteadySeconds() - start);
}

// Weighted mean over the parts of what training will see.
struct Typical {
  double prompt = 0, length = 0, signal = 0;
};

Typical TypicalOf(const std::vector<PartProbe>& parts) {
  double total = 0;
  for (const PartProbe& part : parts) total += part.weight;
  Typical typical;
  for (const PartProbe& part : parts) {
    const double share = part.weight / total;
    typical.prompt += share * part.prompt_length;
    typical.length += share * part.evaluation.mean_length;
    typical.signal += share * Count(part.signal_groups) / Count(part.evaluation.problems);
  }
  return typical;
}

double RunSeconds(const ReinforceRecipe& recipe, const ModelCost& cost, const Teacher* teacher,
                  const ProbeReport& report, const Typical& typical) {
  const ReinforceOptions& rl = recipe.rl;
  // Each round draws anew what the ones before it left without a signal.
  double rounds = 0, missing = 1;
  for (int64_t round = 0; round <= rl.max_refills; ++round) {
    rounds += missing;
    missing *= 1 - typical.signal;
  }
  const double samples = Count(rl.prompts_per_step) * Count(rl.group_size);
  const double generated = samples * rounds * typical.length;
  // A long prompt is computed once for as many samples of its group as a micro-batch holds.
  const double most = typical.prompt < Count(rl.shared_prompt_tokens) ? 1 : Count(rl.group_size);
  const double sharing = std::clamp(
      std::floor((Count(rl.micro_batch_tokens) - typical.prompt) / std::max(1.0, typical.length)),
      1.0, most);
  const auto pass = [&](const ModelCost& model) {
    return typical.prompt * model.ForwardFlopsPerToken((typical.prompt + 1) / 2) / sharing +
           typical.length * model.ForwardFlopsPerToken(typical.prompt + (typical.length + 1) / 2);
  };
  const double of_a_sample =
      ForwardPasses(recipe) * pass(cost) + (teacher ? pass(teacher->cost()) : 0);
  const double trained = samples * (1 - missing) * of_a_sample;
  const int64_t evaluations =
      rl.evaluate_every > 0 ? 1 + (rl.steps + rl.evaluate_every - 1) / rl.evaluate_every : 0;
  const double evaluated = Count(evaluations) * Count(static_cast<int64_t>(report.parts.size())) *
                           Count(rl.evaluate_problems) * Count(rl.evaluate_samples) *
                           typical.length;
  return (Count(rl.steps) * generated + evaluated) / report.tokens_per_second +
         Count(rl.steps) * trained / report.training_flops_per_second;
}

void DiagnosePart(const ReinforceRecipe& recipe, bool unscored, PartProbe* part) {
  const ReinforceOptions& rl = recipe.rl;
  const TaskEvaluation& e = part->evaluation;
  const bool silent = part->signal_groups == 0;
  // What has no tags may yet be right: a program may ask for another form.
  const bool formless = silent && e.format_rate.value_or(0) == 0 && part->pass_at_group == 0;
  const bool right_elsewhere = e.lenient && e.lenient->pass_at_k.back().second.value > 0;
  const bool by_program = !recipe.problems.reward.empty();
  const auto say = [&](std::string cause, std::string cure) {
    part->cause = std::move(cause);
    part->cure = std::move(cure);
  };
  if (silent && unscored) {
    say("samples could not be scored, and the others of their groups are all alike",
        "mend the reward program");
  } else if (e.truncated_rate > 0.5) {
    say("most completions are cut off",
        fmt::format("raise rl.max_tokens (now {}; the model's context is the limit), or pretrain "
                    "longer, so that the model learns to end",
                    rl.max_tokens));
  } else if (formless && part->answered > 0 && by_program) {
    say("answers are given, but the reward program rates all of a group alike and none as right",
        "choose easier problems, pretrain on answers of their kind, or mend the program");
  } else if (formless && right_elsewhere) {
    say("right answers are given, but never where they are read",
        fmt::format(
            "set problems.answer (now {}) to where they stand, or problems.format_reward to "
            "never",
            recipe.problems.answer));
  } else if (formless && e.lenient) {
    say("no completion has a legal answer where it is read, and none elsewhere is right",
        fmt::format(
            "choose easier problems, set problems.answer (now {}) to where answers stand, or "
            "say in prompt.instruction where they belong",
            recipe.problems.answer));
  } else if (formless && part->answered > 0) {
    say("answers stand between their tags, but none is one that the scorer can read",
        "choose another rule, or pretrain on answers of its kind");
  } else if (formless) {
    say("no completion has the right form",
        fmt::format("pretrain on text that holds it: <think>…</think><answer>…</answer> after such "
                    "prompts{}",
                    by_program ? ", or what the reward program asks for" : ""));
  } else if (silent && e.pass_at_1.value > 1 - 1e-9) {
    say("every answer is right already", "choose harder problems or a higher level");
  } else if (part->pass_at_group == 0 && !right_elsewhere) {
    say(silent ? "every answer is wrong"
               : "every answer is wrong, so only the form can be learned as yet",
        fmt::format("choose easier problems or a lower level, pretrain longer, or raise "
                    "rl.group_size (now {})",
                    rl.group_size));
  } else if (silent) {
    say("groups are all right, all wrong or trained on nothing",
        fmt::format("raise rl.group_size (now {}) or choose problems in between", rl.group_size));
  } else if (part->signal_groups * 10 < e.problems) {
    say("fewer than a tenth of the groups have rewards that differ",
        fmt::format("choose {} problems, or raise rl.group_size (now {}) or rl.max_refills (now "
                    "{})",
                    e.pass_at_1.value > 0.5 ? "harder" : "easier", rl.group_size, rl.max_refills));
  }
}

}  // namespace

void Diagnose(const ReinforceRecipe& recipe, ProbeReport* report) {
  report->hopeless = std::ranges::all_of(
      report->parts, [](const PartProbe& part) { return part.signal_groups == 0; });
  // Parts in the same trouble share a line.
  std::vector<std::pair<const PartProbe*, std::string>> lines;
  for (PartProbe& part : report->parts) {
    DiagnosePart(recipe, report->faults.samples > 0, &part);
    if (part.cause.empty()) continue;
    const auto same = std::ranges::find_if(lines, [&](const auto& line) {
      return line.first->cause == part.cause && line.first->cure == part.cure;
    });
    if (same == lines.end()) {
      lines.emplace_back(&part, part.name);
    } else {
      same->second += ", " + part.name;
    }
  }
  std::string all;
  for (const auto& [part, names] : lines) {
    const std::string line = fmt::format("{}: {}; {}", names, part->cause, part->cure);
    if (report->hopeless) {
      all += (all.empty() ? "" : " | ") + line;
    } else {
      report->findings.push_back(part->signal_groups == 0 ? "nothing to learn from in " + line
                                                          : line);
    }
  }
  if (report->hopeless) report->findings.push_back("nothing to learn from: " + all);
  if (report->faults.samples > 0) {
    report->findings.push_back(fmt::format("{} could not be scored; the last: {}",
                                           Counted(report->faults.samples, "sample"),
                                           report->faults.last));
  }
}

int64_t ReinforceMemory(const ReinforceRecipe& recipe, const ModelConfig& config,
                        const TrainedBytes& trained, Activations activations, int64_t prompt,
                        int64_t held_out) {
  const ReinforceOptions& rl = recipe.rl;
  const Format format = FormatOf(rl.precision);
  const int64_t longest = CapacityFor(prompt, rl.max_tokens, config.max_position_embeddings);
  const ModelCost cost(config);
  const int64_t at_once =
      cost.Training(std::max(longest, rl.micro_batch_tokens), format, activations).activations;
  const int64_t reference = recipe.grpo.kl_beta > 0 ? trained.trained : 0;
  // Rollouts and evaluations have an engine of their own, one at a time.
  const int64_t evaluated = SlotsFor(held_out, rl.evaluate_samples, rl.slots);
  return trained.state() + at_once + reference +
         static_cast<int64_t>(RopeCache::Bytes(config, longest)) +
         std::max(RolloutSlots(rl), evaluated) * longest *
             cost.CacheBytesPerToken(CacheForm::kExpanded, format);
}

ProbeReport Probe(const ReinforceRecipe& recipe, TrainedModel& trained,
                  const ModelWeights& packed_weights, const Teacher* teacher,
                  const Prompter& prompter, Environment& environment, const StopRequest& stop) {
  CHECK(recipe.probe.problems > 0);
  const ReinforceOptions& rl = recipe.rl;
  const ModelConfig& config = trained.config();
  const std::vector<MixturePart> mixture = environment.Parts();
  std::vector<Problem> problems;
  for (size_t part = 0; part < mixture.size(); ++part) {
    for (Problem& problem : Draw(recipe, environment, part)) problems.push_back(std::move(problem));
  }
  const int64_t capacity =
      RolloutCapacity(prompter, problems, rl.max_tokens, config.max_position_embeddings);
  const int64_t slots =
      SlotsFor(static_cast<int64_t>(problems.size()), rl.group_size, RolloutSlots(rl));
  RolloutOptions options;
  options.samples = rl.group_size;
  options.max_tokens = rl.max_tokens;
  options.sampling.temperature = static_cast<float>(rl.temperature);
  options.seed = rl.seed ^ kProbeSeed;
  std::vector<Sample> samples;
  ProbeReport report;
  {
    Engine engine(trained.model(), packed_weights, {.slots = slots, .capacity = capacity});
    const double start = SteadySeconds();
    samples = Rollout(engine, prompter, StopTokens(config), problems, environment, options, stop);
    double generated = 0;
    for (const Sample& sample : samples) generated += static_cast<double>(sample.completion.size());
    report.tokens_per_second = generated / (SteadySeconds() - start);
  }
  report.training_flops_per_second = MeasureTrainingSpeed(recipe, trained, samples);
  int64_t longest_prompt = 0;
  for (const Sample& sample : samples)
    longest_prompt = std::max(longest_prompt, static_cast<int64_t>(sample.prompt.size()));
  const int64_t each = recipe.probe.problems;
  for (size_t part = 0; part < mixture.size(); ++part) {
    const int64_t begin = static_cast<int64_t>(part) * each, end = begin + each;
    report.parts.push_back(
        Measure(rl, mixture[part], {problems.begin() + begin, problems.begin() + end},
                {samples.begin() + begin * rl.group_size, samples.begin() + end * rl.group_size}));
  }
  report.scoring_can_fail = environment.CanFail();
  report.faults = environment.TakeFaults();  // they count for nothing of the run
  Diagnose(recipe, &report);
  Typical typical = TypicalOf(report.parts);
  const ModelCost& cost = trained.model().cost();
  report.seconds = RunSeconds(recipe, cost, teacher, report, typical);
  typical.length = Count(std::min(rl.max_tokens, capacity));
  report.seconds_longest = RunSeconds(recipe, cost, teacher, report, typical);
  size_t held_out = 0;
  for (const auto& part : environment.HeldOut(rl.evaluate_problems))
    held_out = std::max(held_out, part.size());
  TrainedBytes bytes = trained.bytes();
  if (teacher) bytes.beside += teacher->bytes();
  report.memory_bytes = ReinforceMemory(recipe, config, bytes, trained.activations(),
                                        longest_prompt, static_cast<int64_t>(held_out));
  if (report.memory_bytes > PhysicalMemoryBytes()) {
    report.findings.push_back(
        fmt::format("the run takes about {} of memory, this machine has {}; lower rl.slots (now "
                    "{}), rl.max_tokens or rl.micro_batch_tokens",
                    FormatBytes(Count(report.memory_bytes)),
                    FormatBytes(Count(PhysicalMemoryBytes())), rl.slots));
  }
  return report;
}

std::vector<std::string> DescribeProbe(const ProbeReport& report) {
  std::vector<std::string> lines;
  for (const PartProbe& part : report.parts) {
    const TaskEvaluation& e = part.evaluation;
    lines.push_back(fmt::format(
        "probe of {}: pass@1 {:.3f}, pass@{} {:.3f},{}{} cut off {:.0f} %, {:.0f} "
        "tokens, a signal in {} of {}",
        part.name, e.pass_at_1.value, e.samples, part.pass_at_group,
        e.lenient ? fmt::format(" leniently {:.3f} and {:.3f},", e.lenient->pass_at_1.value,
                                e.lenient->pass_at_k.back().second.value)
                  : "",
        e.format_rate ? fmt::format(" right form {:.0f} %,", 100 * *e.format_rate) : "",
        100 * e.truncated_rate, e.mean_length, part.signal_groups, Counted(e.problems, "group")));
  }
  lines.push_back(fmt::format(
      "probe: {} tokens/s; at this speed the run takes about {} ({} if all completions grow to "
      "rl.max_tokens) and {} of memory",
      FormatCount(report.tokens_per_second), FormatDuration(report.seconds),
      FormatDuration(report.seconds_longest), FormatBytes(Count(report.memory_bytes))));
  for (const std::string& finding : report.findings) lines.push_back("warning: " + finding);
  return lines;
}

nlohmann::ordered_json ToJson(const ProbeReport& report) {
  using Json = nlohmann::ordered_json;
  Json json{{"hopeless", report.hopeless},
            {"findings", report.findings},
            {"tokens_per_second", report.tokens_per_second},
            {"training_flops_per_second", report.training_flops_per_second},
            {"seconds", report.seconds},
            {"seconds_longest", report.seconds_longest},
            {"memory_bytes", report.memory_bytes},
            {"parts", Json::array()}};
  if (report.scoring_can_fail) json["reward_program_failures"] = report.faults.samples;
  for (const PartProbe& part : report.parts) {
    const TaskEvaluation& e = part.evaluation;
    json["parts"].push_back({{"name", part.name},
                             {"problems", e.problems},
                             {"samples", e.samples},
                             {"pass@1", e.pass_at_1.value},
                             {"pass@1_ci95", Bounds(e.pass_at_1)},
                             {fmt::format("pass@{}", e.samples), part.pass_at_group},
                             {"truncated_rate", e.truncated_rate},
                             {"mean_length", e.mean_length},
                             {"signal_groups", part.signal_groups}});
    if (e.format_rate) json["parts"].back()["format_rate"] = *e.format_rate;
    if (e.lenient) json["parts"].back()["lenient"] = ToJson(e)["lenient"];
  }
  return json;
}

}  // namespace darkhorse
