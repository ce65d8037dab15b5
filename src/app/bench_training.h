// How fast a recipe's model trains, and where a step's time goes.
#pragma once

#include "app/output.h"
#include "model/part_clock.h"
#include "train/recipe.h"
#include "train/trained_model.h"

namespace darkhorse {

// Milliseconds of each part of the model in a step of `step` seconds, and its share of the step.
// The clock's seconds count `scale` times; `update` are the optimizer's seconds. All are of the
// same rounds, so that what no part covers remains.
Json WhereTimeGoes(const PartClock& clock, double scale, double update, double step);

// Steps on random tokens with the balance of experts that random weights have: medians of `rounds`,
// but for where the time goes: means, of which parts make a whole.
Json BenchTraining(const PretrainRecipe& recipe, int64_t rounds, TrainedModel& trained);

}  // namespace darkhorse
