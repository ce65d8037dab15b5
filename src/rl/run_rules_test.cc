// Probe, curriculum, guards and stop rules in whole runs.
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "rl/tiny_run_testing.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class RunRulesTest : public ReinforceTest {
 protected:
  static std::vector<Json> Metrics(const std::string& run) {
    std::istringstream text(ReadFile(RunPath(run) + "/metrics.jsonl"));
    std::vector<Json> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }
  static std::vector<Json> Steps(const std::string& run) {
    std::vector<Json> lines = Metrics(run);
    std::erase_if(lines, [](const Json& line) { return line["step"] == 0; });
    return lines;
  }
  // Notes of a run, a line each.
  static ReinforceCallbacks Noting(std::string* notes) {
    return {.on_note = [notes](const std::string& note) { *notes += note + "\n"; }};
  }
  static ReinforceRecipe Mixed() {
    ReinforceRecipe recipe = Recipe();
    recipe.rl.tasks = {"parity:1", "parity:2=2", "gcd:1"};
    recipe.rl.max_tokens = 20;
    recipe.curriculum.by_success = true;
    recipe.curriculum.rate = 0.5;
    return recipe;
  }
  // Two tokens hold no answer.
  static ReinforceRecipe Hopeless() {
    ReinforceRecipe recipe = Recipe();
    recipe.rl.max_tokens = 2;
    recipe.probe.problems = 4;
    return recipe;
  }
};

TEST_F(RunRulesTest, AProbeChangesNothingOfTheRun) {
  ReinforceRecipe recipe = FullRecipe();
  recipe.probe.problems = 0;
  Run(recipe, "without");
  recipe.probe.problems = 5;
  std::string notes;
  Run(recipe, "with", false, Noting(&notes));
  ExpectSameRun("without", "with");
  EXPECT_FALSE(FileExists(RunPath("without") + "/probe.json"));
  const Json probe = Json::parse(ReadFile(RunPath("with") + "/probe.json"));
  EXPECT_EQ(probe["hopeless"], false);
  EXPECT_EQ(probe["parts"][0]["name"], "parity:1");
  EXPECT_EQ(probe["parts"][0]["problems"], 5);
  EXPECT_GT(probe["seconds"], 0);
  EXPECT_GE(probe["seconds_longest"], probe["seconds"]);
  ExpectMessage(notes, {"probe of parity:1: pass@1", "pass@4", "the run takes about"});
}

TEST_F(RunRulesTest, TheProbeTellsAnswersThatCannotBeReadFromNone) {
  ReinforceRecipe recipe = Recipe();
  recipe.probe.problems = 8;
  std::string rows;
  for (uint64_t i = 0; i < 16; ++i) {
    // The model answers in words, the rule reads numbers.
    const std::string prompt =
        MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain).prompt;  // ends with a newline
    rows += "{\"prompt\": \"" + prompt.substr(0, prompt.size() - 1) + "\", \"answer\": 7}\n";
  }
  recipe.problems.file = RunPath("words.jsonl");
  WriteFileAtomically(recipe.problems.file, rows);
  recipe.problems.rule = "numeric";
  recipe.problems.held_out_share = 0.25;
  const ProbeReport report = ProbeModel(recipe, Base(), {});
  ASSERT_EQ(report.parts.size(), 1u);
  EXPECT_EQ(report.parts[0].evaluation.format_rate, 0);
  // Half of its answers stand between tags (tiny_run_testing.h); of 32 none is less likely than
  // 2^-32.
  EXPECT_GT(report.parts[0].answered, 0);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_NE(report.findings[0].find("answers stand between their tags"), std::string::npos)
      << report.findings[0];
}

