// Adapters' folders: what PEFT's say, what is in their model, and what is wrong with them.
#include "checkpoint/adapter_folder.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "checkpoint/checkpoint_testing.h"
#include "checkpoint/checksums.h"
#include "checkpoint/export.h"

namespace darkhorse {
namespace {

using nlohmann::json;

class AdapterFolderTest : public CheckpointTest {
 protected:
  AdapterFolderTest() {
    PublishPlain(base());
    options_.rank = 3;
    options_.targets = {"q_b_proj", "o_proj", "down_proj"};
    Layout(options_);
    files_.adapter = AdapterFiles{
        .base = base(), .base_fingerprint = CheckpointFingerprint(base()), .rank = 3, .alpha = 6};
  }
  void Layout(const AdapterOptions& options) {
    adapter_ = std::make_unique<ParamLayout>(AdapterLayout(config_, options));
    values_.assign(static_cast<size_t>(adapter_->buffer_size()), 0.0f);
    for (const ParamInfo& param : adapter_->params()) {
      for (int64_t i = 0; i < param.size; ++i) {
        values_[static_cast<size_t>(param.offset + i)] =
            static_cast<float>(RandomNormal(3, RandomStream::kTest, param.offset, i));
      }
    }
  }
  std::string base() const { return dir_ / "base"; }
  std::string folder() const { return dir_ / "adapter"; }
  void PublishAdapter() {
    PublishCheckpoint(folder(), config_, *adapter_, values_.data(), files_, nullptr);
  }
  // The same without checksums, its adapter_config.json changed.
  void WithConfig(const std::function<void(json&)>& change) {
    PublishAdapter();
    std::filesystem::remove(folder() + "/checksums.json");
    const std::string path = folder() + kAdapterConfig;
    json config = json::parse(ReadFile(path));
    change(config);
    WriteFileAtomically(path, config.dump());
  }
  std::string Message() const {
    return MessageOf([&] { OpenModel(folder()); });
  }
  // Of the model with the adapter in it, by definition.
  float Merged(const ParamInfo& weight, int64_t index, double scale) const {
    const float w = weights_[static_cast<size_t>(weight.offset + index)];
    const ParamInfo* a = adapter_->Find(LoraName(weight.name, 'A'));
    if (!a) return w;
    const ParamInfo* b = adapter_->Find(LoraName(weight.name, 'B'));
    const int64_t row = index / weight.shape[1], col = index % weight.shape[1];
    float sum = w;
    for (int64_t r = 0; r < a->shape[0]; ++r) {
      const float factor = static_cast<float>(scale) *
                           values_[static_cast<size_t>(b->offset + row * b->shape[1] + r)];
      sum += factor * values_[static_cast<size_t>(a->offset + r * a->shape[1] + col)];
    }
    return sum;
  }
  void ExpectMerged(const std::vector<float>& loaded, double scale) const {
    int64_t changed = 0;
    for (const ParamInfo& param : layout_.params()) {
      for (int64_t i = 0; i < param.size; ++i) {
        const float got = loaded[static_cast<size_t>(param.offset + i)];
        const bool matrix = param.name.ends_with(".weight") && param.shape.size() == 2;
        const float want =
            matrix ? Merged(param, i, scale) : weights_[static_cast<size_t>(param.offset + i)];
        ASSERT_EQ(got, want) << param.name << "[" << i << "]";
        changed += got != weights_[static_cast<size_t>(param.offset + i)];
      }
    }
    EXPECT_GT(changed, 0);
  }

