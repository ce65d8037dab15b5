// Commands from end to end: each figure that they print beside where it comes from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "app/run_program_testing.h"
#include "base/scratch_testing.h"
#include "base/utf8.h"
#include "data/prepare.h"
#include "data/shard.h"
#include "infer/engine.h"
#include "model/config_fields.h"
#include "model/cost.h"
#include "pipeline/loaded_model.h"
#include "rl/reinforce.h"
#include "task/corpus.h"
#include "train/evaluate.h"

namespace darkhorse {
namespace {

constexpr char kPretrain[] = R"(
[model]
vocab_size = 300
hidden_size = 16
num_hidden_layers = 1
first_k_dense_replace = 1
num_attention_heads = 2
kv_lora_rank = 8
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 32
n_routed_experts = 0
max_position_embeddings = 128
[train]
steps = 3
tokens_per_step = 128
micro_batch_tokens = 128
sequence_length = 64
evaluate_every = 2
evaluate_tokens = 128
)";

constexpr char kReinforce[] = R"(
[rl]
tasks = ["sum:1"]
steps = 3
prompts_per_step = 3
group_size = 4
max_tokens = 12
evaluate_every = 2
evaluate_problems = 3
evaluate_samples = 2
overlong_penalty = 0.5
[probe]
problems = 0
)";

// One tokenizer, one folder of shards and one model for all tests.
class CommandsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    std::string lines;
    for (uint64_t i = 0; i < 40; ++i) {
      documents_.push_back(CorpusDocument({.tasks = {{"sum", 1, 1}}}, 3, i));
      lines += Json{{"text", documents_.back()}}.dump() + "\n";
    }
    scratch_->Write("corpus.jsonl", lines + "{\"other\":1}\n");
    tokenizer_ = JsonOf({"tokenizer", "train", *scratch_ / "corpus.jsonl", "--out",
                         *scratch_ / "tokenizer.json", "--vocab-size", "290", "--special-tokens",
                         "<b>", "--special-tokens", "<e>"});
    data_ = JsonOf({"data", "prepare", *scratch_ / "corpus.jsonl", "--tokenizer",
                    *scratch_ / "tokenizer.json", "--out", *scratch_ / "data", "--bos-token", "<b>",
                    "--eos-token", "<e>", "--validation-fraction", "0.25"});
    pretrained_ = JsonOf({"pretrain", scratch_->Write("p.toml", kPretrain), "--data",
                          *scratch_ / "data", "--out", *scratch_ / "base"});
  }
  static void TearDownTestSuite() { delete scratch_; }

  static std::string Model() { return *scratch_ / "base/checkpoints/step-00000003"; }
  static Json LastLine(const std::string& path) {
    const std::string text = ReadFile(path);
    return Json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
  }

  static inline ScratchDirectory* scratch_;
  static inline std::vector<std::string> documents_;
  static inline Json tokenizer_, data_, pretrained_;
};

TEST_F(CommandsTest, TokenizerTrainCountsWhatItRead) {
  const Tokenizer tokenizer = Tokenizer::Load(*scratch_ / "tokenizer.json");
  size_t bytes = 0;
  for (const std::string& document : documents_) bytes += document.size();
  EXPECT_EQ(tokenizer_["vocab_size"], tokenizer.vocab_size());
  EXPECT_EQ(tokenizer_["documents"], 40);
  EXPECT_EQ(tokenizer_["text_bytes"], bytes);
  EXPECT_EQ(tokenizer_["malformed"], 1);
  EXPECT_EQ(tokenizer.TokenId("<b>"), 0);
  EXPECT_EQ(tokenizer.TokenId("<e>"), 1);
}

TEST_F(CommandsTest, TokenizerTrainShowsBytesCountedThenMerges) {
  const std::string error = CallProgram({"tokenizer", "train", *scratch_ / "corpus.jsonl", "--out",
                                         *scratch_ / "again.json", "--vocab-size", "280"})
                                .error;
  const auto line_of = [&](const char* phase) {
    const size_t at = std::min(error.find(phase), error.size());
    return error.substr(at, error.find('\n', at) - at);
  };
  EXPECT_NE(line_of("count ").find(" bytes"), std::string::npos) << error;
  EXPECT_EQ(line_of("count ").find("merges"), std::string::npos) << error;
  EXPECT_NE(line_of("merge ").find(" merges"), std::string::npos) << error;
}

