// --weights: the number format in which a checkpoint's linear layers compute.
#pragma once

#include <optional>
#include <string>

#include "app/command.h"
#include "kernel/weight.h"
#include "pipeline/run_format.h"

namespace darkhorse {

// What auto takes where there is a checkpoint.
inline constexpr char kTrainedWeights[] =
    "as the run that the model lies in trained them, else as its files hold them";

// What makes weights smaller, for errors.
inline constexpr char kSmallerWeights[] = "--weights q4";

struct WeightsFlag {
  std::string name = "auto";

  // `standard`: what auto takes, for the help.
  void Register(Command command, const std::string& standard);
  bool given() const { return name != "auto"; }
  // Auto: TrainedFormat.
  RunFormat Of(const std::string& model) const;
  Format Or(Format standard) const;
};

}  // namespace darkhorse
