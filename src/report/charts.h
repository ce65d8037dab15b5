// The curves of a report.
#pragma once

#include <string>
#include <vector>

#include "report/data.h"

namespace darkhorse {

struct NamedChart {
  std::string name;  // of its file: "loss"
  Chart chart;
  std::string note = {};  // what its terms mean, in a sentence or two
};

// e to a loss in nats, in four digits; a dash where it is no number.
std::string Perplexity(double loss);

// Those that have points.
std::vector<NamedChart> PretrainingCharts(const RunRecord& run);
std::vector<NamedChart> ReinforcementCharts(const RunRecord& run);
std::vector<NamedChart> PassAtKCharts(const Evaluation& before, const Evaluation& after);

}  // namespace darkhorse