TEST_F(CommandsTest, InfoTakesAModelsWholeContextUnlessAnotherIsAsked) {
  EXPECT_EQ(JsonOf({"info", "--model", Model()})["context"], 128);
  EXPECT_EQ(JsonOf({"info", "--model", Model(), "--context", "9"})["context"], 9);
  EXPECT_EQ(JsonOf({"info", scratch_->Write("p.toml", kPretrain)})["context"], 64);
}

TEST_F(CommandsTest, EncodeAndDecodeAreInverse) {
  const Tokenizer tokenizer = Tokenizer::Load(*scratch_ / "tokenizer.json");
  const std::string file = *scratch_ / "tokenizer.json";
  const std::string text = scratch_->Write("text", "<b>12 + 3");
  const auto encode = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"tokenizer", "encode", text, "--tokenizer", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  std::vector<int32_t> plain, special;
  tokenizer.Encode("<b>12 + 3", &plain, false);
  tokenizer.Encode("<b>12 + 3", &special, true);
  ASSERT_NE(plain, special);
  EXPECT_EQ(JsonOf(encode({}))["ids"], Json(plain));
  EXPECT_EQ(JsonOf(encode({"--special"}))["ids"], Json(special));
  const std::string ids = scratch_->Write("ids", CallProgram(encode({"--special"})).out);
  const auto decode = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"tokenizer", "decode", ids, "--tokenizer", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return CallProgram(arguments).out;
  };
  EXPECT_EQ(decode({"--special"}), "<b>12 + 3");
  EXPECT_EQ(decode({}), "12 + 3");
  for (const Json& list : {JsonOf(encode({"--special"})), Json(special)}) {
    scratch_->Write("ids", list.dump());
    EXPECT_EQ(decode({"--special"}), "<b>12 + 3");
  }
  for (const std::string wrong : {"{}", "[1, -1]", "[1, \"2\"]", "[1", "{\"ids\": 3}", "[[1]]"}) {
    scratch_->Write("ids", wrong);
    const Outcome outcome = CallProgram({"tokenizer", "decode", ids, "--tokenizer", file});
    EXPECT_EQ(outcome.code, 1) << wrong;
    EXPECT_EQ(outcome.error.find("darkhorse: error: " + ids + ": "), 0u) << outcome.error;
  }
  scratch_->Write("ids", "1 " + std::to_string(tokenizer.vocab_size() - 1));
  EXPECT_EQ(CallProgram({"tokenizer", "decode", ids, "--tokenizer", file}).code, 0);
  scratch_->Write("ids", "1 " + std::to_string(tokenizer.vocab_size()));
  EXPECT_EQ(CallProgram({"tokenizer", "decode", ids, "--tokenizer", file}).code, 1);
}

TEST_F(CommandsTest, DataPrepareCountsBothSplits) {
  const TokenShard train = TokenShard::Open(*scratch_ / "data/train.bin");
  const TokenShard held_out = TokenShard::Open(*scratch_ / "data/val.bin");
  ASSERT_NE(train.documents(), held_out.documents());
  EXPECT_EQ(data_["documents"], 40);
  EXPECT_EQ(data_["train_documents"], train.documents());
  EXPECT_EQ(data_["train_tokens"], train.tokens());
  EXPECT_EQ(data_["validation_documents"], held_out.documents());
  EXPECT_EQ(data_["validation_tokens"], held_out.tokens());
  EXPECT_EQ(data_["text_bytes"], tokenizer_["text_bytes"]);
  EXPECT_EQ(data_["malformed"], 1);
  EXPECT_EQ(data_["empty"], 0);
  int64_t longest = 0;
  for (const TokenShard* shard : {&train, &held_out}) {
    for (int64_t d = 0; d < shard->documents(); ++d)
      longest = std::max(longest, shard->DocumentBegin(d + 1) - shard->DocumentBegin(d));
  }
  EXPECT_EQ(data_["longest_document"], longest);
}

