// `darkhorse report`: a run directory to a page with curves, and to TensorBoard's event files.
#include "report/report.h"

#include "app/app.h"
#include "app/flags.h"
#include "app/output.h"
#include "pipeline/run_report.h"

namespace darkhorse {
namespace {

struct ReportArguments {
  std::string run;
  double price_per_core_hour = ReportOptions().price_per_core_hour;
  bool json = false;
};

}  // namespace

void RegisterReport(Command app) {
  Command command =
      app.AddCommand("report", "Write a run's report.html, curves and TensorBoard event files");
  const auto arguments = std::make_shared<ReportArguments>();
  command.Add("run", arguments->run, "run directory of pretrain, reinforce or run").Required();
  command.Add("--price", arguments->price_per_core_hour, "what a core costs an hour, in dollars")
      .WithinReals(0, 1e6);
  AddJsonFlag(command, &arguments->json);
  command.Runs([arguments] {
    PrintResult({{"report", ReportRun(arguments->run, arguments->price_per_core_hour)}},
                arguments->json);
  });
}

}  // namespace darkhorse
