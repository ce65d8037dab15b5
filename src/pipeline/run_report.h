// The report of a run with what recipes say about it.
#pragma once

#include <string>

namespace darkhorse {

// WriteReport (report/report.h) for a run of one stage or of all. Returns the path of the page.
std::string ReportRun(const std::string& run);
std::string ReportRun(const std::string& run, double price_per_core_hour);
// The page alone, as text, of a run as it is now; nothing is written. Error: it has measured
// nothing yet, or is none.
std::string RunPage(const std::string& run);

// Whether a run of stages has anything to report: one of those that its report is about has begun.
bool HasReport(const std::string& run);

// Writes what the report of a pretraining run shows of its model: the text of the checkpoint's that
// begins a document, always the same. Nothing where no token begins one. Error: what loading a
// checkpoint throws.
void WriteSampleText(const std::string& run, const std::string& checkpoint);

// A sentence on the model that a pretraining recipe's text describes, or on the corpus of a run's;
// "" for a recipe of another version, or of dimensions that no model has.
std::string DescribeModelOf(const std::string& pretrain_recipe);
std::string DescribeCorpusOf(const std::string& run_recipe);

}  // namespace darkhorse