// The form is the program's affair: what it read counts, not what stands between tags.
TEST_F(RunRulesTest, TheProbeCountsTheAnswersThatAProgramRead) {
  ReinforceRecipe recipe = Recipe();
  std::string rows;
  for (uint64_t i = 0; i < 16; ++i) {
    const std::string prompt = MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain).prompt;
    rows += "{\"prompt\": \"" + prompt.substr(0, prompt.size() - 1) + "\"}\n";
  }
  recipe.problems.file = RunPath("rows.jsonl");
  WriteFileAtomically(recipe.problems.file, rows);
  recipe.problems.held_out_share = 0.25;
  recipe.problems.reward_seconds = 120;
  recipe.probe.problems = 4;
  for (const std::string answer : {"odd", ""}) {
    recipe.problems.reward =
        "while read -r line; do id=${line#*:}; id=${id%%,*}; echo \"{\\\"id\\\": $id, "
        "\\\"score\\\": 0, \\\"answer\\\": \\\"" +
        answer + "\\\", \\\"parts\\\": {\\\"format\\\": 0}}\"; done";
    const ProbeReport report = ProbeModel(recipe, Base(), {});
    EXPECT_DOUBLE_EQ(report.parts[0].answered, answer.empty() ? 0 : 1);
    ExpectMessage(report.findings.at(0),
                  {answer.empty() ? "no completion has the right form" : "answers are given, but"});
  }
}

TEST_F(RunRulesTest, TheProbeMeasuresEveryPartAndWritesNothing) {
  ReinforceRecipe recipe = Mixed();
  recipe.probe.problems = 6;
  const ProbeReport report = ProbeModel(recipe, Base(), {});
  ASSERT_EQ(report.parts.size(), 3u);
  EXPECT_EQ(report.parts[1].name, "parity:2");
  EXPECT_EQ(report.parts[2].evaluation.task, "gcd");
  EXPECT_EQ(report.parts[2].evaluation.problems, 6);
  EXPECT_EQ(report.parts[2].evaluation.samples, recipe.rl.group_size);
  // The same samples every time.
  const ProbeReport again = ProbeModel(recipe, Base(), {});
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(report.parts[i].evaluation.mean_length, again.parts[i].evaluation.mean_length);
    EXPECT_EQ(report.parts[i].signal_groups, again.parts[i].signal_groups);
  }
  recipe.probe.problems = 0;
  ExpectMessage(MessageOf([&] { ProbeModel(recipe, Base(), {}); }), {"probe.problems is 0"});
}

TEST_F(RunRulesTest, AWarmUpThatNeverEndsIsTold) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 1;
  recipe.schedule.warmup_steps = 4;
  std::string notes;
  Run(recipe, "long", false, Noting(&notes));
  ExpectMessage(notes, {"schedule.warmup_steps is 4 and the run has 1 step: ", "to 25 % of"});
  notes.clear();
  recipe.schedule.warmup_steps = 1;
  Run(recipe, "short", false, Noting(&notes));
  EXPECT_EQ(notes.find("warmup_steps"), std::string::npos) << notes;
}

TEST_F(RunRulesTest, AHopelessRunIsWarnedOfOrRefused) {
  ReinforceRecipe recipe = Hopeless();
  recipe.rl.steps = 1;
  std::string notes;
  EXPECT_TRUE(Run(recipe, "warned", false, Noting(&notes)).finished);
  ExpectMessage(notes, {"warning: nothing to learn from: parity:1: most completions are cut off",
                        "raise rl.max_tokens (now 2"});
  recipe.probe.stop_if_hopeless = true;
  ExpectMessage(MessageOf([&] { Run(recipe, "refused"); }),
                {"nothing to learn from", "rl.max_tokens", "probe.stop_if_hopeless"});
  EXPECT_FALSE(FileExists(RunPath("refused") + "/checkpoints"));
  // Another recipe may begin where nothing was.
  EXPECT_TRUE(Run(Recipe(), "refused").finished);
}