  AdapterOptions options_;
  std::unique_ptr<ParamLayout> adapter_;
  std::vector<float> values_;
};

TEST_F(AdapterFolderTest, AnEmptyPairIsRefused) {
  options_.rank = 0;
  Layout(options_);
  PublishAdapter();
  EXPECT_TRUE(Says(Message(), "it is an adapter of another model"));
}

// Of a base that is there already the path that the folder names is not asked for.
TEST_F(AdapterFolderTest, IsReadForABase) {
  WithConfig([](json& config) { config["base_model_name_or_path"] = "someone/somewhere"; });
  const std::unique_ptr<ModelSource> source = OpenModel(base());
  const AdapterPairs pairs = ReadAdapter(folder(), *source);
  EXPECT_EQ(pairs.files.base, base());
  EXPECT_EQ(pairs.files.scale(), 2);
  EXPECT_EQ(pairs.values, values_);
  EXPECT_EQ(AdapterChatFormat(folder(), *source).chat_template,
            source->ReadChatFormat().chat_template);
  WriteFileAtomically(folder() + "/chat_template.jinja", "own");
  EXPECT_EQ(AdapterChatFormat(folder(), *source).chat_template, "own");
  // But it must be that base.
  weights_[0] += 1;
  files_.adapter.reset();
  PublishPlain(dir_ / "other");
  const std::unique_ptr<ModelSource> other = OpenModel(dir_ / "other");
  const auto message = [&](const std::string& directory) {
    return MessageOf([&] { ReadAdapter(directory, *other); });
  };
  EXPECT_TRUE(Says(message(folder()), "was trained on another model than"));
  EXPECT_TRUE(Says(message(base()), "is no adapter's folder"));
}

TEST_F(AdapterFolderTest, ComesBackAsItWent) {
  PublishAdapter();
  EXPECT_TRUE(IsAdapterFolder(folder()));
  EXPECT_TRUE(IsModelPath(folder()));
  EXPECT_FALSE(IsAdapterFolder(base()));
  const std::unique_ptr<ModelSource> source = OpenModel(folder());
  ASSERT_NE(source->adapter(), nullptr);
  EXPECT_EQ(OpenModel(base())->adapter(), nullptr);
  EXPECT_EQ(source->config(), config_);
  EXPECT_EQ(source->adapter()->base().path(), base());
  EXPECT_EQ(source->adapter()->files().scale(), 2);
  std::vector<float> values(values_.size());
  source->adapter()->ReadValues(values.data());
  EXPECT_EQ(values, values_);
  EXPECT_EQ(source->adapter()->layout().params().size(), adapter_->params().size());
}

// What PEFT reads of it.
TEST_F(AdapterFolderTest, ItsChecksumsMustNameItsMatrices) {
  PublishAdapter();
  const std::string path = folder() + "/checksums.json";
  nlohmann::json sums = nlohmann::json::parse(ReadFile(path));
  sums["files"].erase("adapter_model.safetensors");
  WriteFileAtomically(path, sums.dump());
  EXPECT_TRUE(Says(MessageOf([&] { VerifyChecksums(folder(), Verify::kModel); }),
                   "does not list adapter_model.safetensors; restore it"));
}

// The cure that the error names works, and no other model is taken for the base.
TEST_F(AdapterFolderTest, ItsBaseMayHaveMoved) {
  PublishAdapter();
  std::filesystem::rename(base(), dir_ / "elsewhere");
  EXPECT_TRUE(Says(Message(), "is not there; put its path into base_model_name_or_path"));
  const std::string path = folder() + kAdapterConfig;
  json config = json::parse(ReadFile(path));
  config["base_model_name_or_path"] = dir_ / "elsewhere";
  WriteFileAtomically(path, config.dump());
  EXPECT_EQ(Message(), "");
  EXPECT_TRUE(VerifyChecksums(folder(), Verify::kModel));
  weights_[3] += 1;
  files_.adapter.reset();
  PublishPlain(dir_ / "other");
  config["base_model_name_or_path"] = dir_ / "other";
  WriteFileAtomically(path, config.dump());
  EXPECT_TRUE(Says(Message(), "was trained on another model than"));
}

TEST_F(AdapterFolderTest, SaysWhatPeftReads) {
  PublishAdapter();
  const json config = json::parse(ReadFile(folder() + kAdapterConfig));
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["base_model_name_or_path"], base());
  EXPECT_EQ(config["r"], 3);
  EXPECT_EQ(config["lora_alpha"], 6.0);
  EXPECT_EQ(config["target_modules"], json({"q_b_proj", "o_proj", "down_proj"}));
  const SafetensorsFile tensors(folder() + "/adapter_model.safetensors");
  ASSERT_NE(tensors.Find("base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight"),
            nullptr);
  EXPECT_EQ(tensors.Find("base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight")->shape,
            (std::vector<int64_t>{3, config_.num_attention_heads * config_.v_head_dim}));
}

TEST_F(AdapterFolderTest, IsTheModelWithItsProductsInIt) {
  PublishAdapter();
  ExpectMerged(Loaded(folder()), 2);
  ExportFolder(*OpenModel(folder()), DType::kF32, dir_ / "merged", {});
  ExpectMerged(Loaded(dir_ / "merged"), 2);
}

TEST_F(AdapterFolderTest, TheScaleIsTheFiles) {
  WithConfig([](json& config) { config["lora_alpha"] = 1.5; });
  ExpectMerged(Loaded(folder()), 0.5);
  WithConfig([](json& config) { config["use_rslora"] = true; });
  ExpectMerged(Loaded(folder()), 6 / std::sqrt(3.0));
}

TEST_F(AdapterFolderTest, ItsBaseIsWhereItSaysOrBesideIt) {
  WithConfig([](json& config) { config["base_model_name_or_path"] = "../base"; });
  EXPECT_EQ(OpenModel(folder())->adapter()->base().path(), base());
  WithConfig([](json& config) { config["base_model_name_or_path"] = "Qwen/Qwen2.5-0.5B"; });
  const std::string message = Message();
  EXPECT_NE(message.find("'Qwen/Qwen2.5-0.5B' is not there"), std::string::npos) << message;
  EXPECT_NE(message.find("base_model_name_or_path"), std::string::npos) << message;
}

TEST_F(AdapterFolderTest, AnotherBaseIsRefused) {
  PublishAdapter();
  weights_[0] += 1;
  PublishCheckpoint(base(), config_, layout_, weights_.data(), {}, nullptr);
  EXPECT_NE(Message().find("was trained on another model"), std::string::npos) << Message();
  // Another program's adapter does not say which it was.
  files_.adapter->base_fingerprint.reset();
  PublishAdapter();
  EXPECT_EQ(Message(), "");
}

TEST_F(AdapterFolderTest, WhatIsNotReadIsRefused) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, json>>{{"peft_type", "IA3"},
                                                 {"lora_bias", true},
                                                 {"fan_in_fan_out", true},
                                                 {"bias", "all"},
                                                 {"modules_to_save", {"lm_head"}},
                                                 {"rank_pattern", {{"q_proj", 8}}},
                                                 {"alpha_pattern", {{"q_proj", 8}}},
                                                 {"trainable_token_indices", {1, 2}}}) {
    WithConfig([&](json& config) { config[key] = value; });
    EXPECT_NE(Message().find(key), std::string::npos) << key << ": " << Message();
  }
  WithConfig([](json& config) { config["peft_type"] = "IA\n3"; });
  EXPECT_TRUE(Says(Message(), "peft_type is 'IA\\n3', which is not read here")) << Message();
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{
           {"r", 0}, {"r", "8"}, {"lora_alpha", 0}, {"lora_alpha", "x"}, {"peft_type", 3}}) {
    WithConfig([&](json& config) { config[key] = value; });
    EXPECT_NE(Message().find(key), std::string::npos) << key << ": " << Message();
  }
  // What a program that knows more than we do writes where it is not used.
  WithConfig([](json& config) {
    config["rank_pattern"] = json::object();
    config["modules_to_save"] = nullptr;
    config["use_dora"] = false;
    config["eva_config"] = nullptr;
  });
  EXPECT_EQ(Message(), "");
}

