// Commands that run a model, from end to end: each figure that they print beside where it comes
// from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "app/commands_testing.h"
#include "base/scratch_testing.h"
#include "base/utf8.h"
#include "data/prepare.h"
#include "data/shard.h"
#include "infer/engine.h"
#include "pipeline/loaded_model.h"
#include "rl/environment.h"
#include "rl/evaluate.h"
#include "train/evaluate.h"

namespace darkhorse {
namespace {

TEST_F(CommandsTest, EvaluatePrintsTheLossOfWhatItCounted) {
  const LoadedModel loaded(Model());
  const auto expect = [&](const std::string& shard, const Json& printed, int64_t length,
                          int64_t limit) {
    const EvaluationLoss loss = EvaluateLoss(loaded.model(), loaded.weights(),
                                             TokenShard::Open(shard), length, false, limit);
    EXPECT_EQ(printed["shard"], shard);
    EXPECT_EQ(printed["loss"], loss.loss);
    EXPECT_NEAR(std::log(printed["perplexity"].get<double>()), loss.loss, 1e-12);
    EXPECT_EQ(printed["tokens"], loss.tokens);
    EXPECT_NE(loss.tokens, limit);
    EXPECT_NE(loss.tokens, length);
  };
  const std::string train = *scratch_ / "data/train.bin";
  expect(*scratch_ / "data/val.bin",
         JsonOf({"evaluate", "--model", Model(), "--data", *scratch_ / "data", "--sequence-length",
                 "48"}),
         48, 1 << 20);
  expect(train,
         JsonOf({"evaluate", "--model", Model(), "--data", train, "--sequence-length", "32",
                 "--max-tokens", "100"}),
         32, 100);
}

TEST_F(CommandsTest, EvaluateNeedsSomethingToMeasure) {
  const auto expect_refused = [](const std::vector<std::string>& arguments, const char* why) {
    const Outcome outcome = CallProgram(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.error.find(why), std::string::npos) << outcome.error;
  };
  expect_refused({"evaluate", "--model", Model()}, "give --data");
  expect_refused({"evaluate", "--model", Model(), "--problems", "p.jsonl", "--rule", "exact",
                  "--held-out-share", "0"},
                 "--held-out-share is 0, so there is nothing to evaluate on");
}

TEST_F(CommandsTest, EvaluateMeasuresTasksAsAsked) {
  const Json printed =
      JsonOf({"evaluate", "--model", Model(), "--task", "sum:1", "--task", "sort:1", "--count", "5",
              "--samples", "3", "--completion-tokens", "7", "--seed", "11"});
  const LoadedModel loaded(Model());
  const auto environment = MakeTaskEnvironment({"sum:1", "sort:1"});
  const std::vector<TaskEvaluation> expected =
      Evaluate(loaded.model(), loaded.weights(), Prompter(loaded.Asked()), *environment,
               {.problems = 5, .samples = 3, .max_tokens = 7, .seed = 11}, /*stop=*/{});
  ASSERT_EQ(printed["tasks"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(printed["tasks"][i]["task"], expected[i].task);
    EXPECT_EQ(printed["tasks"][i]["problems"], 5);
    EXPECT_EQ(printed["tasks"][i]["samples"], 3);
    EXPECT_EQ(printed["tasks"][i]["mean_length"], expected[i].mean_length);
    EXPECT_EQ(printed["tasks"][i]["truncated_rate"], expected[i].truncated_rate);
  }
}

// A model is measured as its run measured it: a reinforced one, and the base of a whole run.
TEST_F(CommandsTest, EvaluateMeasuresAllThatItIsGiven) {
  const std::string rows = scratch_->Write("rows.jsonl", R"({"prompt":"p","answer":"a"})");
  const Json printed = JsonOf({"evaluate",
                               "--model",
                               Model(),
                               "--data",
                               *scratch_ / "data",
                               "--sequence-length",
                               "32",
                               "--task",
                               "sum:1",
                               "--problems",
                               rows,
                               "--rule",
                               "exact",
                               "--held-out-share",
                               "1",
                               "--count",
                               "1",
                               "--samples",
                               "1",
                               "--completion-tokens",
                               "2"});
  EXPECT_EQ(printed["shard"], *scratch_ / "data/val.bin");
  ASSERT_EQ(printed["tasks"].size(), 2u);
  EXPECT_EQ(printed["tasks"][0]["task"], "sum");
  EXPECT_EQ(printed["tasks"][1]["task"], "rows.jsonl");
}

TEST_F(CommandsTest, EvaluateTellsOfTheLongestPromptOfAllTasks) {
  const LoadedModel loaded(Model());
  const auto environment = MakeTaskEnvironment({"sum:1", "parity:4"});
  const auto held_out = environment->HeldOut(2);
  const int32_t bos = DocumentStartToken(loaded.config());
  const auto longest = [&](size_t part) {
    size_t tokens = 0;
    for (const Problem& problem : held_out[part])
      tokens = std::max(tokens, Prompter({"", loaded.tokenizer(), bos}).Of(problem).tokens.size());
    return tokens;
  };
  ASSERT_LT(longest(0), longest(1));
  const auto told = [&](size_t tokens) {
    return CallProgram({"evaluate", "--model", Model(), "--task", "sum:1", "--task", "parity:4",
                        "--count", "2", "--samples", "1", "--completion-tokens",
                        std::to_string(tokens)})
        .error;
  };
  const size_t room = 128 - longest(1);
  EXPECT_EQ(told(room).find("the model's context"), std::string::npos);
  EXPECT_NE(told(room + 1).find(fmt::format("behind the longest prompt, {} tokens long, a "
                                            "completion has room for {}",
                                            longest(1), room)),
            std::string::npos);
}

TEST_F(CommandsTest, EvaluateTakesTasksAndLengthsFromTheRun) {
  const auto copy = [&](const std::string& to) {
    std::filesystem::create_directories(*scratch_ / to);
    std::filesystem::copy(Model(), *scratch_ / to);
    return *scratch_ / to;
  };
  const std::string reinforced = copy("whole/reinforced/checkpoints/step-1");
  const std::string base = copy("whole/base/checkpoints/step-1");
  scratch_->Write("whole/recipe.toml",
                  "[[stage]]\nkind = \"reinforce\"\nfrom = \"./m\"\n[stage.rl]\ntasks = "
                  "[\"sort:1\"]\nmax_tokens = 6\n");
  scratch_->Write("whole/base/recipe.toml", kPretrain);
  scratch_->Write("whole/reinforced/recipe.toml", "[rl]\ntasks = [\"sum:1\"]\nmax_tokens = 5\n");
  const auto evaluate = [&](const std::string& model, std::vector<std::string> more) {
    more.insert(more.begin(), {"evaluate", "--model", model, "--count", "4", "--samples", "2"});
    return JsonOf(more)["tasks"];
  };
  const auto asked = [&](const std::string& task, const std::string& tokens) {
    return evaluate(Model(), {"--task", task, "--completion-tokens", tokens});
  };
  EXPECT_EQ(evaluate(base, {}), asked("sort:1", "6"));
  EXPECT_EQ(evaluate(reinforced, {}), asked("sum:1", "5"));
  EXPECT_EQ(evaluate(reinforced, {"--task", "sort:1"}), asked("sort:1", "5"));
  EXPECT_EQ(evaluate(reinforced, {"--completion-tokens", "7"}), asked("sum:1", "7"));
  EXPECT_NE(asked("sum:1", "7"), asked("sum:1", "5"));
  // In words each figure once, and where the settings come from.
  const Outcome told =
      CallProgram({"evaluate", "--model", reinforced, "--count", "4", "--samples", "2"});
  EXPECT_NE(told.out.find("pass@1 "), std::string::npos) << told.out;
  EXPECT_EQ(told.error.find("pass@1"), std::string::npos) << told.error;
  EXPECT_NE(told.error.find("measuring on sum:1, as "), std::string::npos) << told.error;
  EXPECT_NE(told.error.find("completions have at most 5 tokens"), std::string::npos) << told.error;
  // Its own problems, too.
  scratch_->Write("whole/reinforced/recipe.toml",
                  fmt::format("[problems]\nfile = \"{}\"\nrule = \"exact\"\n",
                              scratch_->Write("few.jsonl",
                                              "{\"prompt\": \"a\", \"answer\": \"b\"}\n"
                                              "{\"prompt\": \"c\", \"answer\": \"d\"}\n")) +
                      "held_out_share = 1\n[rl]\nmax_tokens = 5\n");
  EXPECT_EQ(evaluate(reinforced, {})[0]["problems"], 2);
}

TEST_F(CommandsTest, GenerateNamesThePromptThatLeavesNoRoom) {
  const std::string error = CallProgram({"generate", "--model", Model(), "--prompt", "1",
                                         "--prompt", std::string(400, '1')})
                                .error;
  EXPECT_NE(error.find("prompt 2: it has 401 tokens"), std::string::npos) << error;
  EXPECT_NE(error.find("together may have 128"), std::string::npos) << error;
}

std::string TextOf(const Tokenizer& tokenizer, std::vector<int32_t> tokens, bool skip_special) {
  if (!tokens.empty() && tokens.back() == 1) tokens.pop_back();  // the end mark
  return tokenizer.Decode(tokens, skip_special);
}

TEST_F(CommandsTest, GenerateDrawsEverySampleAsAsked) {
  const LoadedModel loaded(Model());
  const std::vector<std::string> prompts = {"sum 1+2\n", "3<b>"};
  const std::vector<std::string> command = {"generate", "--model",      Model(),    "--prompt",
                                            prompts[0], "--prompt",     prompts[1], "--seed",
                                            "5",        "--top-k",      "40",       "--temperature",
                                            "0.75",     "--samples",    "2",        "--batch",
                                            "3",        "--max-tokens", "9"};
  std::vector<GenerationRequest> requests;
  for (const std::string& prompt : prompts) {
    requests.push_back({.prompt = loaded.PromptTokens(prompt, false),
                        .samples = 2,
                        .max_tokens = 9,
                        .sampling = {.temperature = 0.75f, .top_k = 40},
                        .seed = 5,
                        .stop_tokens = {1}});
  }
  SeparateStreams(requests);
  Engine engine(loaded.model(), loaded.weights(), {.slots = 4, .capacity = 128});
  const std::vector<Completion> expected = engine.Generate(requests);
  const Json printed = JsonOf(command)["completions"];
  ASSERT_EQ(printed.size(), 4u);
  std::string shown;
  for (size_t i = 0; i < 4; ++i) {
    const Completion& c = expected[i];
    const std::string text = TextOf(loaded.tokenizer(), c.tokens, /*skip_special=*/true);
    EXPECT_EQ(printed[i]["prompt"], i / 2);
    EXPECT_EQ(printed[i]["sample"], i % 2);
    EXPECT_EQ(printed[i]["ids"], Json(c.tokens));
    EXPECT_EQ(printed[i]["tokens"], c.tokens.size());
    EXPECT_EQ(printed[i]["logprobs"], Json(c.logp));
    double logp = 0;
    for (const float value : c.logp) logp += value;
    EXPECT_EQ(printed[i]["logp"], logp);
    EXPECT_EQ(printed[i]["text"], Json::parse(ResultText(Json{{"t", text}}, true))["t"]);
    EXPECT_EQ(printed[i]["finish"], c.finish == FinishReason::kLength ? "length" : "stop");
    shown += fmt::format("{}--- prompt {}, sample {} ---\n{}{}\n", i == 0 ? "" : "\n", i / 2 + 1,
                         i % 2 + 1, prompts[i / 2], text);
  }
  EXPECT_EQ(CallProgram(command).out, shown);
  EXPECT_NE(expected[0].tokens, expected[1].tokens);
}

// An end mark is no text; what else is special is text that does not show.
TEST_F(CommandsTest, GenerateTellsOfHiddenTokensOnly) {
  const LoadedModel loaded(Model());
  Engine engine(loaded.model(), loaded.weights(), {.slots = 32, .capacity = 128});
  std::map<bool, uint64_t> seed_of;  // of a text that holds a special token, and of one that ends
  for (uint64_t seed = 0; seed_of.size() < 2; ++seed) {
    ASSERT_LT(seed, 3000u);
    const Completion c = engine
                             .Generate({{.prompt = loaded.PromptTokens("1", false),
                                         .max_tokens = 30,
                                         .seed = seed,
                                         .stop_tokens = {1}}})
                             .front();
    const bool holds = std::ranges::count(c.tokens, 0) > 0;
    if (holds || c.finish == FinishReason::kStop) seed_of.emplace(holds, seed);
  }
  for (const auto& [holds, seed] : seed_of) {
    const auto told = [&](std::vector<std::string> more) {
      std::vector<std::string> command = {
          "generate",           "--model",      Model(), "--prompt", "1", "--seed",
          std::to_string(seed), "--max-tokens", "30"};
      command.insert(command.end(), more.begin(), more.end());
      return CallProgram(command).error.find("--special shows them") != std::string::npos;
    };
    EXPECT_EQ(told({}), holds);
    EXPECT_FALSE(told({"--special"}));
  }
}

TEST_F(CommandsTest, GenerateTellsOfTextsThatAreCutOff) {
  const auto told = [&](const std::string& max_tokens) {
    return CallProgram({"generate", "--model", Model(), "--prompt", "1", "--samples", "3",
                        "--temperature", "0", "--max-tokens", max_tokens})
        .error;
  };
  // Some of many: only those are counted, whichever stands first.
  const Outcome drawn = CallProgram({"generate", "--model", Model(), "--prompt", "1", "--samples",
                                     "40", "--max-tokens", "20", "--json"});
  int64_t cut = 0;
  const Json result = Json::parse(drawn.out);
  for (const Json& text : result["completions"]) cut += text["finish"] == "length";
  ASSERT_TRUE(cut > 0 && cut < 40) << cut;
  EXPECT_NE(drawn.error.find(fmt::format("{} of 40 texts cut off; --max-tokens", cut)),
            std::string::npos)
      << drawn.error;
  EXPECT_EQ(drawn.error.find("context is full"), std::string::npos) << drawn.error;
  EXPECT_NE(told("1").find("3 of 3 texts cut off; --max-tokens gives more"), std::string::npos)
      << told("1");
  EXPECT_NE(told("100000").find("3 of 3 texts cut off where the context is full"),
            std::string::npos)
      << told("100000");
}

// Each question is echoed and drawn from a stream of its own (white space is none), and its text is
// shown but for the end mark.
TEST_F(CommandsTest, ChatAnswersLineByLine) {
  const LoadedModel loaded(Model());
  Engine engine(loaded.model(), loaded.weights(),
                {.form = CacheForm::kLatent, .slots = 1, .capacity = 128});
  std::istringstream input("sum 1+2\n\n \nsum 1+2\n" + std::string(200, '+') +
                           "\nsum 4\n/exit\nsum 5");
  std::string expected;
  bool cut = false;
  for (const auto& [turn, question] : {std::pair<uint64_t, std::string>{0, "sum 1+2"},
                                       {1, "sum 1+2"},
                                       {2, std::string(200, '+')},
                                       {3, "sum 4"}}) {
    expected += "> " + question + "\n";
    if (question.size() > 128) continue;
    const Completion c = engine
                             .Generate({{.prompt = loaded.PromptTokens(question + "\n", false),
                                         .max_tokens = 20,
                                         .sampling = {.temperature = 0.6f, .top_k = 50},
                                         .seed = 6,
                                         .stream = turn,
                                         .stop_tokens = {1}}})
                             .front();
    cut |= c.finish == FinishReason::kLength;
    expected +=
        EscapedForTerminal(TextOf(loaded.tokenizer(), c.tokens, /*skip_special=*/false)) + "\n";
  }
  ASSERT_TRUE(cut);
  std::streambuf* before = std::cin.rdbuf(input.rdbuf());
  const Outcome outcome = CallProgram({"chat", "--model", Model(), "--max-tokens", "20", "--seed",
                                       "6", "--top-k", "50", "--color", "never"});
  std::cin.rdbuf(before);
  std::cin.clear();
  EXPECT_EQ(outcome.out, expected);
  EXPECT_NE(outcome.error.find("--max-tokens gives more"), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find("questions without an answer: 1"), std::string::npos);
  EXPECT_EQ(outcome.code, 1);  // stdin is no terminal
}

TEST_F(CommandsTest, AChatTellsNothingToAModelWithoutATemplate) {
  std::stringbuf input("1+2\n");
  std::streambuf* before = std::cin.rdbuf(&input);
  const auto expect = [&](std::vector<std::string> more, const std::string& flag) {
    more.insert(more.begin(), {"chat", "--model", Model(), "--max-tokens", "1"});
    const Outcome outcome = CallProgram(more);
    EXPECT_EQ(outcome.code, flag.empty() ? 0 : 2) << outcome.error;
    const std::string says = flag + ": " + Model() + " has no chat template";
    EXPECT_EQ(outcome.error.find(says) != std::string::npos, !flag.empty()) << outcome.error;
  };
  expect({"--system", "Be brief."}, "--system");
  expect({"--thinking", "on"}, "--thinking");
  expect({"--system", "", "--thinking", "auto"}, "");
  std::cin.rdbuf(before);
  std::cin.clear();
}

// In the format that --weights names, and without it in that of the stage that the model lies in.
TEST_F(CommandsTest, WeightsHaveTheFormatAskedForOrThatOfTheRun) {
  const std::string shard = *scratch_ / "data/val.bin";
  const auto loss_in = [&](Format format) {
    const LoadedModel loaded(Model(), format);
    return EvaluateLoss(loaded.model(), loaded.weights(), TokenShard::Open(shard), 48, false, 200)
        .loss;
  };
  const auto evaluate = [&](const std::string& model, std::vector<std::string> more) {
    more.insert(more.begin(), {"evaluate", "--model", model, "--data", shard, "--sequence-length",
                               "48", "--max-tokens", "200"});
    return CallProgram(more);
  };
  const auto loss_of = [&](const std::string& model, const std::vector<std::string>& more) {
    std::vector<std::string> all = more;
    all.emplace_back("--json");
    return Json::parse(evaluate(model, all).out)["loss"].get<double>();
  };
  std::set<double> losses;
  for (const auto& [name, format] : {std::pair{"f32", Format::kF32},
                                     {"bf16", Format::kBf16},
                                     {"q8", Format::kQ8},
                                     {"q4", Format::kQ4}}) {
    EXPECT_EQ(loss_of(Model(), {"--weights", name}), loss_in(format)) << name;
    losses.insert(loss_in(format));
  }
  EXPECT_EQ(losses.size(), 4u);
  EXPECT_EQ(loss_of(Model(), {}), loss_in(Format::kF32));
  const auto copy = [&](const std::string& run, const std::string& recipe) {
    std::filesystem::create_directories(*scratch_ / (run + "/checkpoints/step-1"));
    std::filesystem::copy(Model(), *scratch_ / (run + "/checkpoints/step-1"));
    scratch_->Write(run + "/recipe.toml", recipe);
    return *scratch_ / (run + "/checkpoints/step-1");
  };
  scratch_->Write("mixed/recipe.toml",
                  "[[stage]]\nkind = \"pretrain\"\n[stage.train]\nprecision = \"bf16\"\n");
  const std::string base = copy("mixed/base", std::string(kPretrain) + "precision = \"bf16\"\n");
  const std::string reinforced = copy("mixed/reinforced", "[rl]\ntasks = [\"sum:1\"]\n");
  EXPECT_EQ(loss_of(base, {}), loss_in(Format::kBf16));
  EXPECT_EQ(loss_of(base, {"--weights", "f32"}), loss_in(Format::kF32));
  EXPECT_EQ(loss_of(reinforced, {}), loss_in(Format::kF32));
  EXPECT_NE(evaluate(base, {}).error.find("the weights are bf16, as "), std::string::npos);
  EXPECT_NE(evaluate(base, {"--weights", "int3"}).error.find("q8"), std::string::npos);
  const Outcome refused = CallProgram(
      {"bench", scratch_->Write("rl.toml", kReinforce), "--model", Model(), "--weights", "q4"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.error.find("--set rl.precision=bf16"), std::string::npos) << refused.error;
}

// A model in place of a recipe: what is told of it is what was loaded and asked for.
TEST_F(CommandsTest, BenchMeasuresAModelAsItsFilesHaveIt) {
  const LoadedModel loaded(Model());
  const Json printed = JsonOf({"bench", Model(), "--prompt-tokens", "20", "--new-tokens", "8",
                               "--batches", "1", "3", "--rounds", "2"});
  EXPECT_EQ(printed["model"], Model());
  EXPECT_EQ(printed["weight_bytes"], loaded.weight_bytes());
  EXPECT_EQ(printed["file_bytes"], loaded.file_bytes());
  EXPECT_EQ(printed["prompt_tokens"], 20);
  EXPECT_GT(printed["load_seconds"], 0);
  EXPECT_GT(printed["prefill_tokens_per_second"], 0);
  for (const char* sequences : {"1", "3"}) {
    EXPECT_GT(printed["decoding_tokens_per_second"][sequences], 0);
    EXPECT_GT(printed["weights_share_of_bandwidth"][sequences], 0);
  }
  EXPECT_EQ(printed["decoding_tokens_per_second"].size(), 2u);
  const Json packed = JsonOf({"bench", Model(), "--weights", "q8", "--prompt-tokens", "1",
                              "--new-tokens", "8", "--rounds", "1"});
  EXPECT_EQ(packed["weight_bytes"], LoadedModel(Model(), Format::kQ8).weight_bytes());
}

TEST_F(CommandsTest, BenchOfAModelRefusesWhatIsOfRecipes) {
  const auto expect_refused = [](const std::vector<std::string>& arguments, const char* why) {
    const Outcome outcome = CallProgram(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.error.find(why), std::string::npos) << outcome.error;
  };
  expect_refused({"bench", Model()}, "exceed the model's context of 128");  // 512 and more
  expect_refused({"bench", Model(), "--set", "train.steps=1"}, "--set changes a recipe");
  expect_refused({"bench", Model(), "--model", Model()}, "is a model; --model is for");
  expect_refused({"bench", Model(), "--problems", "p.jsonl"}, "--problems are of a recipe");
  expect_refused({"bench", *scratch_ / "data"}, "is a folder, not a recipe");
  const std::string wrong = scratch_->Write("wrong.gguf", "GGUF");
  const Outcome outcome = CallProgram({"bench", wrong});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.error.find(wrong), std::string::npos) << outcome.error;
}

TEST_F(CommandsTest, InfoTellsWhatAModelsFilesHold) {
  const Json info = JsonOf({"info", Model(), "--context", "100", "--json"});
  const LoadedModel loaded(Model());
  EXPECT_EQ(info["formats"], (Json{{"F32", 1.0}}));
  EXPECT_EQ(info["file_bytes"], loaded.file_bytes());
  EXPECT_EQ(info["memory_bytes"]["weights"], loaded.weight_bytes());
  EXPECT_EQ(info["memory_bytes"]["cache"],
            KvCache(loaded.config(), CacheForm::kLatent, 1, 100).bytes());
  EXPECT_FALSE(info.contains("training_memory_bytes"));
  const Json training = JsonOf({"info", Model(), "--micro-batch-tokens", "64", "--json"});
  EXPECT_EQ(training["training_memory_bytes"]["activations"],
            loaded.model().cost().Training(64).activations);
  EXPECT_EQ(training["context"], 128);
  EXPECT_EQ(info["parameters"], loaded.model().cost().parameters());
  EXPECT_TRUE(info["fits"]);
  const Outcome set = CallProgram({"info", Model(), "--set", "model.hidden_size=8"});
  EXPECT_EQ(set.code, 2);
  EXPECT_NE(set.error.find("--set changes a recipe"), std::string::npos);
}

}  // namespace
}  // namespace darkhorse
