#include "app/problem_flags.h"

#include "base/error.h"

namespace darkhorse {

void ProblemFlags::Register(CLI::App& command) {
  command.add_option("--problems", file, "JSON Lines of your own problems: docs/your-own-task.md");
  command.add_option("--rule", rule,
                     "how their answers are scored: exact, numeric, choice, regex or math");
  command.add_option("--reward", reward,
                     "or the shell command of a program that scores, as in \"python3 reward.py\"");
}

void ProblemFlags::Apply(ProblemsOptions* options) const {
  if (!rule.empty() && !reward.empty())
    FailUsage("--rule and --reward: only one of them can score; leave the other out");
  if (!file.empty()) options->file = file;
  if (!rule.empty() || !reward.empty()) {
    options->rule = rule;
    options->reward = reward;
  }
  Validate(*options);
}

void AddScoringFlags(CLI::App& command, ProblemsOptions* options) {
  command.add_option("--held-out-share", options->held_out_share,
                     "of --problems, by their prompts' hash: kept out of training, measured with");
  command.add_option("--reward-processes", options->reward_processes,
                     "copies of the reward program, side by side");
  command.add_option("--reward-seconds", options->reward_seconds,
                     "of the reward program for one sample");
}

}  // namespace darkhorse
