// --weights: the number format in which a checkpoint's linear layers compute.
#pragma once

#include <string>

#include "app/command.h"
#include "kernel/weight.h"

namespace darkhorse {

// What auto takes where there is a checkpoint.
inline constexpr char kTrainedWeights[] =
    "as the run that the model lies in trained them, else f32";

struct WeightsFlag {
  std::string name = "auto";

  // `standard`: what auto takes, for the help.
  void Register(Command command, const std::string& standard);
  bool given() const { return name != "auto"; }
  // Auto: what the checkpoint was trained in, where the run it lies in tells, else f32. Notes what
  // is not f32.
  Format Of(const std::string& model) const;
  Format Or(Format standard) const;
};

}  // namespace darkhorse