TEST_F(RunRulesTest, TheProbeDoesNotComeAgainWhenARunGoesOn) {
  ReinforceRecipe recipe = Recipe();
  recipe.probe.problems = 3;
  Run(recipe, "run", false, StopAfter(2));
  std::string notes;
  Run(recipe, "run", true, Noting(&notes));
  EXPECT_EQ(notes.find("probe"), std::string::npos) << notes;
}

TEST_F(RunRulesTest, CurriculumFollowsSuccess) {
  ReinforceRecipe recipe = Mixed();
  recipe.rl.prompts_per_step = 16;
  Run(recipe, "run");
  const std::vector<Json> lines = Steps("run");
  // At first the recipe's own weights, 1 : 2 : 1.
  EXPECT_EQ(lines.front()["curriculum/parity:1/share"], 0.25);
  EXPECT_EQ(lines.front()["curriculum/parity:2/share"], 0.5);
  // The base has never seen a gcd: seven steps halve its success from 1/2 each.
  EXPECT_LT(lines.back()["curriculum/gcd:1/success"], 0.1);
  EXPECT_LT(lines.back()["curriculum/gcd:1/share"], 0.15);
  for (const Json& line : lines) {
    double sum = 0;
    for (const char* name : {"parity:1", "parity:2", "gcd:1"})
      sum += line["curriculum/" + std::string(name) + "/share"].get<double>();
    EXPECT_NEAR(sum, 1, 4 * 0x1p-53);
  }
  recipe.curriculum.by_success = false;
  Run(recipe, "off");
  EXPECT_FALSE(Metrics("off").back().contains("curriculum/parity:1/share"));
}

TEST_F(RunRulesTest, ACurriculumResumesToTheSameBytes) {
  const ReinforceRecipe recipe = Mixed();
  std::vector<std::string> copies;
  Run(recipe, "whole", false, {.on_step = [&](const ReinforceMetrics& m) {
        copies.push_back("step" + std::to_string(m.step));
        fs::copy(RunPath("whole"), RunPath(copies.back()), fs::copy_options::recursive);
      }});
  ASSERT_EQ(copies.size(), 7u);
  for (const std::string& copy : copies) {
    EXPECT_TRUE(Run(recipe, copy, /*resume=*/true).finished);
    ExpectSameRun("whole", copy);
  }
}

TEST_F(RunRulesTest, EndsWhereAStopRuleSaysSo) {
  ReinforceRecipe recipe = Recipe();
  recipe.stop.accuracy = 1e-9;
  recipe.rl.evaluate_every = 2;
  recipe.rl.evaluate_problems = 32;
  recipe.rl.checkpoint_every = 5;
  std::string notes;
  const ReinforceResult result = Run(recipe, "run", false, Noting(&notes));
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.last.step, 2);
  ExpectMessage(result.stop_reason, {"stop.accuracy"});
  ExpectMessage(notes, {"finished after step 2: held-out accuracy"});
  EXPECT_EQ(result.checkpoint, RunPath("run") + "/checkpoints/step-00000002");
  EXPECT_EQ(Metrics("run").back()["stopped"], result.stop_reason);
  // It is over: going on changes nothing.
  const std::string metrics = ReadFile(RunPath("run") + "/metrics.jsonl");
  const ReinforceResult again = Run(recipe, "run", true);
  EXPECT_TRUE(again.finished);
  EXPECT_EQ(again.stop_reason, result.stop_reason);
  EXPECT_EQ(ReadFile(RunPath("run") + "/metrics.jsonl"), metrics);
}

