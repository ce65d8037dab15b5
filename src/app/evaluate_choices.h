// `darkhorse evaluate --choices`: multiple choice, by how probable a model finds each.
#pragma once

#include <cstdint>
#include <string>

#include "app/output.h"
#include "pipeline/loaded_model.h"
#include "rl/options.h"

namespace darkhorse {

// The first `count` questions of the file. In a chat (rl/prompter.h) a choice is the whole answer
// to the question; else it stands behind it, after a space. Right is a question whose right choice
// is the most probable: by the sum of its tokens' log-probabilities, and by that sum divided by its
// bytes, for a long choice is less probable than a short one whatever it says.
Json EvaluateChoices(const LoadedModel& loaded, const std::string& file,
                     const PromptOptions& prompt, int64_t count);

}  // namespace darkhorse
