// What a run leaves to the model is decided by how the model is asked.
#include "rl/answers.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "rl/environment.h"
#include "rl/own_problems.h"

namespace darkhorse {
namespace {

ProblemsOptions ByRule(const char* rule) { return {.file = "p.jsonl", .rule = rule}; }
std::string PlaceOf(const ProblemsOptions& options, const std::vector<std::string>& tasks = {}) {
  return DecidedFor(options, tasks, /*chats=*/true).answer;
}

TEST(Answers, OwnModelsAnswerAsTheirTasksDo) {
  const ProblemsOptions decided = DecidedFor(ByRule("numeric"), {}, /*chats=*/false);
  const Reading reading = ReadingOf(decided);
  EXPECT_EQ(reading.place, AnswerPlace::kTags);
  EXPECT_EQ(reading.form, FormPay::kAlways);
  EXPECT_FALSE(reading.lenient);
  EXPECT_EQ(InstructionOf(decided), "");
}

TEST(Answers, APublishedModelIsAskedForWhatFitsTheRule) {
  EXPECT_EQ(PlaceOf(ByRule("numeric")), "last_number");
  EXPECT_EQ(PlaceOf(ByRule("math")), "boxed");
  EXPECT_EQ(PlaceOf(ByRule("choice")), "choice");
  EXPECT_EQ(PlaceOf(ByRule("exact")), "boxed");
  EXPECT_EQ(PlaceOf({}, {"sum:1", "multiply:2"}), "last_number");
  EXPECT_EQ(PlaceOf({}, {"sum:1", "sort:1"}), "boxed");
  const ProblemsOptions decided = DecidedFor(ByRule("math"), {}, true);
  EXPECT_EQ(InstructionOf(decided), AnswerInstruction(AnswerPlace::kBoxed));
  EXPECT_EQ(ReadingOf(decided).form, FormPay::kWithAnswer);
  EXPECT_TRUE(ReadingOf(decided).lenient);
}

TEST(Answers, WhatIsSaidStays) {
  ProblemsOptions said = ByRule("numeric");
  said.answer = "hashes";
  said.format_reward = "never";
  for (const bool chats : {false, true}) {
    const Reading reading = ReadingOf(DecidedFor(said, {}, chats));
    EXPECT_EQ(reading.place, AnswerPlace::kHashes);
    EXPECT_EQ(reading.form, FormPay::kNever);
    EXPECT_TRUE(reading.lenient);
  }
}

TEST(Answers, AProgramKnowsWhereAnswersStand) {
  const ProblemsOptions program{.file = "p.jsonl", .reward = "score"};
  EXPECT_EQ(PlaceOf(program), "auto");
  EXPECT_EQ(InstructionOf(DecidedFor(program, {}, true)), "");
}

TEST(Answers, TasksAreWordedForPublishedModels) {
  const auto prompt = [](const ProblemsOptions& options) {
    return MakeTaskEnvironment({"sum:1"}, options)->TrainingProblem(1, 0).prompt;
  };
  const ProblemsOptions own = DecidedFor({}, {"sum:1"}, false);
  const ProblemsOptions chat = DecidedFor({}, {"sum:1"}, true);
  EXPECT_TRUE(prompt(own).starts_with("sum ")) << prompt(own);
  EXPECT_TRUE(prompt(chat).starts_with("What is ")) << prompt(chat);
  EXPECT_TRUE(InstructionOf(chat).starts_with("Please"));
  ProblemsOptions chinese;
  chinese.words = "chinese";
  chinese = DecidedFor(chinese, {"sum:1"}, true);
  EXPECT_TRUE(prompt(chinese).ends_with("等于多少？\n")) << prompt(chinese);
  EXPECT_TRUE(InstructionOf(chinese).starts_with("请"));
  chinese.file = "p.jsonl";  // in words of its own
  EXPECT_TRUE(InstructionOf(chinese).starts_with("Please"));
}

// What is held out does not depend on how it is worded, nor what is right.
TEST(Answers, WordsChangeNothingElse) {
  for (const char* task : {"sum:1", "count:1", "times:1"}) {
    ProblemsOptions worded;
    worded.words = "english";
    const auto notation = MakeTaskEnvironment({task}),
               english = MakeTaskEnvironment({task}, worded);
    const auto held_out = notation->HeldOut(40).front(), same = english->HeldOut(40).front();
    ASSERT_EQ(held_out.size(), same.size());
    for (size_t i = 0; i < same.size(); ++i) {
      EXPECT_EQ(held_out[i].numbers, same[i].numbers);
      EXPECT_NE(held_out[i].prompt, same[i].prompt);
    }
    const Problem problem = english->TrainingProblem(1, 0);
    EXPECT_EQ(notation->TrainingProblem(1, 0).numbers, problem.numbers);
    const std::string right = "<think></think><answer>" + problem.answer + "</answer>";
    const std::vector<Answer> answers = {{&problem, right}};
    EXPECT_EQ(english->ScoreAll(answers, {}).front().value, 1);
  }
}

TEST(Answers, AScriptIsWeighedIntoTheReward) {
  ScratchDirectory scratch;
  ProblemsOptions options;
  options.answer = "last_number";
  options.script = "han";
  options.script_weight = 0.25;
  ProblemsOptions of_rows = options;
  of_rows.file = scratch.Write("p.jsonl", R"({"prompt": "1+1", "answer": 2})");
  of_rows.rule = "numeric";
  of_rows.held_out_share = 0;
  ProblemsOptions by_program = of_rows;
  by_program.rule = "";
  by_program.reward =
      R"(while read -r line; do id=${line#*:}; id=${id%%,*}; echo "{\"id\": $id, \"score\": 0.5}"; done)";
  const auto parts = [](const ProblemsOptions& asked, const std::string& said) {
    const auto environment = MakeEnvironment({"sum:1"}, asked, [](const std::string&) {}, {});
    const Problem problem = environment->TrainingProblem(1, 0);
    const std::string right = said + problem.answer;
    const std::vector<Answer> answers = {{&problem, right}};
    return environment->ScoreAll(answers, {}).front();
  };
  for (const ProblemsOptions& asked : {options, of_rows, by_program}) {
    const double answer = asked.reward.empty() ? 1 : 0.5;
    const Score all = parts(asked, "答案是 "), third = parts(asked, "是 ab ");
    EXPECT_DOUBLE_EQ(all.value, 0.75 * answer + 0.25);
    ASSERT_FALSE(all.parts.empty());
    EXPECT_EQ(all.parts.back(), std::pair(std::string("script"), 1.0));
    EXPECT_DOUBLE_EQ(third.value, 0.75 * answer + 0.25 / 3);
    EXPECT_EQ(third.correct, asked.reward.empty());
  }
  options.script_weight = 0;  // told, and worth nothing
  EXPECT_EQ(parts(options, "ab ").value, 1);
  EXPECT_EQ(parts(options, "ab ").parts.back(), std::pair(std::string("script"), 0.0));
  const Problem problem{.prompt = "1+1", .answer = "2"};
  std::vector<Score> failed(1);
  failed[0].failed = true;
  const std::vector<Answer> answers = {{&problem, "是"}};
  AddScript(options, answers, &failed);
  EXPECT_EQ(failed[0].value, 0);
  EXPECT_TRUE(failed[0].parts.empty());
}

TEST(Answers, AScriptThatCannotBeIsRefused) {
  const auto says = [](const ProblemsOptions& options, const char* what) {
    return Says(MessageOf([&] { Validate(options); }), what);
  };
  EXPECT_TRUE(says({.script = "greek letters"},
                   "problems.script is 'greek letters'; it must be one of latin, greek"));
  EXPECT_TRUE(says({.script = "han", .script_weight = 1},
                   "problems.script_weight is 1; it must be in [0, 1)"));
  EXPECT_TRUE(says({.script_weight = 0.1},
                   "problems.script_weight is 0.1, but problems.script names none of latin"));
}

TEST(Answers, UnknownNamesAreRefused) {
  ProblemsOptions options;
  options.answer = "box";
  EXPECT_TRUE(Says(MessageOf([&] { Validate(options); }),
                   "problems.answer is 'box'; it must be one of auto, tags, boxed"));
  options = {.words = "english words"};
  EXPECT_TRUE(Says(MessageOf([&] { Validate(options); }),
                   "problems.words is 'english words'; it must be one of auto, notation, english"));
  options = {.format_reward = "sometimes"};
  EXPECT_TRUE(Says(MessageOf([&] { Validate(options); }), "problems.format_reward is 'sometimes'"));
}

TEST(Answers, EnvironmentsReadAsTheOptionsSay) {
  ScratchDirectory scratch;
  ProblemsOptions options = ByRule("numeric");
  options.file = scratch.Write("p.jsonl", R"({"prompt": "1+1", "answer": 2})");
  options.held_out_share = 0;
  options.answer = "boxed";
  const auto environment = MakeOwnEnvironment(options, [](const std::string&) {});
  const Problem rows = environment->TrainingProblem(1, 0);
  ProblemsOptions of_tasks;
  of_tasks.answer = "boxed";
  const auto tasks = MakeTaskEnvironment({"sum:1"}, of_tasks);
  const Problem sum = tasks->TrainingProblem(1, 0);
  const std::string right = "\\boxed{" + sum.answer + "}", last = "it is " + sum.answer;
  const std::vector<Answer> of_rows = {{&rows, "\\boxed{2}"}, {&rows, "it is 2"}};
  const std::vector<Answer> of_sums = {{&sum, right}, {&sum, last}};
  for (const std::vector<Score>& scores :
       {environment->ScoreAll(of_rows, {}), tasks->ScoreAll(of_sums, {})}) {
    EXPECT_TRUE(scores[0].correct);
    EXPECT_TRUE(scores[0].lenient->correct);
    EXPECT_FALSE(scores[1].correct);
    EXPECT_TRUE(scores[1].lenient->correct);
    EXPECT_EQ(scores[1].lenient->place, "last_number");
  }
}

}  // namespace
}  // namespace darkhorse