TEST_F(RunRulesTest, PatienceAndWarningsOutliveAKill) {
  ReinforceRecipe recipe = Hopeless();  // never better than before its first step
  recipe.rl.steps = 9;
  recipe.rl.evaluate_every = 2;
  recipe.stop.patience = 3;
  const ReinforceResult whole = Run(recipe, "whole");
  EXPECT_EQ(whole.last.step, 6);
  std::vector<std::string> warned;
  for (const Json& line : Metrics("whole")) {
    for (const Json& warning : line.value("warnings", Json::array()))
      warned.push_back(std::to_string(line["step"].get<int>()) + " " +
                       warning["name"].get<std::string>());
  }
  EXPECT_EQ(warned, std::vector<std::string>{"5 no_signal"});
  for (const int after : {1, 4, 6}) {
    const std::string parts = "parts" + std::to_string(after);
    Run(recipe, parts, false, StopAfter(after));
    EXPECT_EQ(Run(recipe, parts, true).stop_reason, whole.stop_reason);
    EXPECT_EQ(ReadFile(RunPath(parts) + "/metrics.jsonl"),
              ReadFile(RunPath("whole") + "/metrics.jsonl"));
  }
}

// The same problems, samples and cost as of every evaluation after it.
TEST_F(RunRulesTest, TheModelIsMeasuredBeforeTheFirstStep) {
  ReinforceRecipe recipe = Recipe();
  recipe.optimizer.learning_rate = 1e-30;  // moves nothing
  recipe.rl.router_bias_gamma = 0;
  std::vector<int64_t> told;
  Run(recipe, "run", false,
      {.on_step = [&](const ReinforceMetrics& m) { told.push_back(m.step); },
       .on_evaluation =
           [&](const ReinforceMetrics& m) {
             told.push_back(100 + m.step);
             EXPECT_EQ(m.start.has_value(), m.step > 0);
             if (m.start) {
               EXPECT_EQ(m.start->value, MeanAccuracy(m.evaluation).value);
             }
           }});
  EXPECT_EQ(told, (std::vector<int64_t>{100, 1, 2, 3, 103, 4, 5, 6, 106, 7, 107}));
  const std::vector<Json> lines = Metrics("run");
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_EQ(lines[0], (Json{{"step", 0}, {"evaluation", lines[3]["evaluation"]}}));
  EXPECT_GT(lines[0]["evaluation"][0]["pass@1"], 0);
  recipe.rl.evaluate_every = 0;
  Run(recipe, "unmeasured");
  EXPECT_EQ(Metrics("unmeasured").front()["step"], 1);
}

TEST_F(RunRulesTest, MeasuringBeforeTheFirstStepChangesNothingOfTheTraining) {
  ReinforceRecipe recipe = FullRecipe();
  const std::string measured = Run(recipe, "measured").checkpoint;
  recipe.rl.evaluate_every = 0;
  const std::string unmeasured = Run(recipe, "unmeasured").checkpoint;
  for (const char* file : {"/model.safetensors", "/optimizer.safetensors"})
    EXPECT_EQ(ReadFile(measured + file), ReadFile(unmeasured + file)) << file;
}

TEST_F(RunRulesTest, ARunThatMakesTheModelWorseIsWarnedOfAndEndsIfAsked) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 9;
  recipe.rl.evaluate_every = 3;
  recipe.rl.evaluate_problems = 64;
  recipe.grpo.entropy_bonus = 10;  // ruins the model step by step
  recipe.optimizer.learning_rate = 3e-3;
  const auto warned = [](const Json& line) {
    for (const Json& warning : line.value("warnings", Json::array())) {
      if (warning["name"] == "below_start") return true;
    }
    return false;
  };
  std::string notes;
  EXPECT_EQ(Run(recipe, "warned", false, Noting(&notes)).stop_reason, "");
  const std::vector<Json> lines = Metrics("warned");
  const auto first = std::ranges::find_if(lines, warned);
  ASSERT_NE(first, lines.end());
  EXPECT_EQ(std::ranges::count_if(lines, warned), 1);
  const int64_t step = (*first)["step"];
  ASSERT_LT(step, 9);
  ExpectMessage(notes, {fmt::format("warning: after step {}: held-out accuracy is", step),
                        "lower optimizer.learning_rate"});
  recipe.stop.below_start = true;
  const ReinforceResult stopped = Run(recipe, "stopped");
  EXPECT_TRUE(stopped.finished);
  EXPECT_EQ(stopped.last.step, step);
  ExpectMessage(stopped.stop_reason, {"stop.below_start"});
  // What it began with is not forgotten by a run that goes on.
  Run(recipe, "parts", false, StopAfter(1));
  Run(recipe, "parts", true, StopAfter(static_cast<int>(step)));
  EXPECT_EQ(Run(recipe, "parts", true).stop_reason, stopped.stop_reason);
  EXPECT_EQ(Metrics("parts"), Metrics("stopped"));
}

