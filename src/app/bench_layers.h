// Where a training step's time goes.
#pragma once

#include "app/output.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace darkhorse {

// Calls the model's layers one after another as a training step does, each kind under a clock:
// milliseconds of a whole step and their share of `step_seconds`, which was measured without the
// clocks. What remains is noise and what no clock covers. The router's clock runs over a call of
// its own, whose time is taken off the experts'.
Json BenchLayers(const PretrainRecipe& recipe, const LossInput& input, double step_seconds,
                 int64_t rounds, Trainer& trainer);

}  // namespace darkhorse
