// The report as HTML.
#pragma once

#include <string>

#include "report/data.h"
#include "report/report.h"

namespace darkhorse {

std::string ReportPage(const ReportData& data, const ReportOptions& options);

}  // namespace darkhorse
