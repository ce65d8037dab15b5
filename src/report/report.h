// The report of a run: one HTML file that needs nothing else, its curves as SVG files, and event
// files for TensorBoard. It is made of the run's files alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace darkhorse {

// What a run of several stages leaves in its directory. Any may be empty: there is none.
struct StageNames {
  std::string pretraining, reinforcement;  // folders, each with a run of that kind
  std::string before, after;               // files: held-out scores before and after reinforcement
};

struct ReportOptions {
  double price_per_core_hour = 0.05;  // dollars; about what clouds ask for a virtual core
  StageNames stages;                  // empty: the directory can only hold a run of one stage
  // What a recipe (its text, TOML) means, in a sentence for people; "": nothing can be said. The
  // first is asked of a recipe of pretraining, the second of a recipe of several stages.
  std::function<std::string(const std::string&recipe)> describe_model, describe_corpus;
};

// Names in a run's directory that a report reads or writes. Where one of them lies in a folder that
// is no run yet, the report of a run begun there would be of another's too.
std::vector<std::string> ReportFiles();

// Reads what `pretrain`, `reinforce` or `run` left in the directory, finished or not, and writes
// report.html, figures/*.svg and tensorboard/ (in the directories of the stages) there. Returns the
// path of the page. Error: the directory holds no run.
std::string WriteReport(const std::string& run_directory, const ReportOptions& options);

// The page alone, as text; nothing is written.
std::string RenderReport(const std::string& run_directory, const ReportOptions& options);

}  // namespace darkhorse
