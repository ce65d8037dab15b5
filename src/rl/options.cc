#include "rl/options.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "task/reading.h"
#include "task/rules.h"
#include "text/script.h"
#include "train/options.h"

namespace darkhorse {
namespace {

void OneOf(const char* name, const std::string& value, const std::vector<std::string>& known) {
  if (std::ranges::find(known, value) != known.end()) return;
  FailUsage("{} is '{}'; it must be one of {}", name, value, fmt::join(known, ", "));
}

std::vector<std::string> OrAuto(std::vector<std::string> names) {
  names.insert(names.begin(), "auto");
  return names;
}

}  // namespace

void ListFields(ReinforceOptions& o, FieldList& list) {
  list.Add("tasks", o.tasks, "what to practise: \"name:level\" or \"name:level=weight\"");
  list.Add("steps", o.steps, "rollout steps");
  list.Add("prompts_per_step", o.prompts_per_step, "problems a step");
  list.Add("group_size", o.group_size, "samples of each problem");
  list.Add("max_tokens", o.max_tokens, "longest completion");
  list.Add("temperature", o.temperature,
           "of sampling; 1 keeps sampling and training one distribution");
  list.Add("slots", o.slots, "sequences generated at once");
  list.Add("max_refills", o.max_refills,
           "rounds of new problems that replace groups whose rewards are all equal");
  list.Add("mask_truncated", o.mask_truncated, "completions cut off at max_tokens teach nothing");
  list.Add("overlong_penalty", o.overlong_penalty,
           "taken off the reward of a completion cut off at max_tokens");
  list.Add("random_rewards", o.random_rewards,
           "a control: training rewards are 0 or 1 by lot, whatever was said; measurements stay "
           "true");
  list.Add("minibatches", o.minibatches, "optimizer steps on a step's samples");
  list.Add("inner_epochs", o.inner_epochs, "passes over a step's samples");
  list.Add("micro_batch_tokens", o.micro_batch_tokens, "tokens computed at once");
  list.Add("shared_prompt_tokens", o.shared_prompt_tokens,
           "a prompt of so many tokens is computed once for those samples of its group that are "
           "computed at once; a shorter one with each");
  list.Add("reference_every", o.reference_every,
           "steps after which the KL reference becomes the policy; 0: never");
  list.Add("router_bias_gamma", o.router_bias_gamma,
           "step of the auxiliary-loss-free balancing; 0: biases stay");
  list.Add("evaluate_every", o.evaluate_every,
           "steps between evaluations on held-out problems, the first before step 1; 0: none");
  list.Add("evaluate_problems", o.evaluate_problems, "held-out problems of each task");
  list.Add("evaluate_samples", o.evaluate_samples, "samples of each");
  list.Add("checkpoint_every", o.checkpoint_every, "steps between checkpoints");
  list.Add("keep_checkpoints", o.keep_checkpoints, "newest checkpoints kept");
  list.Add("precision", o.precision, kPrecisionHelp);
  list.Add("recompute", o.recompute, kRecomputeHelp);
  list.Add("seed", o.seed, "of problems and samples");
}

void Validate(const ReinforceOptions& o) {
  ValidatePrecision(o.precision);
  ValidateRecompute(o.recompute);
  for (const auto& [name, value] : {std::pair{"steps", o.steps},
                                    {"prompts_per_step", o.prompts_per_step},
                                    {"max_tokens", o.max_tokens},
                                    {"slots", o.slots},
                                    {"minibatches", o.minibatches},
                                    {"inner_epochs", o.inner_epochs},
                                    {"micro_batch_tokens", o.micro_batch_tokens},
                                    {"shared_prompt_tokens", o.shared_prompt_tokens},
                                    {"evaluate_problems", o.evaluate_problems},
                                    {"evaluate_samples", o.evaluate_samples},
                                    {"checkpoint_every", o.checkpoint_every},
                                    {"keep_checkpoints", o.keep_checkpoints}}) {
    if (value < 1) FailUsage("rl.{} is {}; it must be at least 1", name, value);
  }
  if (o.group_size < 2) {
    FailUsage(
        "rl.group_size is {}; advantages compare samples of one problem, so it takes at least 2 (8 "
        "or 16 are usual)",
        o.group_size);
  }
  for (const auto& [name, value] : {std::pair{"max_refills", o.max_refills},
                                    {"evaluate_every", o.evaluate_every},
                                    {"reference_every", o.reference_every}}) {
    if (value < 0) FailUsage("rl.{} is {}; it cannot be negative", name, value);
  }
  if (o.minibatches > o.prompts_per_step)
    FailUsage("rl.minibatches is {}, more than the {} of a step", o.minibatches,
              Counted(o.prompts_per_step, "group"));
  if (!(o.temperature > 0)) FailUsage("rl.temperature is {}; it must be positive", o.temperature);
  if (!(o.router_bias_gamma >= 0))
    FailUsage("rl.router_bias_gamma is {}; it cannot be negative", o.router_bias_gamma);
  // Random streams of the rounds of a step lie 2^20 samples apart, of the steps 2^12 rounds.
  if (o.prompts_per_step > (1 << 20) / o.group_size)
    FailUsage("rl.prompts_per_step * rl.group_size is {} * {}; a step takes at most {} samples",
              o.prompts_per_step, o.group_size, 1 << 20);
  if (o.max_refills >= 1 << 12)
    FailUsage("rl.max_refills is {}; it must be below {}", o.max_refills, 1 << 12);
  if (!(o.overlong_penalty >= 0 && o.overlong_penalty <= 1))
    FailUsage("rl.overlong_penalty is {}; it must be in [0, 1]", o.overlong_penalty);
}

void ListFields(GrpoOptions& o, FieldList& list) {
  list.Add(
      "advantage", o.advantage,
      "mean (reward - group mean), mean_std (over the group's deviation) or batch_std (over the "
      "batch's)");
  list.Add("objective", o.objective, "clip (PPO/GRPO/DAPO), cispo or reinforce");
  list.Add("ratio", o.ratio, "token, or sequence (GSPO)");
  list.Add("normalization", o.normalization,
           "token (DAPO), sequence (GRPO) or constant (Dr. GRPO)");
  list.Add("clip_low", o.clip_low, "lower clip of the ratio: 1 - clip_low");
  list.Add("clip_high", o.clip_high, "upper clip of the ratio: 1 + clip_high");
  list.Add("kl_beta", o.kl_beta,
           "weight of the KL penalty to the reference policy (k3); 0: no reference is kept");
  list.Add("entropy_bonus", o.entropy_bonus, "weight of the entropy bonus");
  list.Add("importance_cap", o.importance_cap,
           "truncated importance sampling: cap on p_train/p_sampler; 0: off");
}

void Validate(const GrpoOptions& o) {
  OneOf("grpo.advantage", o.advantage, {"mean", "mean_std", "batch_std"});
  OneOf("grpo.objective", o.objective, {"clip", "cispo", "reinforce"});
  OneOf("grpo.ratio", o.ratio, {"token", "sequence"});
  OneOf("grpo.normalization", o.normalization, {"token", "sequence", "constant"});
  for (const auto& [name, value] : {std::pair{"clip_low", o.clip_low},
                                    {"clip_high", o.clip_high},
                                    {"kl_beta", o.kl_beta},
                                    {"importance_cap", o.importance_cap}}) {
    if (!(value >= 0 && std::isfinite(value)))
      FailUsage("grpo.{} is {}; it must be a number of at least 0", name, value);
  }
  if (!std::isfinite(o.entropy_bonus))
    FailUsage("grpo.entropy_bonus is {}; it must be finite", o.entropy_bonus);
}

void ListFields(ProblemsOptions& o, FieldList& list) {
  list.Add("file", o.file,
           "JSON Lines of your own problems, in place of rl.tasks; \"\": the built-in tasks");
  list.Add("rule", o.rule,
           "how an answer is compared with the row's: exact, numeric, choice, regex or math");
  list.Add("reward", o.reward,
           "or the shell command of a program that scores: docs/your-own-task.md");
  list.Add(
      "answer", o.answer,
      "where answers stand: tags, boxed, hashes, last_number or choice; auto: in tags, and in a "
      "chat as fits the rule: numbers last_number, letters choice, others boxed");
  list.Add(
      "format_reward", o.format_reward,
      "always: a legal wrong answer at its place earns 0.1; with_answer: a right one elsewhere "
      "earns 0.9; never: it earns 1; auto: always, in a chat with_answer");
  list.Add("words", o.words,
           "how the built-in tasks are worded: notation, english or chinese; auto: notation, in a "
           "chat english");
  list.Add("script", o.script,
           fmt::format("what completions should be written in: {}; \"\": any",
                       fmt::join(ScriptNames(), ", ")));
  list.Add("script_weight", o.script_weight,
           "what of the reward is the share of a completion's letters that are of the script; the "
           "rest is the answer's");
  list.Add("held_out_share", o.held_out_share,
           "of the problems, by their prompts' hash: not trained on but measured with");
  list.Add("reward_processes", o.reward_processes, "copies of the program, side by side");
  list.Add("reward_seconds", o.reward_seconds, "for one sample, a copy's start included");
  list.Add("reward_cpu_seconds", o.reward_cpu_seconds, "of a copy in its life");
  list.Add("reward_memory_mib", o.reward_memory_mib, "of a process");
}

void Validate(const ProblemsOptions& o) {
  OneOf("problems.answer", o.answer, OrAuto(AnswerPlaceNames()));
  OneOf("problems.words", o.words, OrAuto(WordsNames()));
  if (!o.script.empty()) OneOf("problems.script", o.script, ScriptNames());
  if (!(o.script_weight >= 0 && o.script_weight < 1))
    FailUsage("problems.script_weight is {}; it must be in [0, 1)", o.script_weight);
  if (o.script_weight > 0 && o.script.empty()) {
    FailUsage("problems.script_weight is {}, but problems.script names none of {}", o.script_weight,
              fmt::join(ScriptNames(), ", "));
  }
  OneOf("problems.format_reward", o.format_reward, OrAuto(FormPayNames()));
  if (o.file.empty()) {
    if (!o.rule.empty() || !o.reward.empty())
      FailUsage("a rule or reward program scores problems from a file; name it (problems.file)");
    return;
  }
  if (!o.rule.empty() && !o.reward.empty()) {
    FailUsage("problems.rule is {} and problems.reward is '{}'; only one of them can score", o.rule,
              o.reward);
  }
  if (o.rule.empty() && o.reward.empty()) {
    FailUsage(
        "{}: say how its answers are scored: a rule (exact, numeric, choice, regex, math) or a "
        "reward program",
        o.file);
  }
  if (!o.rule.empty()) ParseRule(o.rule);
  if (!(o.held_out_share >= 0 && o.held_out_share <= 1))
    FailUsage("problems.held_out_share is {}; it must be in [0, 1]", o.held_out_share);
  for (const auto& [name, value] : {std::pair{"reward_processes", o.reward_processes},
                                    {"reward_cpu_seconds", o.reward_cpu_seconds},
                                    {"reward_memory_mib", o.reward_memory_mib}}) {
    if (value < 1 || value > int64_t{1} << 30)
      FailUsage("problems.{} is {}; it must be in 1 to 2^30", name, value);
  }
  if (o.reward_processes > 1024)
    FailUsage("problems.reward_processes is {}; at most 1024", o.reward_processes);
  if (!(o.reward_seconds > 0 && o.reward_seconds <= 86400))
    FailUsage("problems.reward_seconds is {}; it must be in (0, 86400]", o.reward_seconds);
}

void ListFields(TeacherOptions& o, FieldList& list) {
  list.Add("teacher", o.model,
           "a model of the same vocabulary that says how probable each token was; \"\": none");
  list.Add("weight", o.weight, "of log p_teacher - log p_policy in a token's advantage");
  list.Add("reward_weight", o.reward_weight,
           "of the reward's advantage where there is a teacher; 0: the teacher alone");
}

void Validate(const TeacherOptions& o) {
  for (const auto& [name, value] :
       {std::pair{"weight", o.weight}, {"reward_weight", o.reward_weight}}) {
    if (!(value >= 0 && std::isfinite(value)))
      FailUsage("distil.{} is {}; it must be a number of at least 0", name, value);
  }
  const TeacherOptions standard;
  for (const auto& [name, value, unset] :
       {std::tuple{"weight", o.weight, standard.weight},
        {"reward_weight", o.reward_weight, standard.reward_weight}}) {
    if (!o.model.empty() || value == unset) continue;
    FailUsage("distil.{} is {}, but there is no teacher; name one, or leave distil.{} at {}", name,
              value, name, unset);
  }
}

void ListFields(PromptOptions& o, FieldList& list) {
  list.Add("template", o.form,
           "chat: problems go through the model's chat template; plain: they are asked as they are "
           "worded; auto: chat where the model has one");
  list.Add("system", o.system, "what the model is told before all, in its chat template");
  list.Add("thinking", o.thinking,
           "on or off: what a chat template is told that asks whether to think; auto: its own "
           "default");
  list.Add("prefill", o.prefill,
           "what every answer begins with, as \"<think>\\n\": a part of the prompt, which nothing "
           "is learned from and the scorer sees");
  list.Add(
      "instruction", o.instruction,
      "what follows each problem; auto: in a chat, what asks for the place of the answer, else "
      "nothing");
}

void Validate(const PromptOptions& o) {
  OneOf("prompt.template", o.form, {"auto", "chat", "plain"});
  OneOf("prompt.thinking", o.thinking, {"auto", "on", "off"});
}

void ListFields(ProbeOptions& o, FieldList& list) {
  list.Add("problems", o.problems,
           "training problems of each task tried before the run begins; 0: no probe");
  list.Add("stop_if_hopeless", o.stop_if_hopeless,
           "end with an error, not a warning, where none of them gives a signal");
}

void Validate(const ProbeOptions& o) {
  if (o.problems < 0 || o.problems > 1 << 16)
    FailUsage("probe.problems is {}; it must be from 0 to {}", o.problems, 1 << 16);
  if (o.stop_if_hopeless && o.problems == 0)
    FailUsage("probe.stop_if_hopeless needs a probe, but probe.problems is 0");
}

void ListFields(CurriculumOptions& o, FieldList& list) {
  list.Add("by_success", o.by_success,
           "weights of rl.tasks follow measured success p, as 4 p (1 - p)");
  list.Add("floor", o.floor, "least share of its own weight that a task keeps, in (0, 1]");
  list.Add("rate", o.rate, "step of the running mean of success, in (0, 1]");
}

void Validate(const CurriculumOptions& o) {
  for (const auto& [name, value] : {std::pair{"floor", o.floor}, {"rate", o.rate}}) {
    if (!(value > 0 && value <= 1))
      FailUsage("curriculum.{} is {}; it must be in (0, 1]", name, value);
  }
}

void ListFields(StopOptions& o, FieldList& list) {
  list.Add("accuracy", o.accuracy,
           "end the run when held-out accuracy, the mean over tasks, reaches this; 0: never");
  list.Add("patience", o.patience,
           "end it after so many evaluations in a row without a new best; 0: never");
  list.Add(
      "below_start", o.below_start,
      "end it when held-out accuracy is below that before the first step, by more than chance");
}

void Validate(const StopOptions& o, int64_t evaluate_every) {
  if (!(o.accuracy >= 0 && o.accuracy <= 1))
    FailUsage("stop.accuracy is {}; it must be in [0, 1]", o.accuracy);
  if (o.patience < 0) FailUsage("stop.patience is {}; it cannot be negative", o.patience);
  if (evaluate_every == 0 && (o.accuracy > 0 || o.patience > 0 || o.below_start)) {
    FailUsage(
        "stop.{} needs evaluations, but rl.evaluate_every is 0; set it to the steps between them",
        o.accuracy > 0   ? "accuracy"
        : o.patience > 0 ? "patience"
                         : "below_start");
  }
}

void ListFields(EvaluationOptions& o, FieldList& list) {
  list.Add("problems", o.problems, "held-out problems of each task");
  list.Add("samples", o.samples, "completions of each problem");
  list.Add("max_tokens", o.max_tokens, "longest completion");
  list.Add("slots", o.slots, "sequences at once");
  list.Add("temperature", o.temperature, "of the samples; 0: the most probable token");
  list.Add("seed", o.seed, "of the samples");
}

void Validate(const EvaluationOptions& o) {
  for (const auto& [name, value] : {std::pair{"problems", o.problems},
                                    {"samples", o.samples},
                                    {"max_tokens", o.max_tokens},
                                    {"slots", o.slots}}) {
    if (value < 1) FailUsage("{} is {}; an evaluation takes at least 1", name, value);
  }
}

}  // namespace darkhorse