TEST_F(CommandsTest, DataPrepareGenerates) {
  const Json made =
      JsonOf({"data", "prepare", "--generate", "sum:1=0.5,sort:1", "--documents", "30", "--seed",
              "9", "--tokenizer", *scratch_ / "tokenizer.json", "--out", *scratch_ / "made",
              "--bos-token", "", "--eos-token", "<e>", "--validation-fraction", "0"});
  EXPECT_EQ(made["train_documents"], 30);
  size_t bytes = 0;
  const CorpusMix mix{.tasks = {{"sum", 1, 0.5}, {"sort", 1, 1}}};
  for (uint64_t i = 0; i < 30; ++i) bytes += CorpusDocument(mix, 9, i).size();
  EXPECT_EQ(made["text_bytes"], bytes);
}

TEST_F(CommandsTest, PretrainPrintsItsLastStep) {
  const Json last = LastLine(*scratch_ / "base/metrics.jsonl");
  EXPECT_EQ(pretrained_["checkpoint"], Model());
  EXPECT_EQ(pretrained_["finished"], true);
  EXPECT_EQ(pretrained_["step"], 3);
  EXPECT_EQ(pretrained_["tokens"], last["tokens"]);
  EXPECT_EQ(pretrained_["loss"], last["loss"]);
  EXPECT_EQ(pretrained_["validation_loss"], last["validation_loss"]);
  EXPECT_EQ(pretrained_["report"], *scratch_ / "base/report.html");
}

TEST_F(CommandsTest, PretrainPrintsTheSameOfARunThatHadFinished) {
  const std::vector<std::string> command = {
      "pretrain", *scratch_ / "p.toml", "--data",  *scratch_ / "data",
      "--out",    *scratch_ / "base",   "--resume"};
  EXPECT_EQ(JsonOf(command), pretrained_);
}

TEST_F(CommandsTest, PretrainStartsFromAModel) {
  const std::string run = *scratch_ / "further";
  // The recipe's own model, of another size, could not hold its sequences.
  const std::string recipe =
      scratch_->Write("further.toml",
                      "[model]\nmax_position_embeddings = 32\n[train]\nsteps = 1\nsequence_length "
                      "= 64\ntokens_per_step = 128\nmicro_batch_tokens = 128\n");
  const std::vector<std::string> command = {
      "pretrain", recipe, "--model", Model(), "--data", *scratch_ / "data", "--out", run};
  EXPECT_EQ(JsonOf(command)["step"], 1);
  EXPECT_TRUE(LoadModelConfig(run + "/checkpoints/step-00000001") == LoadModelConfig(Model()));
  std::vector<std::string> both = command;
  both.insert(both.end(), {"--set", "model.hidden_size=32"});
  const Outcome refused = CallProgram(both);
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.error.find("--set model.hidden_size=32: the model is that of --model"),
            std::string::npos)
      << refused.error;
}

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

