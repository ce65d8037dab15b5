#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/scratch_testing.h"
#include "checkpoint/checksums.h"
#include "checkpoint/config_json.h"
#include "checkpoint/run_directory.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

ModelConfig Tiny() {
  ModelConfig config = TinyConfig();
  config.num_nextn_predict_layers = 1;
  return config;
}

const char* exit_at = "";
int steps_to_go = 0;
void ExitAt(const char* step) {
  if (std::strcmp(step, exit_at) == 0) _exit(9);
}
void ExitAfterSteps(const char*) {
  if (steps_to_go-- == 0) _exit(9);
}

template <typename Body>
int InChild(const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    try {
      body();
    } catch (const Error&) {
      _exit(2);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : layout_(config_), weights_(static_cast<size_t>(layout_.buffer_size())) {
    InitializeWeights(config_, layout_, 1, weights_.data());
    moments_ = {1.5f, -2.0f, 3.25f};
    files_.tokenizer_json =
        R"({"added_tokens":[{"id":0,"content":"<s>"},{"id":1,"content":"</s>"}]})";
  }
  ~CheckpointTest() override { publication_hook = nullptr; }

  TrainerState State(int64_t step) const {
    return {step,
            R"({"seed":18446744073709551615,"ema":0.1,"recipe":{"b":1,"a":[2]}})",
            {{"m", moments_}}};
  }
  void Publish(int64_t step, int64_t keep = 9) {
    weights_[0] = static_cast<float>(step);
    PublishStep(run(), keep, config_, layout_, weights_.data(), files_, State(step));
  }
  void PublishPlain(const std::string& directory) {
    PublishCheckpoint(directory, config_, layout_, weights_.data(), files_, nullptr);
  }
  std::vector<float> Loaded(const std::string& directory) const {
    std::vector<float> out(weights_.size(), 99.0f);
    LoadWeights(directory, config_, layout_, out.data());
    return out;
  }
  std::string LoadMessage(const std::string& directory) const {
    return MessageOf([&] { Loaded(directory); });
  }
  std::string run() const { return dir_ / "run"; }
  size_t CheckpointEntries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(run() + "/checkpoints"), fs::directory_iterator()));
  }

  ScratchDirectory dir_;
  ModelConfig config_ = Tiny();
  ParamLayout layout_;
  std::vector<float> weights_;
  std::vector<float> moments_;
  ModelFiles files_;
};

void FlipBit(const std::string& path, size_t byte) {
  std::string text = ReadFile(path);
  ASSERT_LT(byte, text.size());
  text[byte] = static_cast<char>(text[byte] ^ 16);
  WriteFileAtomically(path, text);
}

TEST_F(CheckpointTest, RoundTripIsExact) {
  Publish(12);
  const std::string directory = StepDirectory(run(), 12);
  EXPECT_TRUE(directory.ends_with("run/checkpoints/step-00000012"));
  EXPECT_TRUE(VerifyChecksums(directory, Verify::kModelAndTrainer));
  EXPECT_EQ(LoadModelConfig(directory), config_);
  // Padding included: the buffer came back as it was.
  EXPECT_EQ(Loaded(directory), weights_);
  EXPECT_EQ(LoadTokenizerJson(directory), files_.tokenizer_json);
  std::filesystem::remove(directory + "/tokenizer.json");
  EXPECT_THROW(LoadTokenizerJson(directory), NoTokenizer);
  EXPECT_EQ(MessageOf([&] { LoadTokenizerJson(directory); }),
            directory +
                ": holds no tokenizer.json; copy there the one that belongs to it, or make "
                "one");
  const SavedTrainerState state(directory);
  EXPECT_EQ(state.step(), 12);
  EXPECT_EQ(nlohmann::json::parse(state.json()), nlohmann::json::parse(State(12).json));
  std::vector<float> moments(3);
  state.Read("m", moments);
  EXPECT_EQ(moments, moments_);
  const auto refusal = [&](const std::string& name) {
    return MessageOf([&] { state.Read(name, moments); });
  };
  const std::string refused = directory +
                              "/optimizer.safetensors: tensor '{}' {}; the checkpoint "
                              "was written by another recipe, resume with that one";
  EXPECT_EQ(refusal("v"), fmt::format(fmt::runtime(refused), "v", "is missing"));
  moments.resize(2);
  EXPECT_EQ(refusal("m"),
            fmt::format(fmt::runtime(refused), "m", "has 3 elements where 2 are needed"));
}

