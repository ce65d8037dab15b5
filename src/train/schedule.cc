#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace darkhorse {

void ListFields(ScheduleOptions& o, FieldList& list) {
  list.Add("schedule", o.schedule, "constant, cosine, or wsd (warm-up, stable, decay)");
  list.Add("warmup_steps", o.warmup_steps, "steps over which the rate rises linearly");
  list.Add("decay_fraction", o.decay_fraction,
           "wsd: share of the steps, at the end, over which the rate falls linearly");
  list.Add("final_lr_fraction", o.final_lr_fraction,
           "rate at the last step as a fraction of the peak (cosine, wsd)");
}

void Validate(const ScheduleOptions& o) {
  if (o.schedule != "constant" && o.schedule != "cosine" && o.schedule != "wsd") {
    FailUsage("schedule is '{}'; it must be constant, cosine or wsd", o.schedule);
  }
  if (o.warmup_steps < 0) FailUsage("warmup_steps is {}; it cannot be negative", o.warmup_steps);
  if (!(o.decay_fraction >= 0 && o.decay_fraction <= 1))
    FailUsage("decay_fraction is {}; it must be in [0, 1]", o.decay_fraction);
  if (!(o.final_lr_fraction >= 0 && o.final_lr_fraction <= 1)) {
    FailUsage("final_lr_fraction is {}; it must be in [0, 1]", o.final_lr_fraction);
  }
}

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