// Each row of W + scale * B . A brought to its magnitude.
TEST_F(AdapterFolderTest, MagnitudesAreInTheModel) {
  options_.dora = true;
  Layout(options_);
  files_.adapter->dora = true;
  PublishAdapter();
  const json config = json::parse(ReadFile(folder() + kAdapterConfig));
  EXPECT_EQ(config["use_dora"], true);
  EXPECT_EQ(config["target_modules"], json(options_.targets));
  const std::unique_ptr<ModelSource> source = OpenModel(folder());
  EXPECT_TRUE(source->adapter()->files().dora);
  std::vector<float> values(values_.size());
  source->adapter()->ReadValues(values.data());
  EXPECT_EQ(values, values_);
  const std::vector<float> loaded = Loaded(folder());
  int64_t rows = 0;
  for (const ParamInfo& weight : layout_.params()) {
    if (!weight.name.ends_with(".weight") || weight.shape.size() != 2) continue;
    const ParamInfo* magnitude = adapter_->Find(MagnitudeName(weight.name));
    const int64_t in = weight.shape[1];
    for (int64_t row = 0; row < weight.shape[0]; ++row) {
      double squares = 0;
      for (int64_t k = 0; k < in; ++k) squares += std::pow(Merged(weight, row * in + k, 2), 2);
      for (int64_t k = 0; k < in; ++k) {
        const double sum = Merged(weight, row * in + k, 2);
        const double want = magnitude ? sum / std::sqrt(squares) *
                                            values_[static_cast<size_t>(magnitude->offset + row)]
                                      : sum;
        // The norm, its quotient and the product are rounded.
        EXPECT_NEAR(loaded[static_cast<size_t>(weight.offset + row * in + k)], want,
                    3 * 0x1p-24 * std::abs(want) * 1.01);
      }
      rows += magnitude != nullptr;
    }
  }
  EXPECT_GT(rows, 0);
  // Without them it is another kind of adapter, and they without it.
  WithConfig([](json& changed) { changed["use_dora"] = false; });
  EXPECT_NE(Message().find("lora_magnitude_vector' is of no linear layer"), std::string::npos)
      << Message();
  options_.dora = false;
  Layout(options_);
  PublishAdapter();
  EXPECT_NE(Message().find("lora_magnitude_vector is missing"), std::string::npos) << Message();
}