TEST_F(CheckpointTest, EqualStateGivesEqualBytes) {
  PublishPlain(dir_ / "a");
  PublishPlain(dir_ / "b");
  for (const auto& entry : fs::directory_iterator(dir_ / "a")) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(ReadFile(dir_ / "a/" + name), ReadFile(dir_ / "b/" + name)) << name;
  }
}

TEST_F(CheckpointTest, WritesTokenizerAndGenerationConfigs) {
  PublishPlain(dir_ / "a");
  using nlohmann::json;
  EXPECT_EQ(json::parse(ReadFile(dir_ / "a/tokenizer_config.json")),
            json({{"tokenizer_class", "PreTrainedTokenizerFast"},
                  {"model_max_length", config_.max_position_embeddings},
                  {"clean_up_tokenization_spaces", false},
                  {"bos_token", "<s>"},
                  {"eos_token", "</s>"},
                  {"pad_token", "</s>"}}));
  json generation = {{"bos_token_id", 0},
                     {"eos_token_id", 1},
                     {"do_sample", true},
                     {"temperature", 1.0},
                     {"top_p", 1.0}};
  EXPECT_EQ(json::parse(ReadFile(dir_ / "a/generation_config.json")), generation);
  // Either may be there without the other.
  for (const auto& [bos, eos] : {std::pair{-1, -1}, {-1, 1}, {0, -1}}) {
    config_.bos_token_id = bos;
    config_.eos_token_id = eos;
    PublishPlain(dir_ / "a");
    generation["bos_token_id"] = bos < 0 ? json() : json(bos);
    generation["eos_token_id"] = eos < 0 ? json() : json(eos);
    EXPECT_EQ(json::parse(ReadFile(dir_ / "a/generation_config.json")), generation);
    const json tokenizer = json::parse(ReadFile(dir_ / "a/tokenizer_config.json"));
    EXPECT_EQ(tokenizer.value("bos_token", ""), bos < 0 ? "" : "<s>");
    EXPECT_EQ(tokenizer.value("eos_token", ""), eos < 0 ? "" : "</s>");
    EXPECT_EQ(tokenizer.contains("pad_token"), eos >= 0);
  }
}

TEST_F(CheckpointTest, EveryTokenThatEndsATextComesBack) {
  for (const auto& stops : {std::vector<int64_t>{1, 5}, {5, 1}, {5}}) {
    config_.stop_token_ids = stops;
    PublishPlain(dir_ / "a");
    EXPECT_EQ(LoadModelConfig(dir_ / "a"), config_);
  }
  // A published model need not have a generation_config.json.
  config_.stop_token_ids = {1, 5};
  PublishPlain(dir_ / "a");
  fs::remove(dir_ / "a/generation_config.json");
  EXPECT_EQ(LoadModelConfig(dir_ / "a"), config_);
}

TEST_F(CheckpointTest, Bf16RoundsMatricesAndKeepsTheRouterBias) {
  const ParamInfo* bias = layout_.Find("model.layers.1.mlp.gate.e_score_correction_bias");
  const ParamInfo* matrix = layout_.Find("model.layers.1.mlp.gate.weight");
  ASSERT_TRUE(bias && matrix);
  weights_[static_cast<size_t>(bias->offset)] = 1.00001f;
  weights_[static_cast<size_t>(matrix->offset)] = 1.00001f;
  files_.dtype = DType::kBf16;
  PublishPlain(dir_ / "a");
  const std::vector<float> loaded = Loaded(dir_ / "a");
  EXPECT_EQ(loaded[static_cast<size_t>(bias->offset)], 1.00001f);
  EXPECT_EQ(loaded[static_cast<size_t>(matrix->offset)], 1.0f);
  const auto dtype = [&](const std::string& name) {
    PublishPlain(dir_ / name);
    const std::string path = dir_ / (name + "/config.json");
    return nlohmann::json::parse(ReadFile(path))["torch_dtype"].get<std::string>();
  };
  EXPECT_EQ(dtype("a"), "bfloat16");
  files_.dtype = DType::kF32;
  EXPECT_EQ(dtype("b"), "float32");
}

