// The card of a data set that sampling wrote.
#pragma once

#include <string>

#include "pipeline/rejection.h"
#include "pipeline/sample_recipe.h"

namespace darkhorse {

// Markdown behind the YAML that Hugging Face's `datasets` reads: what was asked of which model,
// what became of its answers, all fields of the recipe. `model`: its name; `shown`: what tells it
// from others.
std::string SampleCard(const SampleRecipe& recipe, const std::string& model,
                       const std::string& shown, const Selection& selection);

}  // namespace darkhorse
