// The sections of a report that tell of reinforcement learning: what the probe found, curves,
// warnings, the curriculum, thoughts over time.
#pragma once

#include <string>

#include "report/data.h"

namespace darkhorse {

// "" for a run that has none.
std::string ReinforcementSections(const RunRecord& run);

}  // namespace darkhorse