TEST_F(CheckpointTest, EveryFlippedBitIsFound) {
  PublishPlain(dir_ / "a");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir_ / "a")) {
    names.push_back(entry.path().string());
  }
  ASSERT_EQ(names.size(), 6u);
  for (const std::string& name : names) {
    const std::string good = ReadFile(name);
    for (const size_t byte : {size_t{0}, size_t{9}, good.size() / 2, good.size() - 1}) {
      FlipBit(name, byte);
      EXPECT_NE(MessageOf([&] { VerifyChecksums(dir_ / "a", Verify::kModel); }), "")
          << name << " " << byte;
      WriteFileAtomically(name, good);
    }
    // The list's own last byte is an end of line: cutting it off loses nothing.
    const size_t cut = name.ends_with("checksums.json") ? 3 : 1;
    WriteFileAtomically(name, std::string_view(good).substr(0, good.size() - cut));
    EXPECT_NE(MessageOf([&] { VerifyChecksums(dir_ / "a", Verify::kModel); }), "") << name;
    WriteFileAtomically(name, good);
  }
  EXPECT_TRUE(VerifyChecksums(dir_ / "a", Verify::kModel));
  FlipBit(dir_ / "a/model.safetensors", 3000);
  EXPECT_TRUE(Says(MessageOf([&] { VerifyChecksums(dir_ / "a", Verify::kModel); }),
                   "model.safetensors: damaged"));
  fs::remove(dir_ / "a/model.safetensors");
  EXPECT_TRUE(Says(MessageOf([&] { VerifyChecksums(dir_ / "a", Verify::kModel); }),
                   "model.safetensors: is missing"));
}

// A list that leaves a file out would vouch for whatever stands there.
TEST_F(CheckpointTest, ChecksumsMustNameTheModelAndTheTrainersState) {
  TrainerState state;
  PublishCheckpoint(dir_ / "a", config_, layout_, weights_.data(), {}, &state);
  const std::string name = dir_ / "a/checksums.json";
  const std::string good = ReadFile(name);
  for (const char* file :
       {"config.json", "model.safetensors", "trainer_state.json", "optimizer.safetensors"}) {
    const bool of_model = file[0] == 'c' || file[0] == 'm';
    std::string other = good;
    const size_t at = other.find(fmt::format("\"{}\"", file));
    ASSERT_NE(at, std::string::npos) << file;
    other.replace(at + 1, 1, "X");
    WriteFileAtomically(dir_ / ("a/X" + std::string(file + 1)),
                        ReadFile(dir_ / ("a/" + std::string(file))));
    WriteFileAtomically(name, other);
    const auto verify = [&](Verify what) {
      return MessageOf([&] { VerifyChecksums(dir_ / "a", what); });
    };
    EXPECT_TRUE(Says(verify(Verify::kModelAndTrainer), fmt::format("does not list {}", file)));
    EXPECT_EQ(verify(Verify::kModel).empty(), !of_model) << file << verify(Verify::kModel);
    WriteFileAtomically(name, good);
  }
}

