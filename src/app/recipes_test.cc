#include "app/recipes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "app/problem_flags.h"
#include "app/run_program_testing.h"
#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

TEST(ReadRecipe, IsABuiltInOneOrAFile) {
  const std::vector<std::string> names = RecipeNames();
  ASSERT_TRUE(std::ranges::count(names, "countdown"));
  for (const std::string& name : names)
    EXPECT_EQ(ReadRecipe(name), ReadFile(DARKHORSE_SOURCE_DIR "/recipes/" + name + ".toml"));
  ScratchDirectory scratch;
  EXPECT_EQ(ReadRecipe(scratch.Write("own.toml", "steps = 1\n")), "steps = 1\n");
  EXPECT_TRUE(Says(MessageOf([&] { ReadRecipe(scratch.path()); }), "is a folder, not a recipe"));
  EXPECT_TRUE(Says(MessageOf([&] { ReadRecipe(scratch / "none"); }), "no such recipe file"));
  EXPECT_TRUE(Says(MessageOf([] { ReadRecipe("none.toml"); }), "no such recipe file; check"));
  EXPECT_TRUE(Says(MessageOf([] { ReadRecipe("Qwen/Qwen2.5-0.5B"); }),
                   "no such recipe file, and nothing is downloaded; check"));
  EXPECT_TRUE(Says(MessageOf([] { ReadRecipe("countdwn"); }), "did you mean 'countdown'?"));
}

// 3e-4 took a base of a user's from 0.278 to 0.104 in ten steps.
TEST(ReadRecipe, TheRateForModelsThatAreNotKnownIsLowAndWarmsUp) {
  const ReinforceRecipe own =
      ReadReinforceRecipe({"own", {"problems.file=x", "problems.rule=exact"}});
  EXPECT_LE(own.optimizer.learning_rate, 1e-4);
  EXPECT_EQ(own.schedule.warmup_steps, own.rl.steps / 10);
}

TEST(RecipeArguments, NameOverridesAndParts) {
  RecipeArguments arguments;
  Program program("prog", "prog 1", "help");
  arguments.Register(program.command(), TakesPretraining, "train.steps=100");
  program.Run({"countdown", "--set", "train.steps=12", "--set", "train.sequence_length=64"});
  const PretrainRecipe recipe = ReadPretrainRecipe(arguments);
  EXPECT_EQ(recipe.train.steps, 12);
  EXPECT_EQ(recipe.train.sequence_length, 64);
  arguments.overrides = {"pretrain.train.steps=13"};
  EXPECT_EQ(std::get<PretrainRecipe>(ReadRunRecipe(arguments).stages.front().recipe).train.steps,
            13);
  arguments.overrides = {"rl.steps=14"};
  EXPECT_EQ(ReadReinforceRecipe(arguments).rl.steps, 14);
  // Messages name what the user gave.
  ScratchDirectory scratch;
  arguments = {scratch.Write("own.toml", "stepz = 1\n"), {}};
  EXPECT_TRUE(Says(MessageOf([&] { ReadPretrainRecipe(arguments); }), "own.toml"));
}

TEST(Recipes, BuiltInOnesAreSoundForOneCommandAtLeast) {
  for (const std::string& name : RecipeNames()) {
    const RecipeArguments arguments{name, {}};
    const auto reads = [&](auto read) { return MessageOf([&] { read(arguments); }).empty(); };
    const auto read_pretraining = [](const RecipeArguments& given) {
      return ReadPretrainRecipe(given);
    };
    const auto read_with_problems = [](const RecipeArguments& given) {
      return ReadReinforceRecipe(given, [](ProblemsOptions* problems) {
        problems->file = "own.jsonl";
        problems->rule = "exact";
      });
    };
    const auto read_run = [](RecipeArguments given) { return ReadRunRecipe(given); };
    const auto read_run_of_a_model = [](RecipeArguments given) {
      given.overrides = {"model=./m", "problems.file=own.jsonl", "problems.rule=exact"};
      return ReadRunRecipe(given);
    };
    EXPECT_TRUE(reads(read_run) || reads(read_run_of_a_model) || reads(read_pretraining) ||
                reads(read_with_problems))
        << name;
  }
}

TEST(Recipes, HelpNamesThoseThatTheCommandTakes) {
  const auto expect = [](const char* command, const char* names, const char* setting) {
    testing::internal::CaptureStdout();
    std::string name = "darkhorse", sub = command, flag = "--help";
    char* argv[] = {name.data(), sub.data(), flag.data()};
    EXPECT_EQ(RunProgram(3, argv), 0);
    const std::string help = testing::internal::GetCapturedStdout();
    EXPECT_NE(help.find(std::string("a built-in one: ") + names + "\n"), std::string::npos) << help;
    EXPECT_NE(help.find(std::string("--set ") + setting + ";"), std::string::npos) << help;
    EXPECT_NE(help.find(std::string("For example: darkhorse ") + command + " "), std::string::npos);
  };
  expect("pretrain", "countdown, m, mixture, r1, s, tiny", "train.steps=100");
  expect("reinforce", "countdown, mixture, own, r1-model, r1", "rl.steps=100");
  expect("run", "countdown, mixture, r1-model, r1", "reinforce.rl.steps=100");
}

