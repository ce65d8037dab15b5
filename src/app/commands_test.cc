// Commands from end to end: each figure that they print beside where it comes from.
#include <gtest/gtest.h>

#include <algorithm>

#include "app/commands_testing.h"
#include "base/scratch_testing.h"
#include "checkpoint/checkpoint.h"
#include "data/prepare.h"
#include "data/shard.h"
#include "model/config_fields.h"
#include "model/cost.h"
#include "task/corpus.h"
#include "train/options.h"

namespace darkhorse {
namespace {

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

TEST_F(CommandsTest, TokenizerTrainReplacesNoOther) {
  const auto train = [&](const std::string& out, const std::string& size) {
    return CallProgram({"tokenizer", "train", *scratch_ / "corpus.jsonl", "--out", out,
                        "--vocab-size", size, "--special-tokens", "<b>", "--special-tokens",
                        "<e>"});
  };
  const std::string out = *scratch_ / "refused/tokenizer.json", model = *scratch_ / "refused/m";
  MakeDirectories(model);
  EXPECT_EQ(train(out, "290").code, 0);
  EXPECT_EQ(train(out, "290").code, 0);  // the same once more
  const std::string before = ReadFile(out);
  const Outcome other = train(out, "270");
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.error.find(out +
                             ": another tokenizer, or another file, is there already (its "
                             "hash is " +
                             tokenizer_["hash"].get<std::string>()),
            std::string::npos)
      << other.error;
  EXPECT_EQ(ReadFile(out), before);
  // A model, or shards, whose own is missing.
  for (const auto& [folder, file, says] :
       {std::tuple{Model(), "model.safetensors", "beside it lies a model that was trained with"},
        {*scratch_ / "data", "train.bin", "beside it lie token shards that were made with"}}) {
    const std::string at = model + "/" + file;
    std::filesystem::copy_file(folder + "/" + file, at);
    const Outcome refused = train(model + "/tokenizer.json", "270");
    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.error.find(says), std::string::npos) << refused.error;
    EXPECT_FALSE(FileExists(model + "/tokenizer.json"));
    EXPECT_EQ(train(model + "/tokenizer.json", "290").code, 0);
    std::filesystem::remove(model + "/tokenizer.json");
    std::filesystem::remove(at);
  }
}

TEST_F(CommandsTest, AModelKnowsItsTokenizer) {
  const std::string copy = *scratch_ / "swapped";
  std::filesystem::copy(Model(), copy);
  std::filesystem::remove(copy + "/checksums.json");
  EXPECT_EQ(CallProgram({"generate", "--model", copy, "--max-tokens", "1"}).code, 0);
  std::filesystem::remove(copy + "/tokenizer.json");
  // As many tokens, of other text.
  std::string text;
  for (int i = 0; i < 40; ++i) text += "zyx wvu tsr qpo nml kji hgf edc bazz yyxx ";
  ASSERT_EQ(JsonOf({"tokenizer", "train", scratch_->Write("other.txt", text), "--out",
                    *scratch_ / "other.json", "--vocab-size", "274", "--special-tokens", "<b>",
                    "--special-tokens", "<e>"})["vocab_size"],
            tokenizer_["vocab_size"]);
  std::filesystem::copy_file(*scratch_ / "other.json", copy + "/tokenizer.json");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"generate", "--model", copy, "--max-tokens", "1"},
        {"evaluate", "--model", copy, "--task", "sum:1", "--count", "1", "--samples", "1"},
        {"reinforce", scratch_->Write("rl.toml", kReinforce), "--model", copy, "--out",
         *scratch_ / "of-swapped"},
        {"pretrain", scratch_->Write("p.toml", kPretrain), "--model", copy, "--data",
         *scratch_ / "data", "--out", *scratch_ / "of-swapped"}}) {
    const Outcome outcome = CallProgram(command);
    EXPECT_EQ(outcome.code, 1) << command[0];
    EXPECT_NE(outcome.error.find("not the tokenizer that this model was trained with"),
              std::string::npos)
        << outcome.error;
  }
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
  EXPECT_EQ(printed["context"], 10);
  EXPECT_EQ(printed["training_memory_bytes"]["micro_batch_tokens"],
            PretrainOptions().micro_batch_tokens);
  EXPECT_EQ(printed["training_memory_bytes"]["weights"], memory.weights);
  EXPECT_EQ(printed["training_memory_bytes"]["gradients"], memory.gradients);
  EXPECT_EQ(printed["training_memory_bytes"]["moments"], memory.moments);
  EXPECT_EQ(printed["training_memory_bytes"]["moments_bf16"], memory.moments / 2);
  EXPECT_EQ(printed["training_memory_bytes"]["activations"], memory.activations);
  const int64_t rotations = 4 * config.max_position_embeddings * config.qk_rope_head_dim;
  EXPECT_EQ(printed["training_memory_bytes"]["rotations"], rotations);
  EXPECT_EQ(printed["training_memory_bytes"]["total"], memory.total() + rotations);
  EXPECT_EQ(printed["latent_cache_bytes_per_token"], cost.CacheBytesPerToken(CacheForm::kLatent));
  EXPECT_EQ(printed["expanded_cache_bytes_per_token"],
            cost.CacheBytesPerToken(CacheForm::kExpanded));
}

