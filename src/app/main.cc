#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "app/app.h"
#include "app/usage.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/parallel.h"

namespace darkhorse {
namespace {

constexpr char kVersion[] = "darkhorse 0.1.0";

// --threads may stand before and behind a command.
void AddThreads(CLI::App& app) {
  app.add_option_function<int>("--threads", SetNumThreads,
                               "threads to compute with; results do not depend on it")
      ->default_str(std::to_string(NumThreads()))
      ->check(CLI::Range(1, 4096));
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
    AddThreads(*command);
}

void RegisterAll(CLI::App& app) {
  app.set_version_flag("--version", kVersion, "print the version");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();  // subcommands inherit it
  RegisterTokenizer(app);
  RegisterData(app);
  RegisterTask(app);
  RegisterInfo(app);
  RegisterPretrain(app);
  RegisterReinforce(app);
  RegisterRun(app);
  RegisterGenerate(app);
  RegisterChat(app);
  RegisterEvaluate(app);
  RegisterBench(app);
  RegisterReport(app);
  AddThreads(app);
}

std::string g_program = "darkhorse";

int Report(int code, const std::string& message) {
  std::fprintf(stderr, "darkhorse: error: %s\n", message.c_str());
  return code;
}

int Main(int argc, char** argv) {
  CLI::App app("Makes and runs small reasoning models the DeepSeek-R1 way, on CPUs.", "darkhorse");
  if (argc > 0) g_program = argv[0];
  try {
    RegisterAll(app);
    // `darkhorse help COMMAND` is what many type.
    std::vector<std::string> arguments(argv + std::min(1, argc), argv + argc);
    if (!arguments.empty() && arguments.front() == "help") {
      arguments.erase(arguments.begin());
      arguments.push_back("--help");
    }
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(arguments);
    // A full disk shows when the buffer is written.
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) Fail("cannot write the result to stdout");
    return 0;
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return Report(2, ExplainUsage(app, error));
  } catch (const UsageError& error) {
    return Report(2, error.what());
  } catch (const Error& error) {
    return Report(1, error.what());
  } catch (const Interruption&) {
    return Report(1, "stopped; nothing was saved");
  } catch (const std::bad_alloc&) {
    return Report(1, "out of memory; choose smaller sizes or a machine with more");
  } catch (const std::exception& error) {
    return Report(1, std::string("unexpected: ") + error.what());
  }
}

}  // namespace

const std::string& ProgramName() { return g_program; }

}  // namespace darkhorse

int main(int argc, char** argv) { return darkhorse::Main(argc, argv); }