TEST_F(CheckpointTest, AModelNeedsNothingOfTheTrainers) {
  TrainerState state;
  state.step = 3;
  PublishCheckpoint(dir_ / "a", config_, layout_, weights_.data(), {}, &state);
  EXPECT_TRUE(VerifyChecksums(dir_ / "a", Verify::kModelAndTrainer));
  fs::remove(dir_ / "a/optimizer.safetensors");
  EXPECT_TRUE(VerifyChecksums(dir_ / "a", Verify::kModel));
  EXPECT_EQ(LoadVerifiedModelConfig(dir_ / "a"), config_);
  EXPECT_TRUE(Says(MessageOf([&] { VerifyChecksums(dir_ / "a", Verify::kModelAndTrainer); }),
                   "optimizer.safetensors: is missing"));
  fs::remove(dir_ / "a/trainer_state.json");
  EXPECT_TRUE(VerifyChecksums(dir_ / "a", Verify::kModel));
}

TEST_F(CheckpointTest, ForeignCheckpointsHaveNoChecksums) {
  PublishPlain(dir_ / "a");
  fs::remove(dir_ / "a/checksums.json");
  EXPECT_FALSE(VerifyChecksums(dir_ / "a", Verify::kModelAndTrainer));
}

TEST_F(CheckpointTest, TensorsMustBelongToTheConfig) {
  PublishPlain(dir_ / "a");
  config_.vocab_size = 14;
  layout_ = ParamLayout(config_);
  weights_.resize(static_cast<size_t>(layout_.buffer_size()));
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"),
                   "tensor 'model.embed_tokens.weight' has shape [13, 8] where config.json asks "
                   "for [14, 8] (and 1 more such)"));
  config_ = Tiny();
  config_.n_routed_experts = 5;
  layout_ = ParamLayout(config_);
  weights_.resize(static_cast<size_t>(layout_.buffer_size()));
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"), "'model.layers.1.mlp.gate.weight' has shape [4, 8]"));
  config_ = Tiny();
  config_.num_nextn_predict_layers = 0;
  layout_ = ParamLayout(config_);
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"), "'model.layers.2."));
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"), "is unknown to this model (and "));
  // Of one alone no others are said to follow.
  config_ = Tiny();
  layout_ = ParamLayout(config_);
  config_.tie_word_embeddings = true;
  const ParamLayout tied(config_);
  PublishCheckpoint(dir_ / "b", config_, tied, weights_.data(), files_, nullptr);
  EXPECT_EQ(LoadMessage(dir_ / "b"),
            dir_ / "b" +
                ": tensor 'lm_head.weight' is missing; config.json and the tensors do not belong "
                "together, fetch both again");
}

TEST_F(CheckpointTest, WeightsThatAreNoNumbersAreRefused) {
  const ParamInfo& last = layout_.params().back();
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    weights_[static_cast<size_t>(last.offset + last.size - 1)] = bad;
    PublishPlain(dir_ / "a");
    EXPECT_EQ(LoadMessage(dir_ / "a"),
              fmt::format("{}: {} holds numbers that are not finite; take an earlier checkpoint or "
                          "a sound copy",
                          dir_ / "a/model.safetensors", last.name));
  }
}

TEST_F(CheckpointTest, MissingMtpNamesTheCure) {
  config_.num_nextn_predict_layers = 0;
  layout_ = ParamLayout(config_);
  PublishPlain(dir_ / "a");
  config_ = Tiny();
  layout_ = ParamLayout(config_);
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"), "'model.layers.2.enorm.weight' is missing"));
  EXPECT_TRUE(Says(LoadMessage(dir_ / "a"), "set num_nextn_predict_layers to 0"));
}