TEST_F(CommandsTest, InfoListsTheConfigurationAndWhatItCosts) {
  const Json printed = JsonOf({"info", "--model", Model(), "--context", "10"});
  ModelConfig config = LoadModelConfig(Model());
  Json fields = FieldsToJson(FieldsOf(config));
  fields.erase("rope_scaling");  // there is none
  EXPECT_GT(fields.size(), 25u);
  for (const auto& [name, value] : fields.items()) EXPECT_EQ(printed[name], value) << name;
  EXPECT_FALSE(printed.contains("rope_scaling"));
  const ModelCost cost(config);
  EXPECT_EQ(printed["parameters"], cost.parameters());
  EXPECT_EQ(printed["active_parameters"], cost.active_parameters());
  EXPECT_EQ(printed["forward_flops_per_token"], cost.ForwardFlopsPerToken(5.5));
  EXPECT_EQ(printed["training_flops_per_token"], cost.TrainingFlopsPerToken(5.5));
  const TrainingMemory memory = cost.Training(PretrainOptions().micro_batch_tokens);
  EXPECT_EQ(printed["training_memory_bytes"]["activations"], memory.activations);
  const int64_t rotations = 4 * config.max_position_embeddings * config.qk_rope_head_dim;
  EXPECT_EQ(printed["training_memory_bytes"]["rotations"], rotations);
  EXPECT_EQ(printed["training_memory_bytes"]["total"], memory.total() + rotations);
  EXPECT_EQ(printed["latent_cache_bytes_per_token"], cost.CacheBytesPerToken(CacheForm::kLatent));
  EXPECT_EQ(printed["expanded_cache_bytes_per_token"],
            cost.CacheBytesPerToken(CacheForm::kExpanded));
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
      Evaluate(loaded.model(), loaded.weights(), loaded.tokenizer(), *environment,
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
TEST_F(CommandsTest, EvaluateTakesTasksAndLengthsFromTheRun) {
  const auto copy = [&](const std::string& to) {
    std::filesystem::create_directories(*scratch_ / to);
    std::filesystem::copy(Model(), *scratch_ / to);
    return *scratch_ / to;
  };
  const std::string reinforced = copy("whole/reinforced/checkpoints/step-1");
  const std::string base = copy("whole/base/checkpoints/step-1");
  scratch_->Write("whole/recipe.toml", "[reinforce.rl]\ntasks = [\"sort:1\"]\nmax_tokens = 6\n");
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
  scratch_->Write("mixed/recipe.toml", "[pretrain.train]\nprecision = \"bf16\"\n");
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

TEST_F(CommandsTest, ReinforcePrintsItsLastStep) {
  const std::string run = *scratch_ / "rl";
  const Json printed = JsonOf({"reinforce", scratch_->Write("rl.toml", kReinforce), "--model",
                               Model(), "--out", run, "--set", "rl.steps=2"});
  const Json last = LastLine(run + "/metrics.jsonl");
  EXPECT_EQ(printed["step"], 2);
  EXPECT_EQ(printed["checkpoint"], run + "/checkpoints/step-00000002");
  ASSERT_NE(last["reward"], last["accuracy"]);
  EXPECT_EQ(printed["reward"], last["reward"]);
  EXPECT_EQ(printed["accuracy"], last["accuracy"]);
  EXPECT_EQ(printed["evaluation"], last["evaluation"]);
  EXPECT_EQ(printed["finished"], true);
  EXPECT_EQ(printed["report"], run + "/report.html");
}

TEST_F(CommandsTest, TaskShowsTheProblemAskedFor) {
  const Json shown = JsonOf({"task", "show", "sum", "--level", "2", "--seed", "4", "--index", "5"});
  const Problem problem = MakeProblem(FindTask("sum"), 4, 5, 2, Split::kTrain);
  EXPECT_EQ(shown["prompt"], problem.prompt);
  EXPECT_EQ(shown["answer"], problem.answer);
  EXPECT_EQ(shown["completion"], FindTask("sum").Oracle(problem));
  EXPECT_EQ(JsonOf({"task", "show", "sum", "--held-out", "--index", "5"})["prompt"],
            MakeProblem(FindTask("sum"), 0, 5, 1, Split::kHeldOut).prompt);
  const std::string right =
      scratch_->Write("right", "<think></think><answer>" + problem.answer + "</answer>");
  const std::string wrong = scratch_->Write("wrong", "<think></think><answer>-1</answer>");
  const auto score = [&](const std::string& file) {
    return JsonOf({"task", "score", "sum", file, "--level", "2", "--seed", "4", "--index", "5"});
  };
  EXPECT_EQ(score(right)["reward"], 1.0);
  EXPECT_EQ(score(right)["correct"], true);
  EXPECT_EQ(score(wrong)["reward"], kFormatCredit);
  EXPECT_EQ(score(wrong)["correct"], false);
  EXPECT_EQ(score(wrong)["parsed"], "-1");
  EXPECT_EQ(score(wrong)["parts"], (Json{{"answer", 0.0}, {"format", 1.0}}));
}

TEST_F(CommandsTest, TaskCheckCountsProblemsAndTheirOwnAnswers) {
  // The numeric rule cannot read an answer that is no number.
  std::string lines;
  for (int i = 0; i < 8; ++i) {
    lines +=
        Json{{"prompt", "say " + std::to_string(i)}, {"answer", i < 2 ? "x" : std::to_string(i)}}
            .dump() +
        "\n";
  }
  const std::string file = scratch_->Write("own.jsonl", lines);
  const Outcome refused = CallProgram({"task", "check", "--problems", file, "--rule", "numeric"});
  EXPECT_EQ(refused.code, 1) << refused.out;
  const Json checked =
      JsonOf({"task", "check", "--problems", file, "--rule", "exact", "--held-out-share", "1"});
  EXPECT_EQ(checked["problems"], 8);
  EXPECT_EQ(checked["held_out"], 8);
  EXPECT_EQ(checked["train"], 0);
  EXPECT_EQ(checked["own_answers"], 8);
  EXPECT_EQ(checked["own_answers_right"], 8);
  EXPECT_EQ(checked["reward_program_failures"], 0);
  // An expression that does not match its own text: "a+b" wants one "a" at least, and no "+".
  lines.clear();
  for (const char* answer : {"a", "b", "c", "a+b", "b+c"})
    lines += Json{{"prompt", std::string("say ") + answer}, {"answer", answer}}.dump() + "\n";
  const std::string patterns = scratch_->Write("patterns.jsonl", lines);
  const Json regex =
      JsonOf({"task", "check", "--problems", patterns, "--rule", "regex", "--held-out-share", "1"});
  EXPECT_EQ(regex["problems"], 5);
  EXPECT_EQ(regex["own_answers"], 5);
  EXPECT_EQ(regex["own_answers_right"], 3);
  // Ten of many are shown.
  lines.clear();
  for (int i = 0; i < 15; ++i)
    lines += Json{{"prompt", "say " + std::to_string(i)}, {"answer", "a+b"}}.dump() + "\n";
  const std::string error =
      CallProgram({"task", "check", "--problems", scratch_->Write("wrong.jsonl", lines), "--rule",
                   "regex", "--held-out-share", "1"})
          .error;
  size_t shown = 0;
  for (size_t at = 0; (at = error.find("its own answer", at)) != error.npos; ++at) ++shown;
  EXPECT_EQ(shown, 10u) << error;
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
  Engine engine(loaded.model(), loaded.weights(), CacheForm::kExpanded, 4, 128);
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
  Engine engine(loaded.model(), loaded.weights(), CacheForm::kExpanded, 32, 128);
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

// Each question is echoed and drawn from a stream of its own (an empty line is none), and its text
// is shown but for the end mark.
TEST_F(CommandsTest, ChatAnswersLineByLine) {
  const LoadedModel loaded(Model());
  Engine engine(loaded.model(), loaded.weights(), CacheForm::kLatent, 1, 128);
  std::istringstream input("sum 1+2\n\nsum 1+2\n" + std::string(200, '+') + "\nsum 4");
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

// A misspelt --out with --resume would start another run.
TEST_F(CommandsTest, OnlyResumingWhereNoRunLiesIsTold) {
  const auto told = [&](const char* run, bool resume) {
    std::vector<std::string> command = {"pretrain", scratch_->Write("p.toml", kPretrain),
                                        "--data",   *scratch_ / "data",
                                        "--out",    *scratch_ / run};
    if (resume) command.push_back("--resume");
    return CallProgram(command).error.find("holds no run to go on with: starting one") !=
           std::string::npos;
  };
  EXPECT_FALSE(told("untold", false));
  EXPECT_FALSE(told("untold", true));
  EXPECT_TRUE(told("told", true));
}

}  // namespace
}  // namespace darkhorse
