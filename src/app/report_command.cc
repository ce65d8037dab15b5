// `darkhorse report`: a run directory to a page with curves, and to TensorBoard's event files.
#include "app/app.h"
#include "app/output.h"
#include "app/report.h"

namespace darkhorse {
namespace {

struct ReportArguments {
  std::string run;
  ReportOptions options;
  bool json = false;
};

}  // namespace

void RegisterReport(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("report", "Write a run's report.html, curves and TensorBoard event files");
  const auto arguments = std::make_shared<ReportArguments>();
  command->add_option("run", arguments->run, "run directory of pretrain, reinforce or run")
      ->required();
  command
      ->add_option("--price", arguments->options.price_per_core_hour,
                   "what a core costs an hour, in dollars")
      ->check(CLI::NonNegativeNumber);
  AddJsonFlag(*command, &arguments->json);
  command->callback([arguments] {
    PrintResult({{"report", WriteReport(arguments->run, arguments->options)}}, arguments->json);
  });
}

}  // namespace darkhorse
