// In which number format a model's linear layers compute where nothing else is asked for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/weight.h"

namespace darkhorse {

// What a model computes in.
struct RunFormat {
  std::optional<Format> weights;  // of its linear layers; none: what the files hold
  Format adapter = Format::kF32;  // of an adapter's products beside them

  RunFormat() = default;
  RunFormat(std::optional<Format> of) : weights(of) {}  // NOLINT: one is the other
  RunFormat(Format of) : weights(of) {}                 // NOLINT
};

// "auto", "f32", "bf16", "q8", "q4".
std::vector<std::string> RunFormatNames();
// Of a name other than auto; none: there is no such format.
std::optional<Format> ParseRunFormat(const std::string& name);

// Of auto: what the checkpoint was trained in, where the run it lies in tells, of an adapter what
// its base was in and its own products; `note` hears it if that is not f32, or not what the base's
// files hold, with `asking` as what the user would say to have f32. Elsewhere f32 for checkpoints
// of this program; none, for what the files hold, for others and for an adapter's base.
RunFormat TrainedFormat(const std::string& model, const std::string& asking,
                        const std::function<void(const std::string&)>& note);

}  // namespace darkhorse
