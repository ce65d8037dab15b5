// `evaluate` of texts, of questions through a chat template and of choices: each figure beside
// where it comes from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "app/commands_testing.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_source.h"
#include "infer/continuations.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "rl/evaluate.h"
#include "rl/log.h"
#include "task/answer_place.h"
#include "task/choices.h"
#include "task/jsonl.h"
#include "task/reading.h"
#include "task/rules.h"
#include "train/window_loss.h"

namespace darkhorse {
namespace {

// The thought is open where the model is asked to think.
constexpr char kTemplate[] =
    "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}<e>{% endfor %}"
    "{% if add_generation_prompt %}a: {% if thinking is not defined or thinking %}<think>{% endif "
    "%}"
    "{% endif %}";

class EvaluateTest : public CommandsTest {
 protected:
  // The model as one that was published, with a chat template.
  static std::string Chatty(const std::string& name = "chatty", const char* jinja = kTemplate) {
    const std::string directory = *scratch_ / name;
    if (!std::filesystem::exists(directory)) {
      std::filesystem::copy(Model(), directory);
      WriteFileAtomically(directory + "/chat_template.jinja", std::string_view(jinja));
    }
    return directory;
  }
  static std::string Questions() {
    return scratch_->Write("q.jsonl",
                           "{\"question\": \"sum 1+2\", \"answer\": \"worked\\n#### 3\"}\n"
                           "{\"question\": \"sum 2+2\", \"answer\": 4}\n");
  }
  static std::string ErrorOf(const std::vector<std::string>& arguments) {
    return CallProgram(arguments).error;
  }
};

TEST_F(EvaluateTest, TheTextIsReadInWindows) {
  std::string text;
  for (const std::string& document : documents_) text += document;
  const std::string file = scratch_->Write("text.txt", text);
  const LoadedModel loaded(Model());
  const std::vector<int32_t> tokens = loaded.tokenizer().EncodeDocument(0, text, false);
  const auto expect = [&](const std::vector<std::string>& more, const WindowOptions& options) {
    std::vector<std::string> arguments = {"evaluate", "--model", Model(), "--text", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Json printed = JsonOf(arguments)["text"];
    const WindowLoss loss = LossOfWindows(loaded.model(), loaded.weights(), tokens, options);
    EXPECT_EQ(printed["file"], file);
    EXPECT_EQ(printed["window"], options.window);
    EXPECT_EQ(printed["windows"], loss.windows);
    EXPECT_EQ(printed["loss"], loss.loss);
    EXPECT_EQ(printed["perplexity"], std::exp(loss.loss));
    EXPECT_EQ(printed["perplexity_error"], loss.standard_error * std::exp(loss.loss));
    EXPECT_EQ(printed["tokens"], loss.tokens);
  };
  ASSERT_EQ(DocumentStartToken(loaded.config()), 0);
  expect({}, {.window = 128, .max_tokens = 1 << 20, .bos = 0});  // the model's context
  expect({"--window", "20", "--max-tokens", "100"}, {.window = 20, .max_tokens = 100, .bos = 0});
  EXPECT_NE(ErrorOf({"evaluate", "--model", Model(), "--text", file, "--window", "129"})
                .find("at most the model's context of 128"),
            std::string::npos);
}

// Through the template, with an instruction behind each question; answers are read in both ways.
TEST_F(EvaluateTest, TextOfSixteenBitsIsRefused) {
  const std::string file = scratch_->Write("wide.txt", std::string("\xFF\xFE"
                                                                   "a\0b\0",
                                                                   6));
  EXPECT_NE(CallProgram({"evaluate", "--model", Model(), "--text", file})
                .error.find("wide.txt: UTF-16 text, which is not read; convert it: iconv"),
            std::string::npos);
}

TEST_F(EvaluateTest, QuestionsGoThroughTheTemplate) {
  const LoadedModel loaded(Chatty());
  const std::string shots =
      scratch_->Write("shots.jsonl", R"({"question": "s", "answer": "so\n#### 1"})");
  const auto expect = [&](const std::vector<std::string>& more, const std::string& before,
                          const std::string& behind, AnswerPlace place) {
    std::vector<std::string> arguments = {
        "evaluate", "--model", Chatty(), "--problems",       Questions(), "--rule",
        "numeric",  "--count", "2",      "--samples",        "3",         "--completion-tokens",
        "9",        "--seed",  "5",      "--held-out-share", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<GenerationRequest> requests;
    for (const char* question : {"sum 1+2", "sum 2+2"}) {
      GenerationRequest request{.samples = 3, .max_tokens = 9, .seed = 5};
      request.prompt = loaded.tokenizer().EncodeDocument(
          0, before + "u: " + question + behind + "<e>a: <think>", /*allow_special=*/true);
      request.stop_tokens = StopTokens(loaded.config());
      request.never = loaded.silent_tokens();
      requests.push_back(std::move(request));
    }
    SeparateStreams(requests);
    Engine engine(loaded.model(), loaded.weights(), {.slots = 6, .capacity = 128});
    std::vector<Problem> problems(2);
    for (Problem& problem : problems) {
      problem.task = "q.jsonl";
      problem.level = 0;
    }
    problems[0].answer = "3";
    problems[1].answer = "4";
    std::vector<Sample> strict;
    for (const Completion& c : engine.Generate(requests)) {
      Sample sample{.problem = c.request, .completion = c.tokens};
      sample.truncated = c.finish == FinishReason::kLength;
      std::vector<int32_t> said = c.tokens;
      if (!sample.truncated) said.pop_back();
      sample.text = "<think>" + loaded.tokenizer().Decode(said);
      strict.push_back(sample);
    }
    std::vector<Sample> lenient = strict;
    for (size_t i = 0; i < strict.size(); ++i) {
      const std::string& answer = problems[strict[i].problem].answer;
      const Score score = ReadScore({.place = place, .lenient = true},
                                    JudgeOf(Rule::kNumeric, answer), strict[i].text);
      strict[i].score = score;
      lenient[i].score = {.correct = score.lenient->correct,
                          .parsed = score.lenient->parsed,
                          .canonical = score.lenient->canonical};
    }
    Json expected = ToJson(Summarize(problems, strict, 3));
    const Json printed = JsonOf(arguments)["tasks"][0];
    for (const auto& [name, value] : expected.items()) EXPECT_EQ(printed[name], value) << name;
    const Json leniently = ToJson(Summarize(problems, lenient, 3));
    for (const auto& [name, value] : printed["lenient"].items())
      EXPECT_EQ(leniently[name], value) << name;
    EXPECT_TRUE(printed["lenient"].contains("pass@1"));
    EXPECT_FALSE(printed["lenient"].contains("samples"));
    EXPECT_EQ(printed["problems"], 2);  // all of them, without a share
  };
  expect({}, "", "\n" + std::string(AnswerInstruction(AnswerPlace::kLastNumber)),
         AnswerPlace::kLastNumber);
  expect({"--answer", "boxed"}, "", "\n" + std::string(AnswerInstruction(AnswerPlace::kBoxed)),
         AnswerPlace::kBoxed);
  expect({"--answer", "hashes", "--instruction", "", "--system", "be"}, "s: be<e>", "",
         AnswerPlace::kHashes);
  expect({"--answer", "last_number", "--instruction", "go", "--shots", shots},
         "u: s\ngo<e>a: so\n#### 1<e>", "\ngo", AnswerPlace::kLastNumber);
}

// A program is given all that was said, the thought that the template opened included.
TEST_F(EvaluateTest, AProgramScoresWhatWasSaid) {
  const std::vector<std::string> arguments = {"evaluate",
                                              "--model",
                                              Chatty(),
                                              "--problems",
                                              Questions(),
                                              "--held-out-share",
                                              "1",
                                              "--count",
                                              "2",
                                              "--samples",
                                              "1",
                                              "--completion-tokens",
                                              "4",
                                              "--reward",
                                              R"(python3 -u -c "
import json, sys
for line in sys.stdin:
  row = json.loads(line)
  opened = row['completion'].startswith('<think>')
  print(json.dumps({'id': row['id'], 'score': 1 if opened else 0}))
")"};
  const Json scored = JsonOf(arguments);
  EXPECT_EQ(scored["tasks"][0]["pass@1"], 1.0);
  EXPECT_EQ(scored["reward_program_failures"], 0);
  EXPECT_FALSE(scored["tasks"][0].contains("lenient"));
}

// A model without a template, or with --chat off, is asked as its tasks word questions.
TEST_F(EvaluateTest, WithoutAChatQuestionsStandAlone) {
  const auto asked = [&](const std::string& model, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "evaluate", "--model",          model, "--problems", Questions(), "--rule",
        "numeric",  "--held-out-share", "1",   "--samples",  "2",         "--completion-tokens",
        "5"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const Json plain = JsonOf(asked(Model(), {}));
  EXPECT_EQ(JsonOf(asked(Chatty(), {"--chat", "off"}))["tasks"], plain["tasks"]);
  EXPECT_FALSE(plain["tasks"][0].contains("lenient"));
  EXPECT_NE(JsonOf(asked(Chatty(), {}))["tasks"], plain["tasks"]);
  EXPECT_NE(ErrorOf(asked(Model(), {"--chat", "on"})).find("has no chat template"),
            std::string::npos);
  EXPECT_NE(ErrorOf(asked(Model(), {"--shots", Questions()})).find("has no chat template"),
            std::string::npos);
  EXPECT_NE(ErrorOf(asked(Model(), {"--thinking", "off"})).find("has no chat template"),
            std::string::npos);
  EXPECT_NE(ErrorOf(asked(Chatty(), {"--chat", "off", "--system", "s"})).find("--chat is off"),
            std::string::npos);
  const std::string long_row = scratch_->Write(
      "long.jsonl", "{\"question\": \"" + std::string(200, '+') + "\", \"answer\": 4}\n");
  EXPECT_NE(ErrorOf({"evaluate", "--model", Chatty(), "--problems", long_row, "--rule", "numeric",
                     "--held-out-share", "1"})
                .find("long.jsonl:1: the prompt "),
            std::string::npos);
}

// Rows that a model was trained on are not measured on unless they are asked for.
TEST_F(EvaluateTest, RowsOfTheRunAreHeldOutAsItSays) {
  std::string rows;
  for (int i = 0; i < 40; ++i)
    rows += fmt::format("{{\"question\": \"sum 1+{}\", \"answer\": {}}}\n", i, i + 1);
  const std::string file = scratch_->Write("forty.jsonl", rows);
  std::filesystem::create_directories(*scratch_ / "taught/checkpoints");
  const std::string model = Chatty("taught/checkpoints/step-1");
  const auto measured = [&](const std::string& path, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "evaluate", "--model",   path, "--problems",          file, "--rule", "numeric", "--count",
        "1",        "--samples", "1",  "--completion-tokens", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ErrorOf(arguments);
  };
  const auto has = [](const std::string& told, const std::string& what) {
    EXPECT_NE(told.find(what), std::string::npos) << what << "\n" << told;
  };
  const auto counts = [&](double share) {
    const SplitProblems split = SplitByPrompt(ParseProblems(rows, file), share);
    return fmt::format("{} problems to train on, {} held out", split.train.size(),
                       split.held_out.size());
  };
  const auto run_of = [&](const std::string& problems, double share) {
    return scratch_->Write("taught/recipe.toml",
                           fmt::format("[problems]\nfile = \"{}\"\nrule = \"numeric\"\n"
                                       "held_out_share = {}\n[rl]\nevaluate_every = 0\n",
                                       problems, share));
  };
  // No run is known, but who trained it.
  has(measured(model, {}), counts(0.0625));
  has(measured(model, {}), "no recipe around it tells on which problems; --held-out-share 1");
  std::string recipe = run_of(file, 0.3);
  has(measured(model, {}), counts(0.3));
  has(measured(model, {}), fmt::format("measuring on a share of 0.3 of {}, which {} holds out: "
                                       "other rows were trained on\n",
                                       file, recipe));
  has(measured(model, {"--held-out-share", "0.5"}), counts(0.5));
  recipe = run_of("others.jsonl", 0.3);
  has(measured(model, {}), counts(0.3));
  has(measured(model, {}), fmt::format("{} holds out of others.jsonl: other rows may have been "
                                       "trained on; --held-out-share 1 takes all\n",
                                       recipe));
  recipe = run_of(file, 0);
  has(measured(model, {}), fmt::format("{}: holds no rows out (held_out_share = 0)", recipe));
  has(measured(model, {"--held-out-share", "1"}), counts(1));
  // What another program made was trained on none of them.
  const std::string foreign = *scratch_ / "foreign";
  ModelFiles files;
  files.tokenizer_json = ReadFile(model + "/tokenizer.json");
  files.chat_template = kTemplate;
  const ModelConfig config = LoadModelConfig(model);
  const ParamLayout layout(config);
  FloatBuffer weights(layout.buffer_size());
  ReadWeights(*OpenModel(model), layout, weights.data());
  PublishCheckpoint(foreign, config, layout, weights.data(), files, nullptr);
  std::filesystem::remove(foreign + "/checksums.json");
  has(measured(foreign, {}), counts(1));
}

TEST_F(EvaluateTest, ChoicesAreJudgedByTheirProbability) {
  const LoadedModel loaded(Chatty());
  std::string rows;
  for (int i = 0; i < 6; ++i) {
    rows += fmt::format(
        "{{\"question\": \"sum {}+{} \", \"choices\": [\"{}\", \"odd numbers\", \"{}\"], "
        "\"answer\": "
        "{}}}\n",
        i, 2 * i, 3 * i, 3 * i + 11, i == 5 ? 1 : 0);
  }
  const std::string file = scratch_->Write("c.jsonl", rows);
  const auto expect = [&](const std::vector<std::string>& more, const std::string& before,
                          const std::string& behind, const std::string& space, size_t count) {
    std::vector<std::string> arguments = {"evaluate", "--model", Chatty(), "--choices", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<double> right, per_byte;
    std::vector<ChoiceQuestion> questions = ParseChoices(rows, "c");
    questions.resize(count);
    for (const ChoiceQuestion& q : questions) {
      std::vector<std::vector<int32_t>> choices;
      std::vector<double> sizes;
      for (const std::string& choice : q.choices) {
        choices.push_back(loaded.tokenizer().Encode(space + choice));
        sizes.push_back(static_cast<double>(choice.size()));
      }
      const std::string question =
          behind.empty() ? q.question.substr(0, q.question.size() - 1) : q.question;
      const std::vector<double> logp = ContinuationLogp(
          loaded.model(), loaded.weights(),
          loaded.tokenizer().EncodeDocument(0, before + question + behind, true), choices);
      right.push_back(MostProbable(logp) == q.answer);
      per_byte.push_back(MostProbable(logp, sizes) == q.answer);
    }
    const Json printed = JsonOf(arguments)["choices"];
    EXPECT_EQ(printed["questions"], count);
    EXPECT_EQ(printed["accuracy"], MeanInterval(right).value);
    EXPECT_EQ(printed["accuracy_ci95"], Json({MeanInterval(right).low, MeanInterval(right).high}));
    EXPECT_EQ(printed["accuracy_per_byte"], MeanInterval(per_byte).value);
    EXPECT_EQ(printed["accuracy_per_byte_ci95"],
              Json({MeanInterval(per_byte).low, MeanInterval(per_byte).high}));
    EXPECT_NEAR(printed["accuracy_of_guesses"].get<double>(), 1.0 / 3, 1e-15);
    return printed;
  };
  expect({}, "u: ", "<e>a: ", "", 6);
  const Json plain = expect({"--chat", "off"}, "", "", " ", 6);
  EXPECT_NE(plain["accuracy"], plain["accuracy_per_byte"]);
  expect({"--thinking", "on"}, "u: ", "<e>a: <think>\n</think>\n\n", "", 6);
  expect({"--count", "4"}, "u: ", "<e>a: ", "", 4);
  EXPECT_NE(ErrorOf({"evaluate", "--model", Model(), "--choices", file, "--count", "4"})
                .find("the first 4 of 6 questions"),
            std::string::npos);
  const std::string long_row =
      scratch_->Write("long.jsonl", "{\"question\": \"" + std::string(200, '+') +
                                        "\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n");
  EXPECT_NE(ErrorOf({"evaluate", "--model", Model(), "--choices", long_row})
                .find("long.jsonl:1: the prompt and its longest continuation have"),
            std::string::npos);
}

}  // namespace
}  // namespace darkhorse
