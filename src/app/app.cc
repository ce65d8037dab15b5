#include "app/app.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "app/cut_file.h"
#include "app/output.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "checkpoint/run_directory.h"
#include "version_generated.h"

namespace darkhorse {
namespace {

constexpr char kVersion[] = "darkhorse " DARKHORSE_VERSION;
constexpr int kInterrupted = 128 + SIGINT;  // what shells say of such a command

// --threads may stand before and behind a command.
void AddThreads(Command command) {
  const auto set = [](const std::string& text) { SetNumThreads(std::stoi(text)); };
  command
      .AddFunction("--threads", set, "INT", std::to_string(NumThreads()),
                   "threads to compute with; results do not depend on it")
      .Integer()
      .Within(1, 4096);
  for (const Command& inner : command.Commands()) AddThreads(inner);
}

// What people type who know comparable programs.
void AddHints(Program& program) {
  for (const char* name : {"sft", "fine-tune", "tune"})
    program.AddHint(name, "`finetune` learns to answer as the assistant of chats does");
  program.AddHint("distill", "`distil` makes a student of a teacher");
  for (const char* name : {"eval", "test", "score"})
    program.AddHint(name, "`evaluate` measures a model, `task score` an answer");
  for (const char* name : {"train", "learn"})
    program.AddHint(name, "`pretrain` trains on text, `finetune` on chats, `reinforce` on rewards");
  for (const char* name : {"grpo", "rl", "ppo"})
    program.AddHint(name, "`reinforce` is reinforcement learning (GRPO)");
  for (const char* name : {"server", "api"})
    program.AddHint(name, "`serve` answers over HTTP, as OpenAI's API does");
  for (const char* name : {"export", "quantize", "quantise"}) {
    program.AddHint(name,
                    "`convert` writes a model as Hugging Face's folder or as a GGUF file, in "
                    "fewer bits if asked");
  }
  for (const char* name : {"download", "pull", "login"})
    program.AddHint(name, "nothing is downloaded; models are made here or lie in a folder");
  for (const char* name : {"--device", "--gpu", "--cuda"})
    program.AddHint(name, "all is computed on the CPU; --threads says on how many of its cores");
  program.AddHint("--steps", "--set train.steps=N, of the recipe (rl.steps, finetune.steps)");
  for (const char* name : {"--lr", "--learning-rate"})
    program.AddHint(name, "--set optimizer.learning_rate=X, of the recipe");
  for (const char* name : {"--dtype", "--bf16", "--fp16"})
    program.AddHint(
        name, "--weights is the format of a model that runs, train.precision that of training");
}

void RegisterAll(Command app) {
  app.NeedsCommand();
  RegisterTokenizer(app);
  RegisterData(app);
  RegisterTask(app);
  RegisterInfo(app);
  RegisterPretrain(app);
  RegisterFinetune(app);
  RegisterReinforce(app);
  RegisterSample(app);
  RegisterDistil(app);
  RegisterRun(app);
  RegisterGenerate(app);
  RegisterChat(app);
  RegisterServe(app);
  RegisterEvaluate(app);
  RegisterBench(app);
  RegisterReport(app);
  RegisterWatch(app);
  RegisterConvert(app);
  AddThreads(app);
}

std::string g_program = "darkhorse";

int Report(int code, const std::string& message) {
  std::fprintf(stderr, "darkhorse: error: %s\n", Printable(message, message.size()).c_str());
  return code;
}

}  // namespace

SavedInterruption InterruptedRun(const std::string& checkpoint) {
  return {{},
          checkpoint.empty() ? "nothing was saved yet; the same command begins anew"
                             : "the same command with --resume goes on from what is saved"};
}

const std::string& ProgramName() { return g_program; }

int RunProgram(int argc, char** argv) {
  Program program("darkhorse", kVersion,
                  "Makes and runs small reasoning models the DeepSeek-R1 way, on CPUs.");
  if (argc > 0) g_program = argv[0];
  TellOfCutFiles();
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error of write, which names the cure
  try {
    RegisterAll(program.command());
    AddHints(program);
    // `darkhorse help COMMAND` is what many type.
    std::vector<std::string> arguments(argv + std::min(1, argc), argv + argc);
    if (!arguments.empty() && arguments.front() == "help") {
      arguments.erase(arguments.begin());
      arguments.push_back("--help");
    }
    program.Run(std::move(arguments));
    // A full disk shows when the buffer is written.
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      Fail("cannot write the result to stdout; free some space, or check where it is sent");
    }
    return 0;
  } catch (const UsageError& error) {
    return Report(2, error.what());
  } catch (const RunIsThere& error) {
    return Report(1, std::string(error.what()) + " (--resume goes on with it)");
  } catch (const NoTokenizer& error) {
    return Report(1, std::string(error.what()) + " with `darkhorse tokenizer train`");
  } catch (const Error& error) {
    return Report(1, error.what());
  } catch (const SavedInterruption& stopped) {
    std::fflush(stdout);
    Note("interrupted: " + stopped.how_it_goes_on);
    return kInterrupted;
  } catch (const Interruption&) {
    Note("interrupted; nothing was saved");
    return kInterrupted;
  } catch (const std::bad_alloc&) {
    return Report(1, "out of memory; choose smaller sizes or a machine with more");
  } catch (const std::exception& error) {
    return Report(1, std::string("unexpected: ") + error.what());
  }
}

}  // namespace darkhorse
