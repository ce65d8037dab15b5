#include "rl/recipe.h"

#include "base/error.h"

namespace darkhorse {

ReinforceRecipe::ReinforceRecipe() {
  optimizer.optimizer = "adamw";
  optimizer.learning_rate = 1e-4;
  optimizer.weight_decay = 0;
  optimizer.max_grad_norm = 1.0;
  schedule.schedule = "constant";
  schedule.warmup_steps = 2;
}

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
  list.Add("reference_every", o.reference_every,
           "steps after which the KL reference becomes the policy; 0: never");
  list.Add("router_bias_gamma", o.router_bias_gamma,
           "step of the auxiliary-loss-free balancing; 0: biases stay");
  list.Add("evaluate_every", o.evaluate_every,
           "steps between evaluations on held-out problems; 0: none");
  list.Add("evaluate_problems", o.evaluate_problems, "held-out problems of each task");
  list.Add("evaluate_samples", o.evaluate_samples, "samples of each");
  list.Add("checkpoint_every", o.checkpoint_every, "steps between checkpoints");
  list.Add("keep_checkpoints", o.keep_checkpoints, "newest checkpoints kept");
  list.Add("seed", o.seed, "of problems and samples");
}

void ListFields(ReinforceRecipe& r, FieldList& list) {
  list.Section("rl", r.rl, "the run");
  list.Section("problems", r.problems, "problems and scoring of your own");
  list.Section("probe", r.probe, "a look at the problems before the run");
  list.Section("curriculum", r.curriculum, "which tasks of a mixture are practised most");
  list.Section("stop", r.stop, "rules that end the run before rl.steps");
  list.Section("grpo", r.grpo, "the objective");
  list.Section("optimizer", r.optimizer, "the optimizer");
  list.Section("schedule", r.schedule, "the learning rate over the run");
}

double ForwardPasses(const ReinforceRecipe& r) {
  return (r.rl.minibatches * r.rl.inner_epochs > 1 ? 1.0 : 0.0) + (r.grpo.kl_beta > 0 ? 1.0 : 0.0) +
         3.0 * static_cast<double>(r.rl.inner_epochs);
}

void Validate(const ReinforceRecipe& r) {
  const ReinforceOptions& o = r.rl;
  Validate(r.grpo);
  Validate(r.optimizer);
  Validate(r.schedule);
  Validate(r.problems);
  Validate(r.probe);
  Validate(r.curriculum);
  Validate(r.stop, o.evaluate_every);
  if (r.problems.file.empty()) {
    if (o.tasks.empty()) {
      FailUsage(
          "no task to practise: name a file of problems (--problems, with --rule or --reward), or "
          "tasks in rl.tasks");
    }
    ParseMixture(o.tasks);
  } else if (o.evaluate_every > 0 && r.problems.held_out_share == 0) {
    FailUsage(
        "problems.held_out_share is 0, so there is nothing to evaluate on; raise it or set "
        "rl.evaluate_every to 0");
  }
  for (const auto& [name, value] : {std::pair{"steps", o.steps},
                                    {"prompts_per_step", o.prompts_per_step},
                                    {"max_tokens", o.max_tokens},
                                    {"slots", o.slots},
                                    {"minibatches", o.minibatches},
                                    {"inner_epochs", o.inner_epochs},
                                    {"micro_batch_tokens", o.micro_batch_tokens},
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
  if (o.max_refills < 0 || o.evaluate_every < 0 || o.reference_every < 0) {
    FailUsage("rl.max_refills, rl.evaluate_every and rl.reference_every cannot be negative");
  }
  if (o.minibatches > o.prompts_per_step)
    FailUsage("rl.minibatches is {} but there are only {} groups", o.minibatches,
              o.prompts_per_step);
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

int64_t RolloutSlots(const ReinforceOptions& o) {
  return std::min(o.slots, o.prompts_per_step * o.group_size);
}

}  // namespace darkhorse
