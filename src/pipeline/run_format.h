// In which number format a model's linear layers compute where nothing else is asked for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/weight.h"

namespace darkhorse {

// "auto", "f32", "bf16", "q8", "q4".
std::vector<std::string> RunFormatNames();
// Of a name other than auto; none: there is no such format.
std::optional<Format> ParseRunFormat(const std::string& name);

// Of auto: what the checkpoint was trained in, where the run it lies in tells, which `note` hears
// if that is not f32, with `asking` as what the user would say to have f32; f32 for other
// checkpoints of this program; none, for what the files hold, elsewhere.
std::optional<Format> TrainedFormat(const std::string& model, const std::string& asking,
                                    const std::function<void(const std::string&)>& note);

}  // namespace darkhorse