// Tensors that repeat others, and only where they do.
TEST_F(CheckpointTest, CopiesArePassedOver) {
  // The message of loading a checkpoint with one more tensor; "" if its weights are the model's.
  const auto with = [&](const std::string& name) {
    PublishPlain(dir_ / "a");
    std::vector<TensorSpec> specs;
    for (const ParamInfo& param : layout_.params())
      specs.push_back({param.name, DType::kF32, param.shape});
    specs.push_back({name, DType::kF32, {2, 3}});
    SafetensorsWriter writer(dir_ / "a/model.safetensors", specs, {});
    for (const ParamInfo& param : layout_.params())
      writer.Append({weights_.data() + param.offset, static_cast<size_t>(param.size)});
    writer.Append(std::vector<float>(6));
    writer.Commit();
    return MessageOf([&] { EXPECT_EQ(Loaded(dir_ / "a"), weights_); });
  };
  for (const char* copy :
       {"model.layers.2.embed_tokens.weight", "model.layers.2.shared_head.head.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.2.self_attn.rotary_emb.inv_freq"}) {
    EXPECT_EQ(with(copy), "") << copy;
  }
  for (const char* unknown :
       {"model.layers.1.embed_tokens.weight", "model.layers.1.shared_head.head.weight",
        "model.layers.3.shared_head.head.weight", "model.layers.3.self_attn.rotary_emb.inv_freq",
        "lm_head.bias"}) {
    EXPECT_TRUE(Says(with(unknown), fmt::format("'{}' is unknown", unknown)));
  }
  config_.tie_word_embeddings = true;
  layout_ = ParamLayout(config_);
  weights_.assign(static_cast<size_t>(layout_.buffer_size()), 0.0f);
  InitializeWeights(config_, layout_, 1, weights_.data());
  EXPECT_EQ(with("lm_head.weight"), "");
}

TEST_F(CheckpointTest, TrainerStateOfAnotherVersionIsRefused) {
  Publish(1);
  const std::string name = StepDirectory(run(), 1) + "/trainer_state.json";
  WriteFileAtomically(name, R"({"format":"darkhorse-trainer-2","step":1,"state":{}})");
  const auto refusal = [&] {
    return MessageOf([&] { SavedTrainerState(StepDirectory(run(), 1)); });
  };
  EXPECT_EQ(refusal(), name +
                           ": format is 'darkhorse-trainer-2' but this program reads "
                           "'darkhorse-trainer-1'; use the version that wrote it");
  WriteFileAtomically(name, R"({"format":"darkhorse-trainer-1","step":1})");
  EXPECT_EQ(refusal(), name + ": 'state' is missing; the file is damaged");
  PublishPlain(dir_ / "a");
  EXPECT_TRUE(Says(MessageOf([&] { SavedTrainerState(dir_ / "a"); }), "cannot open"));
}

TEST_F(CheckpointTest, KeepsTheNewest) {
  for (const int64_t step : {5, 10, 15, 20}) Publish(step, 2);
  EXPECT_EQ(CheckpointEntries(), 2u);
  EXPECT_EQ(FindLatestCheckpoint(run())->step, 20);
  // A run resumed at 10 publishes 12: what stands beyond 12 is no reason to remove 12 or 10.
  Publish(10);
  Publish(12, 2);
  EXPECT_TRUE(FileExists(StepDirectory(run(), 10)) && FileExists(StepDirectory(run(), 12)));
}

TEST_F(CheckpointTest, LatestFallsBackFromADamagedOne) {
  EXPECT_FALSE(FindLatestCheckpoint(run()).has_value());
  for (const int64_t step : {5, 10, 15}) Publish(step);
  FlipBit(StepDirectory(run(), 15) + "/optimizer.safetensors", 70);
  fs::remove(StepDirectory(run(), 10) + "/checksums.json");
  MakeDirectories(run() + "/checkpoints/step-99");  // not ours
  const auto latest = FindLatestCheckpoint(run());
  ASSERT_TRUE(latest.has_value());
  EXPECT_EQ(latest->step, 5);
  EXPECT_EQ(Loaded(latest->directory)[0], 5.0f);
  ASSERT_EQ(latest->warnings.size(), 2u);
  EXPECT_TRUE(Says(latest->warnings[0], "optimizer.safetensors: damaged"));
  fs::remove(StepDirectory(run(), 5) + "/config.json");
  EXPECT_TRUE(Says(MessageOf([&] { FindLatestCheckpoint(run()); }), "none of the 3"));
}