TEST_F(AdapterFolderTest, TensorsOfAnotherModelAreRefused) {
  const auto write = [&](std::vector<TensorSpec> specs) {
    PublishAdapter();
    std::filesystem::remove(folder() + "/checksums.json");
    const std::vector<float> zeros(1 << 16);
    SafetensorsWriter writer(folder() + "/adapter_model.safetensors", specs, {});
    for (const TensorSpec& spec : specs) {
      int64_t size = 1;
      for (const int64_t extent : spec.shape) size *= extent;
      writer.Append({zeros.data(), static_cast<size_t>(size)});
    }
    writer.Commit();
    return Message();
  };
  const std::string prefix = "base_model.model.model.layers.0.self_attn.o_proj.";
  const int64_t in = config_.num_attention_heads * config_.v_head_dim, out = config_.hidden_size;
  const TensorSpec a{prefix + "lora_A.weight", DType::kF32, {2, in}};
  const TensorSpec b{prefix + "lora_B.weight", DType::kF32, {out, 2}};
  EXPECT_EQ(write({a, b}), "");
  EXPECT_NE(write({a}).find("lora_B is missing"), std::string::npos);
  EXPECT_NE(write({b}).find("lora_A is missing"), std::string::npos);
  EXPECT_NE(write({}).find("holds no tensor"), std::string::npos);
  TensorSpec wrong = a;
  wrong.shape = {2, in + 1};
  EXPECT_NE(write({wrong, b}).find("adapter of another model"), std::string::npos);
  wrong = b;
  wrong.shape = {out, 3};
  EXPECT_NE(write({a, wrong}).find("adapter of another model"), std::string::npos);
  wrong = a;
  wrong.name = "base_model.model.model.layers.99.self_attn.o_proj.lora_A.weight";
  EXPECT_NE(write({a, b, wrong}).find("is of no linear layer"), std::string::npos);
}

TEST_F(AdapterFolderTest, NumbersThatAreNotFiniteAreRefused) {
  values_[0] = NAN;
  PublishAdapter();
  EXPECT_NE(Message().find("not finite"), std::string::npos) << Message();
}

TEST_F(AdapterFolderTest, AnAdapterOfAnAdapterIsRefused) {
  PublishAdapter();
  files_.adapter->base = folder();
  files_.adapter->base_fingerprint.reset();
  PublishCheckpoint(dir_ / "second", config_, *adapter_, values_.data(), files_, nullptr);
  const std::string message = MessageOf([&] { OpenModel(dir_ / "second"); });
  EXPECT_NE(message.find("is an adapter itself"), std::string::npos) << message;
}

TEST_F(AdapterFolderTest, DamageIsFound) {
  PublishAdapter();
  FlipBit(folder() + "/adapter_model.safetensors", 2000);
  EXPECT_NE(Message().find("damaged"), std::string::npos) << Message();
}

}  // namespace
}  // namespace darkhorse