TEST_F(RunRulesTest, MoreTokensThanTheContextLeavesAreTold) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 1;
  int64_t longest = 0;
  std::string rows;
  for (uint64_t i = 0; i < 16; ++i) {
    Problem problem = MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain);
    if (i == 5) problem.prompt = "a longer one: " + problem.prompt;
    longest = std::max(longest, std::ssize(Prompter({"", *tokenizer_, 0}).Of(problem).tokens));
    problem.prompt.pop_back();
    rows += "{\"prompt\": \"" + problem.prompt + "\", \"answer\": 7}\n";
  }
  const int64_t context = TinyPolicyConfig().max_position_embeddings;
  const auto told = [&](int64_t max_tokens) {
    recipe.rl.max_tokens = max_tokens;
    recipe.probe.problems = 0;
    std::string notes, of_probe;
    Run(recipe, fmt::format("{}-{}", recipe.problems.rule, max_tokens), false, Noting(&notes));
    recipe.probe.problems = 1;
    ProbeModel(recipe, Base(), Noting(&of_probe));
    for (const std::string& all : {notes, of_probe})
      EXPECT_EQ(all.find("context") == all.npos, max_tokens <= context - longest) << all;
    return notes;
  };
  ExpectMessage(told(context), {"rl.max_tokens is 64, but the model's context holds 64 tokens"});
  recipe.problems.file = RunPath("rows.jsonl");
  WriteFileAtomically(recipe.problems.file, rows);
  recipe.problems.rule = "numeric";
  recipe.problems.held_out_share = 0.25;
  ExpectMessage(told(context - longest + 1),
                {fmt::format("rl.max_tokens is {}, but the model's context holds {} tokens: behind "
                             "the longest prompt, {} tokens long, a completion has room for {}",
                             context - longest + 1, context, longest, context - longest)});
  told(context - longest);
}

TEST_F(RunRulesTest, RefusesWhatNoMachineHolds) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.prompts_per_step = 1 << 18;
  recipe.rl.micro_batch_tokens = INT64_MAX;  // 2^26 rows then, of over 2^10 floats each
  ExpectMessage(MessageOf([&] { Run(recipe, "run"); }), {"memory", "this machine has"});
}

TEST_F(RunRulesTest, RefusesRulesThatCannotWork) {
  const auto message = [](auto change) {
    ReinforceRecipe recipe = Recipe();
    change(recipe);
    return MessageOf([&] { Run(recipe, "run"); });
  };
  ExpectMessage(message([](ReinforceRecipe& r) { r.stop.patience = 1, r.rl.evaluate_every = 0; }),
                {"stop.patience", "rl.evaluate_every is 0"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.probe.problems = -1; }),
                {"probe.problems is -1"});
  ExpectMessage(
      message([](ReinforceRecipe& r) { r.probe.stop_if_hopeless = true, r.probe.problems = 0; }),
      {"probe.stop_if_hopeless needs a probe"});
  ExpectMessage(message([](ReinforceRecipe& r) { r.curriculum.floor = 0; }),
                {"curriculum.floor is 0"});
}