TEST_F(CheckpointTest, FullDiskLeavesTheOldOnes) {
  Publish(5);
  const int code = InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    Publish(10, 1);
  });
  EXPECT_EQ(code, 2);
  EXPECT_EQ(CheckpointEntries(), 1u);
  EXPECT_EQ(FindLatestCheckpoint(run())->step, 5);
}

// Kills a publication before each of its system steps in turn: what is found afterwards is whole,
// and is the new one only if everything before the rename was done.
TEST_F(CheckpointTest, KilledAnywhereSomethingSoundIsFound) {
  bool finished = false;
  int kills = 0;
  for (int step = 0; !finished; ++step) {
    fs::remove_all(run());
    publication_hook = nullptr;
    Publish(5);
    const int code = InChild([&] {
      steps_to_go = step;
      publication_hook = ExitAfterSteps;
      Publish(10, 1);
    });
    finished = code == 0;
    ASSERT_TRUE(finished || code == 9);
    kills += code == 9;
    const auto latest = FindLatestCheckpoint(run());
    ASSERT_TRUE(latest.has_value());
    EXPECT_TRUE(latest->warnings.empty());
    EXPECT_EQ(Loaded(latest->directory)[0], static_cast<float>(latest->step));
    EXPECT_EQ(SavedTrainerState(latest->directory).step(), latest->step);
    for (const auto& entry : fs::directory_iterator(run() + "/checkpoints")) {
      EXPECT_EQ(entry.path().string().find(".tmp-"), std::string::npos) << "leftover " << entry;
    }
    EXPECT_TRUE(!finished || latest->step == 10);
  }
  EXPECT_GT(kills, 20);
}

TEST_F(CheckpointTest, ReplacingAStepIsAtOnce) {
  Publish(5);
  exit_at = "remove";
  EXPECT_EQ(InChild([&] {
              publication_hook = ExitAt;
              moments_[0] = 7;
              Publish(5);
            }),
            9);
  const auto latest = FindLatestCheckpoint(run());
  std::vector<float> moments(3);
  SavedTrainerState(latest->directory).Read("m", moments);
  EXPECT_EQ(moments[0], 7);
  EXPECT_EQ(CheckpointEntries(), 1u);
}

TEST(TruncateJsonLinesTest, KeepsWholeLinesUpToTheStep) {
  const ScratchDirectory dir;
  const std::string path = dir / "metrics.jsonl";
  TruncateJsonLines(path, 3);
  EXPECT_FALSE(FileExists(path));
  const std::string good = "{\"step\":1,\"loss\":2.50}\n{\"loss\": 2, \"step\": 3}\n";
  WriteFileAtomically(path, good + "{\"step\":4}\n{\"step\":2");
  TruncateJsonLines(path, 3);
  EXPECT_EQ(ReadFile(path), good);
  WriteFileAtomically(path, good + "{\"step\":2}");  // whole but for its end of line: torn
  TruncateJsonLines(path, 3);
  EXPECT_EQ(ReadFile(path), good);
  TruncateJsonLines(path, 0);
  EXPECT_EQ(ReadFile(path), "");
  // What is no line of a step goes too.
  WriteFileAtomically(path,
                      "{\"step\":1.5}\n{\"step\":\"1\"}\n{\"loss\":1}\n[1]\n1\n\n{]\n" + good);
  TruncateJsonLines(path, 9);
  EXPECT_EQ(ReadFile(path), good);
}

TEST_F(CheckpointTest, AConfigThatAsksForMoreThanTheTensorsHoldIsRefusedBeforeAnythingIsAllocated) {
  const std::string directory = dir_ / "model";
  PublishPlain(directory);
  EXPECT_EQ(LoadVerifiedModelConfig(directory), config_);
  ModelConfig large = config_;
  large.vocab_size = int64_t{1} << 24;
  large.hidden_size = int64_t{1} << 13;
  WriteFileAtomically(directory + "/config.json", WriteConfigJson(large, "float32"));
  EXPECT_TRUE(Says(MessageOf([&] { LoadVerifiedModelConfig(directory); }), "config.json"));
  fs::remove(directory + "/checksums.json");
  EXPECT_TRUE(Says(MessageOf([&] { LoadVerifiedModelConfig(directory); }),
                   "has shape [13, 8] where config.json asks for [16777216, 8192]"));
}

