// What a recipe says of reinforcement learning: plain structs, at the bottom of the folder. The
// machines that they configure include them, never the other way round.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"

namespace darkhorse {

// Of a completion, and of sequences generated at once, in training and evaluation alike.
inline constexpr int64_t kCompletionTokens = 352;
inline constexpr int64_t kSlots = 256;

struct ReinforceOptions {
  std::vector<std::string> tasks = {"countdown:1"};
  int64_t steps = 60;
  int64_t prompts_per_step = 32;
  int64_t group_size = 16;
  int64_t max_tokens = kCompletionTokens;  // of a completion
  double temperature = 1.0;
  int64_t slots = kSlots;   // sequences generated at once
  int64_t max_refills = 2;  // rounds that replace groups of equal rewards (dynamic sampling)
  bool mask_truncated =
      false;  // a completion cut off at max_tokens teaches nothing (docs/LOG.md: or never to stop)
  double overlong_penalty = 0;  // or: taken off its reward
  bool random_rewards = false;  // a control: 0 or 1 by lot, whatever was said
  int64_t minibatches = 1;      // optimizer steps on a step's samples
  int64_t inner_epochs = 1;     // passes over them
  int64_t micro_batch_tokens = 4096;
  int64_t shared_prompt_tokens = 32;  // prompts from this length on are shared (policy_step.h)
  int64_t reference_every = 0;   // steps after which the reference becomes the policy; 0: never
  double router_bias_gamma = 0;  // balancing goes on during RL where positive
  int64_t evaluate_every = 20;
  int64_t evaluate_problems = 128;
  int64_t evaluate_samples = 4;
  int64_t checkpoint_every = 20;
  int64_t keep_checkpoints = 2;
  std::string precision = "f32";
  std::string recompute = "auto";
  uint64_t seed = 1;
};
void ListFields(ReinforceOptions& options, FieldList& list);
// Of the fields alone, not of what they mean beside others (rl/recipe.h). UsageError.
void Validate(const ReinforceOptions& options);

// The objective: rl/grpo.h has its equations.
struct GrpoOptions {
  // mean: reward - group mean (Dr. GRPO). mean_std: that over the deviation of the group's rewards
  // (GRPO). batch_std: over the deviation of the batch's rewards (Liu et al. 2025, "Lite PPO").
  std::string advantage = "mean";
  std::string objective = "clip";  // or "cispo", "reinforce"
  std::string ratio = "token";     // or "sequence"
  // token: w = 1/(tokens of the batch) (DAPO). sequence: 1/(samples * own length) (GRPO). constant:
  // 1/(samples * max_tokens) (Dr. GRPO).
  std::string normalization = "token";
  double clip_low = 0.2;
  double clip_high = 0.28;
  double kl_beta = 0;
  double entropy_bonus = 0;
  double importance_cap = 0;  // 0: off
};
void ListFields(GrpoOptions& options, FieldList& list);
void Validate(const GrpoOptions& options);  // UsageError

// Problems of the user's, and how they are scored (rl/own_problems.h).
struct ProblemsOptions {
  std::string file;  // "": the built-in tasks
  std::string rule;  // this, or
  std::string reward;
  // Where an answer stands, and what its form is worth (task/reading.h); auto: as the model is
  // asked (rl/prompter.h).
  std::string answer = "auto";
  std::string format_reward = "auto";
  std::string words = "auto";  // of the built-in tasks (task/task.h)
  std::string script;          // what completions should be written in (text/script.h); "": any
  double script_weight = 0;    // in the reward: the share of a completion that is
  double held_out_share = 0.0625;
  int64_t reward_processes = 4;
  double reward_seconds = 10;
  int64_t reward_cpu_seconds = 600;
  int64_t reward_memory_mib = 4096;
};
void ListFields(ProblemsOptions& options, FieldList& list);
void Validate(const ProblemsOptions& options);  // UsageError

// On-policy distillation (rl/teacher.h): what a teacher says of the tokens that the policy said is
// their advantage, in the place of the reward's or beside it.
struct TeacherOptions {
  std::string model;         // "": none
  double weight = 1;         // of log p_teacher - log p_policy
  double reward_weight = 0;  // of the reward's advantage, beside a teacher
};
void ListFields(TeacherOptions& options, FieldList& list);
void Validate(const TeacherOptions& options);  // UsageError

// How the model is asked (rl/prompter.h).
struct PromptOptions {
  std::string form = "auto";  // the field `template`: or "chat", "plain"
  std::string system;
  std::string thinking = "auto";  // or "on", "off"
  std::string prefill;
  std::string instruction = "auto";
};
void ListFields(PromptOptions& options, FieldList& list);
void Validate(const PromptOptions& options);  // UsageError

// A look at the problems before the run (rl/probe.h).
struct ProbeOptions {
  int64_t problems = 16;
  bool stop_if_hopeless = false;
};
void ListFields(ProbeOptions& options, FieldList& list);
void Validate(const ProbeOptions& options);  // UsageError

// Which parts of a mixture are practised most (rl/curriculum.h).
struct CurriculumOptions {
  bool by_success = false;
  double floor = 0.1;
  double rate = 0.2;
};
void ListFields(CurriculumOptions& options, FieldList& list);
void Validate(const CurriculumOptions& options);  // UsageError

// Rules that end a run (rl/guards.h).
struct StopOptions {
  double accuracy = 0;
  int64_t patience = 0;
  bool below_start = false;
};
void ListFields(StopOptions& options, FieldList& list);
void Validate(const StopOptions& options, int64_t evaluate_every);  // UsageError

// How a model is measured (rl/evaluate.h).
struct EvaluationOptions {
  int64_t problems = 128;  // held-out ones of each task
  int64_t samples = 16;    // of each
  int64_t max_tokens = kCompletionTokens;
  int64_t slots = kSlots;
  float temperature = 1;
  uint64_t seed =
      20250122;  // a run's before and after too: of one model the same samples are drawn
};
void ListFields(EvaluationOptions& options, FieldList& list);
void Validate(const EvaluationOptions& options);  // UsageError

}  // namespace darkhorse
