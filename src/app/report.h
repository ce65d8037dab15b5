// The report of a run: one HTML file that needs nothing else, its curves as SVG files, and event
// files for TensorBoard.
#pragma once

#include <string>

namespace darkhorse {

struct ReportOptions {
  double price_per_core_hour = 0.05;  // dollars; about what clouds ask for a virtual core
};

// Reads what `pretrain`, `reinforce` or `run` left in the directory, finished or not, and writes
// report.html, figures/*.svg and tensorboard/ (in the directories of the stages) there. Returns the
// path of the page. Error: the directory holds no run.
std::string WriteReport(const std::string& run_directory, const ReportOptions& options = {});

}  // namespace darkhorse