// Neither dense layers nor modules are layers of experts.
TEST_F(CommandsTest, InfoCountsLayersOfExperts) {
  const auto moe_layers = [](const std::string& dense) {
    return JsonOf({"info", "tiny", "--set", "model.num_hidden_layers=5", "--set",
                   "model.num_nextn_predict_layers=2", "--set",
                   "model.first_k_dense_replace=" + dense})["moe_layers"];
  };
  EXPECT_EQ(moe_layers("2"), 3);
  EXPECT_EQ(moe_layers("5"), 0);
  EXPECT_EQ(moe_layers("6"), 0);
}

TEST_F(CommandsTest, AModelIsNamedWithOrWithoutItsFlag) {
  const std::vector<std::string> tokens = {"--max-tokens", "2", "--prompt", "1+1="};
  const auto text = [&](std::vector<std::string> command) {
    command.insert(command.end(), tokens.begin(), tokens.end());
    const Outcome outcome = CallProgram(command);
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    return outcome.out;
  };
  EXPECT_EQ(text({"generate", Model()}), text({"generate", "--model", Model()}));
  const Outcome neither = CallProgram({"generate"});
  EXPECT_EQ(neither.code, 2);
  EXPECT_NE(neither.error.find("model is required"), std::string::npos) << neither.error;
}

TEST_F(CommandsTest, OnlyATypedFlagIsNoted) {
  const std::vector<std::string> command = {"evaluate", "--model", Model(),     "--task", "sum:1",
                                            "--count",  "1",       "--samples", "1"};
  const std::string told = CallProgram(command).error;
  EXPECT_NE(told.find("the default of --completion-tokens is 352, but the model's context"),
            std::string::npos)
      << told;
}

TEST_F(CommandsTest, AFinishedRunTellsTheSameAgain) {
  std::vector<std::string> command = {"reinforce", scratch_->Write("rl.toml", kReinforce),
                                      "--model",   Model(),
                                      "--out",     *scratch_ / "told-again"};
  const Json first = JsonOf(command);
  EXPECT_TRUE(first.contains("accuracy") && first.contains("evaluation"));
  command.push_back("--resume");
  EXPECT_EQ(JsonOf(command), first);
}

TEST_F(CommandsTest, BenchTakesProblemsOfOnesOwn) {
  const Outcome without = CallProgram({"bench", "own"});
  EXPECT_EQ(without.code, 2);
  EXPECT_NE(without.error.find("holds no model to measure; name a checkpoint with --model"),
            std::string::npos)
      << without.error;
  const Json printed = JsonOf({"bench", "own", "--model", Model(), "--problems",
                               scratch_->Write("p.jsonl", R"({"prompt":"1+1","answer":2})"
                                                          "\n"),
                               "--rule", "exact", "--held-out-share", "0", "--rounds", "1", "--set",
                               "rl.max_tokens=2", "--set", "rl.evaluate_every=0"});
  EXPECT_GT(printed["reinforcement"]["step_seconds"], 0);
}