TEST_F(CheckpointTest, FingerprintFollowsTheContentAndNotTheName) {
  PublishPlain(dir_ / "a");
  PublishPlain(dir_ / "b");
  EXPECT_EQ(CheckpointFingerprint(dir_ / "a"), CheckpointFingerprint(dir_ / "b"));
  weights_[0] += 1;
  PublishPlain(dir_ / "c");
  EXPECT_NE(CheckpointFingerprint(dir_ / "a"), CheckpointFingerprint(dir_ / "c"));
  for (const char* name : {"a", "b", "c"})
    fs::remove(dir_ / (name + std::string("/checksums.json")));
  EXPECT_EQ(CheckpointFingerprint(dir_ / "a"), CheckpointFingerprint(dir_ / "b"));
  EXPECT_NE(CheckpointFingerprint(dir_ / "a"), CheckpointFingerprint(dir_ / "c"));
}

TEST_F(CheckpointTest, ARunGoesOnOnlyWithItsOwnRecipe) {
  const auto message = [&](const std::string& folder, const std::string& toml) {
    return MessageOf([&] {
      CheckRecipe(folder, toml, /*goes_on=*/true, {"metrics.jsonl", "tokenizer.json"});
      RecordRecipe(folder, toml);
    });
  };
  const std::string recipe = "[model]\na = 1\n\n[train]\na = 2\n";
  EXPECT_EQ(message(run(), recipe), "");
  EXPECT_EQ(message(run(), recipe), "");
  EXPECT_TRUE(Says(message(run(), "[model]\na = 1\n\n[train]\na = 3\n"),
                   "was started with 'a = 2' in [train], now it is 'a = 3'"));
  EXPECT_TRUE(Says(message(run(), "[model]\n"), "whose recipes have 'a' in [model]"));
  // A run that lost its recipe, a checkpoint, prepared data: nothing is written to them.
  MakeDirectories(run() + "/checkpoints");
  fs::remove(run() + "/recipe.toml");
  PublishPlain(dir_ / "model");
  for (const std::string& folder : {run(), std::string(dir_ / "model")}) {
    EXPECT_TRUE(Says(message(folder, recipe), "choose another run directory"));
    EXPECT_FALSE(FileExists(folder + "/recipe.toml"));
  }
  for (const char* name : {"checkpoints", "inputs.json", "metrics.jsonl", "tokenizer.json"}) {
    const std::string folder = dir_ / fmt::format("with {}", name);
    MakeDirectories(folder);
    WriteFileAtomically(folder + "/" + name, "another's");
    EXPECT_TRUE(Says(message(folder, recipe), fmt::format("holds other files ({})", name)));
  }
}

TEST_F(CheckpointTest, ARunGoesOnOnlyWithTheInputsItBeganWith) {
  const auto message = [&](const RunInputs& inputs) {
    return MessageOf([&] { RecordInputs(run(), inputs, /*goes_on=*/true); });
  };
  RecordInputs(run(), {{"train.bin", 1}, {"model", ~uint64_t{0}}}, /*goes_on=*/false);
  EXPECT_EQ(message({{"train.bin", 1}, {"model", ~uint64_t{0}}}), "");
  EXPECT_TRUE(Says(message({{"train.bin", 2}, {"model", ~uint64_t{0}}}), "another train.bin"));
  EXPECT_TRUE(Says(message({{"train.bin", 1}}), "model, which is missing now"));
  EXPECT_TRUE(
      Says(message({{"train.bin", 1}, {"model", ~uint64_t{0}}, {"val.bin", 3}}), "no val.bin"));
  RecordInputs(run(), {{"train.bin", 2}}, /*goes_on=*/false);
  EXPECT_EQ(message({{"train.bin", 2}}), "");
}

}  // namespace
}  // namespace darkhorse
