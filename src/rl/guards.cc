#include "rl/guards.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "rl/metrics.h"

namespace darkhorse {
namespace {

// A policy that has learned all there is may be sure of itself.
constexpr double kSolved = 0.95;
constexpr int64_t kSilentSteps = 5;
constexpr double kFormLost = 0.2;  // of all completions

bool IsFinite(const ReinforceMetrics& m) {
  return std::isfinite(m.loss) && std::isfinite(m.entropy) && std::isfinite(m.kl.value_or(0)) &&
         std::isfinite(m.teacher_kl.value_or(0)) && std::isfinite(m.grad_norm) &&
         std::isfinite(m.reward);
}

void Begin(const ReinforceMetrics& m, GuardState& state) {
  if (!state.begun) {
    state.begun = true;
    state.first_length = m.mean_length;
    state.first_clipped = m.clipped_ratio;
  }
  if (state.first_accuracy < 0 && m.scored) state.first_accuracy = m.accuracy;
  if (state.first_entropy == 0 && std::isfinite(m.entropy)) state.first_entropy = m.entropy;
}

// A running mean: the share of one small step jumps about.
void FollowForm(const ReinforceMetrics& m, GuardState& state) {
  if (!m.scored || !m.format_rate) return;
  constexpr double kNew = 0.2;
  state.mean_format = state.mean_format < 0
                          ? *m.format_rate
                          : (1 - kNew) * state.mean_format + kNew * *m.format_rate;
  state.best_format = std::max(state.best_format, state.mean_format);
}

// Each once a run.
template <typename Text>
void Warn(bool seen, const char* name, Text text, GuardState& state,
          std::vector<Warning>& warnings) {
  if (!seen || std::count(state.warned.begin(), state.warned.end(), name)) return;
  state.warned.push_back(name);
  warnings.push_back({name, text()});
}

bool IsBelowStart(const Interval& accuracy, const GuardState& state) {
  return state.start && IsBelow(accuracy, *state.start);
}

}  // namespace

std::vector<Warning> NewWarnings(const ReinforceMetrics& m, GuardState& state) {
  Begin(m, state);
  FollowForm(m, state);
  const bool trained = m.grad_norm != 0;
  state.silent_steps =
      m.scored && m.frac_reward_zero_std == 1 && !trained ? state.silent_steps + 1 : 0;
  std::vector<Warning> warnings;
  const auto warn = [&](bool seen, const char* name, auto text) {
    Warn(seen, name, text, state, warnings);
  };
  const bool solved = m.accuracy >= kSolved;
  warn(!IsFinite(m), "not_finite", [&] {
    return fmt::format(
        "a number is not finite (loss {}, gradient {}, entropy {}, kl {}); start another run with "
        "a lower learning rate; it may begin with a checkpoint from before this step",
        m.loss, m.grad_norm, m.entropy, m.kl.value_or(0));
  });
  warn(trained && m.scored && m.entropy < 0.1 * state.first_entropy && !solved, "entropy_collapse",
       [&] {
         return fmt::format(
             "entropy is {:.3f} nats a token, {:.3f} at first: the policy has stopped exploring; "
             "lower "
             "the learning rate, raise grpo.clip_high or set a small grpo.entropy_bonus",
             m.entropy, state.first_entropy);
       });
  // The accuracy of a step that could not be scored is not known.
  warn(m.scored && m.mean_length > 3 * state.first_length &&
           m.accuracy < state.first_accuracy + 0.05,
       "length_explosion", [&] {
         return fmt::format(
             "completions are {:.0f} tokens long, {:.0f} at first, and accuracy has not risen with "
             "them ({:.3f}, {:.3f} at first); lower the learning rate or set rl.overlong_penalty",
             m.mean_length, state.first_length, m.accuracy, state.first_accuracy);
       });
  warn(m.clipped_ratio >= state.first_clipped + 0.2, "truncation", [&] {
    return fmt::format(
        "{:.0f} % of completions are cut off at rl.max_tokens, {:.0f} % at first; raise it, or set "
        "rl.overlong_penalty (and leave rl.mask_truncated off)",
        100 * m.clipped_ratio, 100 * state.first_clipped);
  });
  warn(m.repeated_ratio >= 0.2, "repetition", [&] {
    return fmt::format(
        "{:.0f} % of completions end in one phrase over and over; lower the learning rate or "
        "rl.max_tokens",
        100 * m.repeated_ratio);
  });
  warn(state.mean_format < state.best_format - kFormLost, "format_loss", [&] {
    return fmt::format(
        "{:.0f} % of completions have the form that is asked for, {:.0f} % before: they leave "
        "<think>…</think><answer>…</answer>, and what they answer is lost to whoever reads the "
        "tags; let the scorer give nothing to other forms, or lower the learning rate",
        100 * state.mean_format, 100 * state.best_format);
  });
  warn(state.silent_steps >= kSilentSteps, "no_signal", [&] {
    return fmt::format(
        "in {} steps in a row every group's rewards were equal (accuracy {:.3f}): there is nothing "
        "to learn from; choose {} problems or a larger rl.group_size",
        state.silent_steps, m.accuracy, m.accuracy > 0.5 ? "harder" : "easier");
  });
  return warnings;
}

std::vector<Warning> NewEvaluationWarnings(const Interval& accuracy, GuardState& state) {
  std::vector<Warning> warnings;
  const auto text = [&] {
    return fmt::format(
        "held-out accuracy is {:.3f} ({:.3f}–{:.3f}), before the first step it was {:.3f} "
        "({:.3f}–{:.3f}): the run makes the model worse; lower optimizer.learning_rate, e.g. to a "
        "third",
        accuracy.value, accuracy.low, accuracy.high, state.start->value, state.start->low,
        state.start->high);
  };
  Warn(IsBelowStart(accuracy, state), "below_start", text, state, warnings);
  return warnings;
}

std::string StopReason(const StopOptions& options, const Interval& accuracy, double best_before,
                       GuardState& state) {
  state.stale_evaluations = accuracy.value > best_before ? 0 : state.stale_evaluations + 1;
  if (options.accuracy > 0 && accuracy.value >= options.accuracy) {
    return fmt::format("held-out accuracy is {:.3f}, stop.accuracy {}", accuracy.value,
                       options.accuracy);
  }
  if (options.below_start && IsBelowStart(accuracy, state)) {
    return fmt::format(
        "held-out accuracy is {:.3f}, before the first step it was {:.3f} "
        "(stop.below_start)",
        accuracy.value, state.start->value);
  }
  if (options.patience > 0 && state.stale_evaluations >= options.patience) {
    return fmt::format(
        "the last {} evaluations were no better than the best before them, {:.3f} (stop.patience "
        "{})",
        state.stale_evaluations, best_before, options.patience);
  }
  return "";
}

}  // namespace darkhorse