// A rule that holds for the first time after rl.steps has nothing left to end.
TEST_F(RunRulesTest, ARunThatEndsByItselfWasNotStopped) {
  ReinforceRecipe recipe = Recipe();
  recipe.stop.accuracy = 1e-9;
  recipe.rl.steps = 2;
  recipe.schedule.warmup_steps = 1;
  recipe.rl.evaluate_every = 2;
  recipe.rl.evaluate_problems = 32;
  std::string notes;
  const ReinforceResult result = Run(recipe, "run", false, Noting(&notes));
  EXPECT_TRUE(result.finished);
  EXPECT_GT(result.best_accuracy, recipe.stop.accuracy);
  EXPECT_EQ(result.stop_reason, "");
  EXPECT_FALSE(Metrics("run").back().contains("stopped"));
  EXPECT_EQ(notes, "");
}

// Nor are the failures of the probe the run's.
TEST_F(RunRulesTest, AProbeWhoseScoringFailsChangesNothingOfTheRun) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 2;
  recipe.rl.evaluate_every = 0;
  std::string rows;
  for (uint64_t i = 0; i < 16; ++i) {
    const std::string prompt = MakeProblem(FindTask("parity"), 1, i, 1, Split::kTrain).prompt;
    rows += "{\"prompt\": \"" + prompt.substr(0, prompt.size() - 1) + "\"}\n";
  }
  recipe.problems.file = RunPath("rows.jsonl");
  WriteFileAtomically(recipe.problems.file, rows);
  recipe.problems.reward =
      "while read -r line; do id=${line#*:}; id=${id%%,*}; case \"$line\" in *odd*) echo garbage;; "
      "*) echo \"{\\\"id\\\": $id, \\\"score\\\": 0.5}\";; esac; done";
  recipe.problems.reward_processes = 1;
  recipe.problems.reward_seconds = 120;
  Run(recipe, "without");
  recipe.probe.problems = 4;
  std::string notes;
  Run(recipe, "with", false, Noting(&notes));
  ExpectMessage(notes, {"probe: ", " samples could not be scored; the last: the reward program"});
  const std::vector<Json> lines = Metrics("with");
  EXPECT_EQ(lines, Metrics("without"));
  EXPECT_GT(lines[0]["reward_program/failures"], 0);
}

TEST_F(RunRulesTest, SaysWhereItStopsAndGoesOn) {
  ReinforceRecipe recipe = Recipe();
  recipe.rl.steps = 3;
  const auto run = [&](bool resume, std::function<bool()> stop) {
    std::string notes;
    ReinforceCallbacks callbacks = Noting(&notes);
    callbacks.stop = std::move(stop);
    const ReinforceResult result = Run(recipe, "run", resume, callbacks);
    EXPECT_EQ(result.checkpoint.empty(), !FileExists(RunPath("run") + "/checkpoints"));
    return notes;
  };
  EXPECT_EQ(run(false, [] { return true; }),
            "stopped before the first step; there is nothing to save\n");
  EXPECT_EQ(run(true, StopAfter(0).stop),
            RunPath("run") +
                " has no checkpoint: starting from the first step\n"
                "stopped before the first step; there is nothing to save\n");
  Run(recipe, "run", true, StopAfter(1));
  const std::string first = RunPath("run") + "/checkpoints/step-00000001";
  EXPECT_EQ(run(true, [] { return true; }),
            "resuming from " + first +
                "\nstopped after step 1; its state is saved, so the run can be resumed\n");
  EXPECT_EQ(run(true, {}), "resuming from " + first + "\n");
  EXPECT_EQ(run(true, {}), "finished already: " + RunPath("run") + "/checkpoints/step-00000003\n");
  fs::remove_all(RunPath("run") + "/checkpoints");
  const std::string metrics = ReadFile(RunPath("run") + "/metrics.jsonl");
  for (const bool resume : {false, true})
    ExpectMessage(MessageOf([&] { run(resume, {}); }), {"its checkpoints are gone"});
  EXPECT_EQ(ReadFile(RunPath("run") + "/metrics.jsonl"), metrics);
}

}  // namespace
}  // namespace darkhorse