TEST_F(CommandsTest, TaskCheckTellsOfRowsThatContradictEachOther) {
  const auto row = [](const std::string& prompt, const std::string& answer) {
    return Json{{"prompt", prompt}, {"answer", answer}}.dump() + "\n";
  };
  const std::string file =
      scratch_->Write("contrary.jsonl", row("1+1", "2") + row("2+2", "4") + row("1+1", "3") +
                                            row("1+1", "2.0") + row("2+2", "4") + row("1+1", "5"));
  const std::vector<std::string> check = {"task",   "check",   "--problems",       file,
                                          "--rule", "numeric", "--held-out-share", "0"};
  EXPECT_EQ(JsonOf(check)["contradictions"], 2);
  const std::string told = CallProgram(check).error;
  EXPECT_NE(
      told.find(file + ":3: has the prompt of " + file + ":1 and another answer: '3', not '2'"),
      std::string::npos)
      << told;
  EXPECT_EQ(told.find(file + ":4: has the prompt"), std::string::npos) << told;
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

// Problems of one's own need no recipe; an adapter of the model comes out, which commands take.
TEST_F(CommandsTest, ReinforceOfOnesOwnProblemsNeedsNoRecipe) {
  std::string rows;
  for (int i = 0; i < 8; ++i)
    rows += Json{{"prompt", fmt::format("1+{}", i)}, {"answer", i % 2}}.dump() + "\n";
  const std::string run = *scratch_ / "adapted";
  const Json printed = JsonOf({"reinforce",
                               "--model",
                               Model(),
                               "--problems",
                               scratch_->Write("own.jsonl", rows),
                               "--rule",
                               "exact",
                               "--out",
                               run,
                               "--set",
                               "rl.steps=1",
                               "--set",
                               "rl.max_tokens=2",
                               "--set",
                               "rl.evaluate_every=0",
                               "--set",
                               "probe.problems=0",
                               "--set",
                               "adapter.kind=lora",
                               "--set",
                               "adapter.rank=3",
                               "--set",
                               "adapter.dora=true"});
  EXPECT_EQ(printed["finished"], true);
  const std::string adapter = printed["checkpoint"];
  EXPECT_TRUE(FileExists(adapter + "/adapter_config.json"));
  const Json info = JsonOf({"info", adapter, "--micro-batch-tokens", "64"});
  EXPECT_EQ(info["adapter"]["rank"], 3);
  EXPECT_EQ(info["adapter"]["dora"], true);
  EXPECT_EQ(info["adapter"]["base"], Model());
  EXPECT_GT(info["adapter_training_memory_bytes"]["total"], info["memory_bytes"]["weights"]);
  EXPECT_EQ(CallProgram({"generate", "--model", adapter, "--max-tokens", "1"}).code, 0);
  const std::string merged = *scratch_ / "merged";
  EXPECT_EQ(CallProgram({"convert", adapter, merged, "--to", "hf-f32"}).code, 0);
  EXPECT_EQ(JsonOf({"info", merged})["parameters"], info["parameters"]);
}

// Who typed flags reads flags; where a recipe of theirs may have set a field, its name.
TEST_F(CommandsTest, ProblemsAreToldOfInTheWordsThatNamedThem) {
  const std::string model = Model(), out = *scratch_ / "never";
  const std::string file = scratch_->Write("named.jsonl", R"({"prompt": "1+1", "answer": "2"})");
  const auto told = [&](std::vector<std::string> arguments) {
    return CallProgram(arguments).error;
  };
  EXPECT_NE(told({"reinforce", "--model", model, "--out", out})
                .find("name a file of problems (--problems, with --rule or --reward), or tasks in "
                      "rl.tasks"),
            std::string::npos);
  EXPECT_NE(told({"reinforce", "--model", model, "--out", out, "--problems", file, "--rule",
                  "exact", "--set", "rl.tasks=sum:1"})
                .find("setting rl.tasks=sum:1: the problems of " + file +
                      " (--problems) are in the place of built-in tasks"),
            std::string::npos);
  const std::string recipe = scratch_->Write("both.toml", "[problems]\nfile = \"" + file + "\"\n");
  EXPECT_NE(told({"reinforce", recipe, "--model", model, "--out", out, "--rule", "exact", "--set",
                  "rl.tasks=sum:1"})
                .find("(problems.file) are in the place"),
            std::string::npos);
  EXPECT_NE(told({"sample", "--model", model, "--out", out})
                .find("nothing to ask; name built-in tasks (--task) or a file of problems "
                      "(--problems)"),
            std::string::npos);
  EXPECT_NE(told({"distil", "--teacher", model, "--student", model, "--out", out})
                .find("name built-in tasks (--task) or a file of problems (--problems)"),
            std::string::npos);
  EXPECT_NE(told({"sample", "--model", model, "--out", out, "--task", "sum:1", "--problems", file,
                  "--rule", "exact"})
                .find("at once; name built-in tasks (--task) or"),
            std::string::npos);
}

// What was typed for a folder of token shards, and what it is.
TEST_F(CommandsTest, WhatIsNoFolderOfShardsIsNamed) {
  const std::string data = *scratch_ / "data";
  for (const auto& [given, told] :
       {std::pair{
            data + "/train.bin",
            data + "/train.bin: is a file of a folder of token shards; name the folder, " + data},
        {Model(), Model() + ": is a model, not a folder of token shards"},
        {*scratch_ / "nosuch", *scratch_ / "nosuch" + ": no such folder; name one that"}}) {
    EXPECT_NE(CallProgram({"pretrain", "tiny", "--data", given, "--out", *scratch_ / "never"})
                  .error.find(told),
              std::string::npos)
        << given;
  }
}

// A run may lie beside other files, but not unawares.
TEST_F(CommandsTest, OtherFilesInTheFolderOfANewRunAreTold) {
  scratch_->Write("mixed/b.md", "");
  scratch_->Write("mixed/a.md", "");
  scratch_->Write("hidden/.keep", "");
  const auto told = [&](const std::string& folder) {
    return CallProgram({"pretrain", scratch_->Write("p.toml", kPretrain), "--data",
                        *scratch_ / "data", "--out", *scratch_ / folder})
        .error;
  };
  const std::string line = " holds other files (a.md, …); the run is written beside them";
  EXPECT_NE(told("mixed").find(*scratch_ / "mixed" + line), std::string::npos);
  EXPECT_EQ(told("mixed").find("other files"), std::string::npos);  // it is a run now
  EXPECT_EQ(told("hidden").find("other files"), std::string::npos);
}

// Text that names a cure of its own keeps it.
TEST_F(CommandsTest, AModelWithoutATokenizerNamesTheCommandThatMakesOne) {
  const std::string model = *scratch_ / "mute";
  std::filesystem::copy(Model(), model);
  std::filesystem::remove(model + "/tokenizer.json");
  std::filesystem::remove(model + "/checksums.json");
  for (const char* command : {"evaluate", "generate"}) {
    std::vector<std::string> arguments = {command, "--model", model};
    if (std::string(command) == "evaluate") arguments.insert(arguments.end(), {"--task", "sum:1"});
    const std::string error = CallProgram(arguments).error;
    EXPECT_NE(error.find("or make one with `darkhorse tokenizer train`"), std::string::npos)
        << error;
  }
}

TEST_F(CommandsTest, FinetunePrintsWhatItMeasured) {
  std::string rows;
  for (int i = 0; i < 20; ++i)
    rows +=
        fmt::format("{{\"question\": \"add {} 2\", \"answer\": \"<think>{}</think>\"}}\n", i, i);
  const std::string data = scratch_->Write("chats.jsonl", rows), out = *scratch_ / "sft";
  const Json result =
      JsonOf({"finetune", "--model", Model(), "--data", data, "--out", out, "--set",
              "finetune.epochs=1", "--set", "finetune.samples_per_step=8", "--set",
              "finetune.held_out_share=0.25", "--set", "optimizer.learning_rate=0.01"});
  EXPECT_EQ(result["finished"], true);
  EXPECT_EQ(result["step"], 2);
  const Json last = LastLine(out + "/metrics.jsonl");
  for (const char* name : {"step", "tokens", "loss", "validation_loss"})
    EXPECT_EQ(result[name], last[name]) << name;
  EXPECT_LT(result["validation_loss"], result["start_loss"]);
  EXPECT_EQ(result["best_loss"], result["validation_loss"]);
  EXPECT_EQ(result["best_checkpoint"], out + "/best");
  EXPECT_EQ(result["report"], out + "/report.html");
  EXPECT_NE(JsonOf({"generate", "--model", result["checkpoint"].get<std::string>(), "--prompt",
                    "add 1 2\n", "--max-tokens", "4"}),
            Json());
  // A folder of one's own is read whole, though a file in it has the name that sampling gives.
  const size_t half = rows.find("add 10 2") - std::string("{\"question\": \"").size();
  scratch_->Write("mine/chats.jsonl", rows.substr(0, half));
  scratch_->Write("mine/more.jsonl", rows.substr(half));
  const Json of_folder = JsonOf(
      {"finetune", "--model", Model(), "--data", *scratch_ / "mine", "--out", *scratch_ / "sft2",
       "--set", "finetune.epochs=1", "--set", "finetune.samples_per_step=8", "--set",
       "finetune.held_out_share=0.25", "--set", "optimizer.learning_rate=0.01"});
  EXPECT_EQ(of_folder["step"], 2);
  EXPECT_EQ(of_folder["tokens"], result["tokens"]);
}

TEST_F(CommandsTest, TaskShowsTheProblemAskedFor) {
  const Json shown = JsonOf({"task", "show", "sum", "--level", "2", "--seed", "4", "--index", "5"});
  const Problem problem = MakeProblem(FindTask("sum"), 4, 5, 2, Split::kTrain);
  EXPECT_EQ(shown["prompt"], problem.prompt);
  EXPECT_EQ(shown["answer"], problem.answer);
  EXPECT_EQ(shown["completion"], FindTask("sum").Oracle(problem));
  // The level as other commands have it.
  EXPECT_EQ(JsonOf({"task", "show", "sum:2", "--seed", "4", "--index", "5"}), shown);
  EXPECT_EQ(JsonOf({"task", "show", "sum:2", "--level", "2", "--seed", "4", "--index", "5"}),
            shown);
  EXPECT_NE(CallProgram({"task", "show", "sum:2", "--level", "1"})
                .error.find("--level is 1, but task is 'sum:2'"),
            std::string::npos);
  for (const char* task : {"sum:2,sum:1", "sum:2=3"}) {
    EXPECT_NE(CallProgram({"task", "show", task}).error.find("one name, or one name:level"),
              std::string::npos)
        << task;
  }
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
  // Where a program scores, rows need no answer; those without one count for no answer, right or
  // not.
  const std::string generous = scratch_->Write(
      "generous.py",
      "import json, sys\n"
      "for line in sys.stdin: print(json.dumps({'id': json.loads(line)['id'], 'score': 1}), "
      "flush=True)\n");
  const std::string few = scratch_->Write(
      "few.jsonl", "{\"prompt\":\"a\",\"answer\":\"1\"}\n{\"prompt\":\"b\"}\n{\"prompt\":\"c\"}\n");
  const Json by_program =
      JsonOf({"task", "check", "--problems", few, "--reward", "exec python3 -I -S " + generous,
              "--held-out-share", "1", "--reward-seconds", "120"});
  EXPECT_EQ(by_program["problems"], 3);
  EXPECT_EQ(by_program["own_answers"], 1);
  EXPECT_EQ(by_program["own_answers_right"], 1);
  // What a program fails on it has not found wrong.
  const std::string failing = CallProgram({"task", "check", "--problems",
                                           scratch_->Write("two.jsonl",
                                                           "{\"prompt\":\"a\",\"answer\":\"1\"}\n"
                                                           "{\"prompt\":\"b\",\"answer\":\"2\"}\n"),
                                           "--reward",
                                           "while read -r line; do case $line in *'er>2'*) echo "
                                           "garbage;; *) id=${line#*:}; echo \"{\\\"id\\\": "
                                           "${id%%,*}, \\\"score\\\": 0.5}\";; esac; done",
                                           "--reward-seconds", "120", "--held-out-share", "1"})
                                  .error;
  EXPECT_NE(failing.find("two.jsonl:1: its own answer '1' is worth 0.5"), std::string::npos)
      << failing;
  EXPECT_NE(
      failing.find("two.jsonl:2: its own answer '2' could not be scored: the reward program "
                   "wrote a line that is not JSON (messages belong on standard error): garbage"),
      std::string::npos)
      << failing;
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
