#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/format.h"

namespace darkhorse {

int64_t WarmupSteps(const ScheduleOptions& o, int64_t total_steps) {
  return o.warmup_steps >= 0 ? o.warmup_steps : std::min<int64_t>(10, (total_steps + 9) / 10);
}

std::string WarmupNote(const ScheduleOptions& o, int64_t total_steps) {
  const int64_t warmup = WarmupSteps(o, total_steps);
  if (warmup < 2 || warmup < total_steps) return "";
  return fmt::format(
      "schedule.warmup_steps is {} and the run has {}: the learning rate only rises, to {:.0f} % "
      "of optimizer.learning_rate at the end; lower schedule.warmup_steps, or make more steps",
      warmup, Counted(total_steps, "step"),
      100 * LearningRateFactor(o, total_steps - 1, total_steps));
}

double LearningRateFactor(const ScheduleOptions& o, int64_t step, int64_t total_steps) {
  const int64_t warmup = WarmupSteps(o, total_steps);
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (o.schedule == "constant") return 1;
  const double decay_steps = o.schedule == "cosine"
                                 ? static_cast<double>(total_steps - warmup)
                                 : o.decay_fraction * static_cast<double>(total_steps);
  const double begin = static_cast<double>(total_steps) - decay_steps;
  if (static_cast<double>(step) < begin || decay_steps < 1) return 1;
  // 0 at the first decaying step, 1 at the last step of the run.
  const double progress =
      std::min(1.0, (static_cast<double>(step) - begin) / std::max(1.0, decay_steps - 1));
  const double shape =
      o.schedule == "cosine" ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return o.final_lr_fraction + (1 - o.final_lr_fraction) * shape;
}

}  // namespace darkhorse
