#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint_testing.h"
#include "checkpoint/checksums.h"
#include "checkpoint/config_json.h"
#include "checkpoint/run_directory.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;

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

// More than are written at once, to the bit, and read as bf16 alone.
TEST_F(CheckpointTest, TensorsOfTheTrainerMayBeRounded) {
  std::vector<Bf16> rounded((1 << 16) + 5);
  for (size_t i = 0; i < rounded.size(); ++i)
    rounded[i] = RoundToBf16(static_cast<float>(i) * 0.37f - 9000);
  TrainerState state = State(1);
  state.rounded = {{"r", rounded}};
  PublishStep(run(), 9, config_, layout_, weights_.data(), files_, state);
  const SavedTrainerState saved(StepDirectory(run(), 1));
  std::vector<Bf16> got(rounded.size());
  saved.Read("r", got);
  for (size_t i = 0; i < rounded.size(); ++i) ASSERT_EQ(got[i].bits, rounded[i].bits) << i;
  std::vector<float> moments(moments_.size());
  saved.Read("m", moments);
  EXPECT_EQ(moments, moments_);
  std::vector<float> wide(rounded.size());
  EXPECT_TRUE(Says(MessageOf([&] { saved.Read("r", wide); }), "is BF16 where F32 is needed"));
  got.resize(moments_.size());
  EXPECT_TRUE(Says(MessageOf([&] { saved.Read("m", got); }), "is F32 where BF16 is needed"));
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
  config_.tie_word_embeddings = false;
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
    fs::remove(dir_ / "a/checksums.json");
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
  const auto reshape = [&] {
    layout_ = ParamLayout(config_);
    weights_.assign(static_cast<size_t>(layout_.buffer_size()), 0.0f);
    InitializeWeights(config_, layout_, 1, weights_.data());
  };
  config_.tie_word_embeddings = true;
  reshape();
  EXPECT_EQ(with("lm_head.weight"), "");
  config_.num_nextn_predict_layers = 2;  // layers 2 and 3
  reshape();
  for (const char* copy :
       {"model.layers.3.embed_tokens.weight", "model.layers.3.shared_head.head.weight",
        "model.layers.3.self_attn.rotary_emb.inv_freq"}) {
    EXPECT_EQ(with(copy), "") << copy;
  }
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

}  // namespace
}  // namespace darkhorse
