#include "report/report.h"

#include "base/file.h"
#include "report/charts.h"
#include "report/page.h"

namespace darkhorse {
namespace {

constexpr char kPage[] = "report.html", kFigures[] = "figures", kTensorBoard[] = "tensorboard";

void WriteFigures(const std::string& directory, const std::vector<NamedChart>& charts) {
  for (const NamedChart& named : charts)
    WriteFileAtomically(directory + "/" + named.name + ".svg", DrawChartFile(named.chart));
}

void WriteTensorBoard(const RunRecord& run) {
  if (!run.present()) return;
  const std::string directory = run.directory + "/" + kTensorBoard;
  MakeDirectories(directory);
  WriteFileAtomically(directory + "/events.out.tfevents.darkhorse", TensorBoardFileOf(run));
}

}  // namespace

std::vector<std::string> ReportFiles() {
  return {kMetricsFile, kSamplesFile, kTimingsFile, kProbeFile,
          kTextFile,    kPage,        kFigures,     kTensorBoard};
}

std::string RenderReport(const std::string& run_directory, const ReportOptions& options) {
  return ReportPage(ReadReportData(run_directory, options.stages), options);
}

std::string WriteReport(const std::string& run_directory, const ReportOptions& options) {
  const ReportData data = ReadReportData(run_directory, options.stages);
  const std::string figures = run_directory + "/" + kFigures;
  MakeDirectories(figures);
  WriteFigures(figures, PretrainingCharts(data.pretraining));
  WriteFigures(figures, ReinforcementCharts(data.reinforcement));
  WriteFigures(figures, PassAtKCharts(data.before, data.after));
  WriteTensorBoard(data.pretraining);
  WriteTensorBoard(data.reinforcement);
  const std::string path = run_directory + "/" + kPage;
  WriteFileAtomically(path, ReportPage(data, options));
  return path;
}

}  // namespace darkhorse
