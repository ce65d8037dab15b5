// The learning rate over a run.
#pragma once

#include <cstdint>
#include <string>

#include "train/options.h"

namespace darkhorse {

// Behind what is told of a run that is given more steps.
inline constexpr char kNewSchedule[] =
    "; the learning rate of the steps to come follows the new schedule";

// Over which the rate rises; of -1 a tenth of all steps, rounded up, at most 10: a short run is to
// reach its rate, too.
int64_t WarmupSteps(const ScheduleOptions& options, int64_t total_steps);
// What is told of a run whose rate does nothing but rise; "" of others.
std::string WarmupNote(const ScheduleOptions& options, int64_t total_steps);

// Factor on the peak rate at step 0 … total_steps-1: linear from 1/warmup over the warm-up, then by
// the schedule. wsd decays linearly (Hu et al. 2024; linear decay does best in Hägele et al. 2024).
double LearningRateFactor(const ScheduleOptions& options, int64_t step, int64_t total_steps);

}  // namespace darkhorse