TEST(ProblemFlags, WhatIsGivenGoesOverTheRecipe) {
  ProblemsOptions options;
  options.file = "recipe.jsonl";
  options.rule = "exact";
  options.held_out_share = 0.25;
  options.reward_processes = 3;
  options.reward_seconds = 4;
  ProblemFlags().Apply(&options);
  EXPECT_EQ(options.file, "recipe.jsonl");
  EXPECT_EQ(options.rule, "exact");
  EXPECT_EQ(options.reward, "");
  EXPECT_EQ(options.held_out_share, 0.25);
  EXPECT_EQ(options.reward_processes, 3);
  EXPECT_EQ(options.reward_seconds, 4);

  ProblemFlags flags;
  flags.reward = "python3 reward.py";  // in place of the rule
  flags.Apply(&options);
  EXPECT_EQ(options.rule, "");
  EXPECT_EQ(options.reward, "python3 reward.py");

  flags = {.file = "own.jsonl",
           .rule = "numeric",
           .held_out_share = 0.5,
           .reward_processes = 5,
           .reward_seconds = 6.5};
  flags.Apply(&options);
  EXPECT_EQ(options.file, "own.jsonl");
  EXPECT_EQ(options.rule, "numeric");
  EXPECT_EQ(options.reward, "");
  EXPECT_EQ(options.held_out_share, 0.5);
  EXPECT_EQ(options.reward_processes, 5);
  EXPECT_EQ(options.reward_seconds, 6.5);

  flags.reward = "x";
  EXPECT_TRUE(Says(MessageOf([&] { flags.Apply(&options); }), "only one of them can score"));
  flags = {.held_out_share = 2};
  EXPECT_NE(MessageOf([&] { flags.Apply(&options); }), "");
}

// Each alone sets the field that it is named for, and none goes without a name.
TEST(ProblemFlags, AreNamedByTheFieldsThatTheySet) {
  const std::pair<const char*, const char*> flags[] = {
      {"--problems", "own.jsonl"},   {"--rule", "numeric"},       {"--reward", "./reward"},
      {"--held-out-share", "0.625"}, {"--reward-processes", "7"}, {"--reward-seconds", "8.5"}};
  EXPECT_EQ(ProblemFlags::Names().size(), std::size(flags));
  for (const auto& [flag, value] : flags) {
    Program program("prog", "prog 1", "help");
    Command command = program.command().AddCommand("make", "makes");
    ProblemFlags given;
    given.Register(command);
    command.Runs([] {});
    program.Run({"make", flag, value});
    ProblemsOptions standard;
    standard.file = "some.jsonl";
    standard.rule = "exact";
    ProblemsOptions options = standard;
    given.Apply(&options);
    const std::string now = ToToml(options), then = ToToml(standard);
    for (const auto& [field, name] : ProblemFlags::Names()) {
      if (field == "problems.rule" && name != flag && options.rule.empty()) continue;  // replaced
      const auto line = [&](const std::string& toml) {
        const size_t begin = toml.find("\n" + field.substr(field.find('.') + 1) + " = ");
        return toml.substr(begin, toml.find('\n', begin + 1) - begin);
      };
      EXPECT_EQ(line("\n" + now) != line("\n" + then), name == flag) << field << " by " << flag;
    }
  }
}

int Exit(const std::vector<std::string>& arguments, std::string* out = nullptr,
         std::string* error = nullptr) {
  const Outcome outcome = CallProgram(arguments);
  if (out) *out = outcome.out;
  if (error) *error = outcome.error;
  return outcome.code;
}

TEST(RunProgram, ExitCodesTellUsageFromOtherErrors) {
  std::string out, error;
  EXPECT_EQ(Exit({"task", "list", "--json"}, &out, &error), 0);
  EXPECT_EQ(out.substr(0, 2), "{\"");
  EXPECT_EQ(error, "");
  EXPECT_EQ(ProgramName(), "./darkhorse");
  EXPECT_EQ(Exit({"tsk"}, &out, &error), 2);
  EXPECT_EQ(out, "");
  EXPECT_EQ(error, "darkhorse: error: unknown command 'tsk'; did you mean 'task'?\n");
  EXPECT_EQ(Exit({"report", "/nowhere"}, &out, &error), 1);
  EXPECT_TRUE(error.starts_with("darkhorse: error: /nowhere: no such folder")) << error;
  std::string help;
  EXPECT_EQ(Exit({"help", "report"}, &help), 0);
  EXPECT_EQ(Exit({"report", "--help"}, &out), 0);
  EXPECT_EQ(help, out);
  EXPECT_NE(help.find("--price FLOAT"), std::string::npos);
  EXPECT_EQ(Exit({"--version"}, &out), 0);
  EXPECT_TRUE(out.starts_with("darkhorse 0.")) << out;
  // What others' programs have is not taken for a near name.
  EXPECT_EQ(Exit({"sft"}, &out, &error), 2);
  EXPECT_NE(error.find("`finetune` learns to answer"), std::string::npos) << error;
  EXPECT_EQ(Exit({"generate", "--device", "cuda"}, &out, &error), 2);
  EXPECT_NE(error.find("'--device': all is computed on the CPU"), std::string::npos) << error;
}

TEST(RunProgram, ReportTakesThePrice) {
  ScratchDirectory scratch;
  scratch.Write("run/metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  scratch.Write("run/timings.jsonl", "{\"step\":1,\"seconds\":1800,\"threads\":4}\n");
  std::string out;
  EXPECT_EQ(Exit({"report", scratch / "run", "--price", "3", "--json"}, &out), 0);
  EXPECT_EQ(out, "{\"report\":\"" + (scratch / "run/report.html") + "\"}\n");
  const std::string page = ReadFile(scratch / "run/report.html");
  EXPECT_NE(page.find("<b>$6.00</b>"), std::string::npos);
  EXPECT_NE(page.find("<b>30:00</b>"), std::string::npos);
}

}  // namespace
}  // namespace darkhorse
