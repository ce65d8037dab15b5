#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace darkhorse {

double LearningRateFactor(const ScheduleOptions& o, int64_t step, int64_t total_steps) {
  if (step < o.warmup_steps)
    return static_cast<double>(step + 1) / static_cast<double>(o.warmup_steps);
  if (o.schedule == "constant") return 1;
  const double decay_steps = o.schedule == "cosine"
                                 ? static_cast<double>(total_steps - o.warmup_steps)
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
