// Distillation: a teacher answers problems, a student learns what was right of it (DeepSeek-R1
// section 2.4).
#pragma once

#include <functional>
#include <string>

#include "pipeline/distil_recipe.h"
#include "pipeline/sampling.h"
#include "train/finetune.h"

namespace darkhorse {

// What distillation leaves in its folder.
namespace distil_files {
inline constexpr char kSamples[] = "samples";  // folder of sampling
inline constexpr char kStudent[] = "student";  // run directory of fine-tuning
}  // namespace distil_files

struct DistilCallbacks {
  SampleCallbacks sampling;
  FinetuneCallbacks finetuning;
};

struct DistilResult {
  bool finished = false;
  SampleResult sampling;
  FinetuneResult finetuning;
};

// Goes through both stages, or on with them, in the folder `out`: what is there is kept, what was
// interrupted goes on, exactly. Error: what a stage throws; nothing right to learn from.
DistilResult Distil(const DistilRecipe& recipe, const std::string& teacher,
                    const std::string& student, const std::string& out,
                    const DistilCallbacks& callbacks);

}  // namespace darkhorse
