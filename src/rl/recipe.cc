#include "rl/recipe.h"

#include "base/error.h"
#include "infer/engine.h"
#include "rl/environment.h"

namespace darkhorse {

ReinforceRecipe::ReinforceRecipe() {
  optimizer.optimizer = "adamw";
  optimizer.learning_rate = 1e-4;
  optimizer.weight_decay = 0;
  optimizer.max_grad_norm = 1.0;
  schedule.schedule = "constant";
  schedule.warmup_steps = 2;
}

void ListFields(ReinforceRecipe& r, FieldList& list) {
  list.Section("rl", r.rl, "the run");
  list.Section("problems", r.problems, "problems and scoring of your own");
  list.Section("prompt", r.prompt, "how the model is asked");
  list.Section("distil", r.teacher, "a teacher that judges each token");
  list.Section("probe", r.probe, "a look at the problems before the run");
  list.Section("curriculum", r.curriculum, "which tasks of a mixture are practised most");
  list.Section("stop", r.stop, "rules that end the run before rl.steps");
  list.Section("grpo", r.grpo, "the objective");
  list.Section("adapter", r.adapter, "what is trained");
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
  Validate(r.adapter);
  Validate(r.optimizer);
  Validate(r.schedule);
  Validate(r.problems);
  Validate(r.prompt);
  Validate(r.teacher);
  Validate(r.probe);
  Validate(r.curriculum);
  Validate(r.stop, o.evaluate_every);
  if (r.problems.file.empty()) {
    if (o.tasks.empty()) {
      FailUsage(
          "no task to practise: name a file of problems (problems.file, with problems.rule or "
          "problems.reward), or tasks in rl.tasks");
    }
    CheckTasks(o.tasks, "rl.tasks");
  } else if (o.evaluate_every > 0 && r.problems.held_out_share == 0) {
    FailUsage(
        "problems.held_out_share is 0, so there is nothing to evaluate on; raise it or set "
        "rl.evaluate_every to 0");
  }
  Validate(o);
  if (o.reference_every > 0 && r.grpo.kl_beta == 0) {
    FailUsage(
        "rl.reference_every is {}, but grpo.kl_beta is 0, so there is no reference; set "
        "grpo.kl_beta above 0, or rl.reference_every to 0",
        o.reference_every);
  }
}

int64_t RolloutSlots(const ReinforceOptions& o) {
  return SlotsFor(o.prompts_per_step, o.group_size, o.slots);
}

}  // namespace darkhorse
