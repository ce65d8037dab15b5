#include "app/problem_flags.h"

#include "base/error.h"

namespace darkhorse {

void ProblemFlags::Register(Command command) {
  command.Add("--problems", file, "JSON Lines of your own problems: docs/your-own-task.md");
  command.Add("--rule", rule,
              "how their answers are scored: exact, numeric, choice, regex or math");
  command.Add("--reward", reward,
              "or the shell command of a program that scores, as in \"python3 reward.py\"");
  const ProblemsOptions defaults;
  const auto described = [](const char* what, const auto& value) {
    return fmt::format("{} (default: what a recipe says, else {})", what, value);
  };
  command
      .Add("--held-out-share", held_out_share,
           described("of --problems, by their prompts' hash: kept out of training, measured "
                     "with",
                     defaults.held_out_share))
      .WithinReals(0, 1);
  command
      .Add("--reward-processes", reward_processes,
           described("copies of the reward program, side by side", defaults.reward_processes))
      .Within(1, 1024);
  command.Add("--reward-seconds", reward_seconds,
              described("of the reward program for one sample, its start included",
                        defaults.reward_seconds));
}

const std::map<std::string, std::string>& ProblemFlags::Names() {
  static const std::map<std::string, std::string> names = {
      {"problems.file", "--problems"},
      {"problems.rule", "--rule"},
      {"problems.reward", "--reward"},
      {"problems.held_out_share", "--held-out-share"},
      {"problems.reward_processes", "--reward-processes"},
      {"problems.reward_seconds", "--reward-seconds"}};
  return names;
}

std::map<std::string, std::string> ProblemFlags::NamesBeside(const std::string& recipe) const {
  std::map<std::string, std::string> typed = Names();
  if (recipe.empty()) return typed;
  for (const auto& [field, given] : {std::pair{"file", !file.empty()},
                                     {"rule", !rule.empty()},
                                     {"reward", !reward.empty()},
                                     {"held_out_share", held_out_share.has_value()},
                                     {"reward_processes", reward_processes.has_value()},
                                     {"reward_seconds", reward_seconds.has_value()}}) {
    if (!given) typed.erase(std::string("problems.") + field);
  }
  return typed;
}

void ProblemFlags::Apply(ProblemsOptions* options) const {
  if (!rule.empty() && !reward.empty())
    FailUsage("--rule and --reward: only one of them can score; leave the other out");
  if (!file.empty()) options->file = file;
  if (!rule.empty() || !reward.empty()) {
    options->rule = rule;
    options->reward = reward;
  }
  if (held_out_share) options->held_out_share = *held_out_share;
  if (reward_processes) options->reward_processes = *reward_processes;
  if (reward_seconds) options->reward_seconds = *reward_seconds;
  Validate(*options);
}

}  // namespace darkhorse
