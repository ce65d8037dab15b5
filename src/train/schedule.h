// The learning rate over a run.
#pragma once

#include <cstdint>
#include <string>

#include "base/fields.h"

namespace darkhorse {

struct ScheduleOptions {
  std::string schedule = "wsd";  // "constant", "cosine" or "wsd": warm-up, stable, decay
  int64_t warmup_steps = 20;
  double decay_fraction = 0.3;     // wsd: share of the steps, at the end, over which the rate falls
  double final_lr_fraction = 0.1;  // of the peak, at the last step (cosine and wsd)
};
void ListFields(ScheduleOptions& options, FieldList& list);
void Validate(const ScheduleOptions& options);  // UsageError

// Factor on the peak rate at step 0 … total_steps-1: linear from 1/warmup over the warm-up, then by
// the schedule. wsd decays linearly (Hu et al. 2024; linear decay does best in Hägele et al. 2024).
double LearningRateFactor(const ScheduleOptions& options, int64_t step, int64_t total_steps);

}  // namespace darkhorse
