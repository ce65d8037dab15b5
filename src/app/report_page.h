// The report as HTML.
#pragma once

#include <string>

#include "app/report.h"
#include "app/report_data.h"

namespace darkhorse {

std::string ReportPage(const ReportData& data, const ReportOptions& options);

}  // namespace darkhorse
