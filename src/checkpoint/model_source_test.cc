// Models as their files have them: folders of this program and of others, and GGUF files.
#include "checkpoint/model_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_json.h"
#include "checkpoint/gguf_testing.h"
#include "text/byte_alphabet.h"

namespace darkhorse {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The 256 bytes, <s> = 256, </s> = 257.
json TokenizerFile() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[SpellBytes(std::string(1, static_cast<char>(byte)))] = byte;
  json added = json::array();
  for (const auto& [id, content] : {std::pair(256, "<s>"), {257, "</s>"}}) {
    added.push_back({{"id", id},
                     {"content", content},
                     {"special", true},
                     {"normalized", false},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false}});
  }
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}},
          {"added_tokens", added},
          {"pre_tokenizer", bytes},
          {"decoder", bytes}};
}

json Starting(json tokenizer, const char* with) {
  tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", with}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", json::array()},
      {"special_tokens", {{with, {{"id", with}, {"ids", {256}}, {"tokens", {with}}}}}}};
  return tokenizer;
}

class ModelSourceTest : public testing::Test {
 protected:
  ModelSourceTest() {
    ModelConfig& c = config_;
    c.model_type = "llama";
    c.vocab_size = 260;
    c.hidden_size = 8;
    c.num_hidden_layers = 1;
    c.num_attention_heads = 2;
    c.kv_lora_rank = c.qk_nope_head_dim = c.qk_rope_head_dim = c.v_head_dim = 0;
    c.num_key_value_heads = 1;
    c.head_dim = 4;
    c.rope_interleave = false;
    c.intermediate_size = 12;
    c.first_k_dense_replace = 1;
    c.n_routed_experts = c.n_shared_experts = c.num_experts_per_tok = c.moe_intermediate_size = 0;
    c.scoring_func = "softmax";
    c.topk_method = "greedy";
    c.norm_topk_prob = false;
    c.tie_word_embeddings = true;
    c.bos_token_id = 256;
    c.eos_token_id = 257;
  }

  // A folder as another program writes it.
  std::string Foreign(const json& tokenizer, DType dtype = DType::kF32) {
    const ParamLayout layout(config_);
    weights_.resize(static_cast<size_t>(layout.buffer_size()));
    InitializeWeights(config_, layout, 3, weights_.data());
    ModelFiles files;
    files.dtype = dtype;
    files.tokenizer_json = tokenizer.dump();
    const std::string folder = scratch_ / "model";
    PublishCheckpoint(folder, config_, layout, weights_.data(), files, nullptr);
    fs::remove(folder + "/checksums.json");
    fs::remove(folder + "/tokenizer_config.json");
    return folder;
  }
  static int64_t StartOf(const std::string& folder) {
    const auto source = OpenModel(folder);
    return source->TextConfig(source->ReadTokenizer()).bos_token_id;
  }

  ScratchDirectory scratch_;
  ModelConfig config_;
  std::vector<float> weights_;
};

TEST_F(ModelSourceTest, ATextBeginsAsAPublishedTokenizerSays) {
  const std::string plain = Foreign(TokenizerFile());
  EXPECT_EQ(StartOf(plain), -1);  // whatever config.json calls bos
  WriteFileAtomically(plain + "/tokenizer_config.json",
                      R"({"add_bos_token": true, "bos_token": {"content": "<s>"}})");
  EXPECT_EQ(StartOf(plain), 256);
  const std::string starting = Foreign(Starting(TokenizerFile(), "<s>"));
  EXPECT_EQ(StartOf(starting), 256);
  WriteFileAtomically(starting + "/tokenizer_config.json",
                      R"({"add_bos_token": false, "bos_token": "<s>"})");
  EXPECT_EQ(StartOf(starting), -1);
}

TEST_F(ModelSourceTest, ATextOfAnOwnModelBeginsAsItsConfigSays) {
  const std::string folder = Foreign(TokenizerFile());
  EXPECT_FALSE(IsOwnFolder(folder));
  WriteChecksums(folder);
  EXPECT_TRUE(IsOwnFolder(folder));
  EXPECT_EQ(StartOf(folder), 256);
}

TEST_F(ModelSourceTest, AChatTemplateIsFoundWhereverItStands) {
  const std::string folder = Foreign(TokenizerFile());
  const auto found = [&](const json& tokenizer_config) {
    WriteFileAtomically(folder + "/tokenizer_config.json", tokenizer_config.dump());
    return OpenModel(folder)->ReadChatFormat();
  };
  EXPECT_EQ(OpenModel(folder)->ReadChatFormat().chat_template, "");
  EXPECT_EQ(found({{"chat_template", "A"}, {"eos_token", "</s>"}}).chat_template, "A");
  EXPECT_EQ(found({{"eos_token", "</s>"}, {"bos_token", {{"content", "<s>"}}}}).bos_token, "<s>");
  const json several = {{{"name", "tool_use"}, {"template", "T"}},
                        {{"name", "default"}, {"template", "D"}}};
  EXPECT_EQ(found({{"chat_template", several}}).chat_template, "D");
  WriteFileAtomically(folder + "/chat_template.jinja", std::string_view("J"));
  EXPECT_EQ(found({{"chat_template", "A"}}).chat_template, "J");
}

TEST_F(ModelSourceTest, AChatTemplateGoesWithACheckpoint) {
  Foreign(TokenizerFile());
  ModelFiles files;
  files.tokenizer_json = TokenizerFile().dump();
  files.chat_template = "{{ messages[0].content }}";
  PublishCheckpoint(scratch_ / "with", config_, ParamLayout(config_), weights_.data(), files,
                    nullptr);
  EXPECT_EQ(OpenModel(scratch_ / "with")->ReadChatFormat().chat_template, files.chat_template);
}

TEST_F(ModelSourceTest, IdsWithoutATextAreSilent) {
  const Tokenizer tokenizer = OpenModel(Foreign(TokenizerFile()))->ReadTokenizer();
  EXPECT_EQ(tokenizer.SilentIds(258), nullptr);
  EXPECT_EQ(*tokenizer.SilentIds(260), (std::vector<int32_t>{258, 259}));
}

// Rows alone, as numbers and as they lie, are those of the whole.
TEST_F(ModelSourceTest, RowsAreThoseOfTheTensor) {
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    const auto source = OpenModel(Foreign(TokenizerFile(), dtype));
    const ParamLayout layout(config_);
    std::vector<float> whole(static_cast<size_t>(layout.buffer_size()), 7);
    ReadWeights(*source, layout, whole.data());
    if (dtype == DType::kF32) {
      EXPECT_EQ(whole, weights_);
    }
    const ParamInfo& embedding = *layout.Find("model.embed_tokens.weight");
    const StoredRows stored = source->Rows(embedding);
    ASSERT_TRUE(stored.type && stored.in_order);
    for (const int64_t row : {0, 101, 259}) {
      std::vector<float> read(8), decoded(8);
      source->ReadRows(embedding, row, 1, read.data());
      stored.type->decode(stored.row(row), 8, decoded.data());
      const auto first = whole.begin() + embedding.offset + row * 8;
      EXPECT_EQ(read, std::vector<float>(first, first + 8));
      EXPECT_EQ(decoded, read);
    }
  }
}

TEST_F(ModelSourceTest, WhatIsNoModelIsSaid) {
  EXPECT_TRUE(Says(MessageOf([&] { OpenModel(scratch_ / "none"); }), "none"));
  WriteFileAtomically(scratch_ / "text.gguf", std::string_view("no model at all"));
  EXPECT_TRUE(Says(MessageOf([&] { OpenModel(scratch_ / "text.gguf"); }), "text.gguf"));
}

// What is no model is told by what it is.
TEST(OpenModel, SaysWhatAFileIsInstead) {
  const ScratchDirectory dir;
  const auto refusal = [&](const std::string& name, const std::string& text) {
    const std::string path = dir.Write(name, text);
    EXPECT_EQ(IsModelPath(path), path.ends_with(".gguf") || path.ends_with(".safetensors"));
    EXPECT_FALSE(IsGgufPath(path));
    const std::string message = MessageOf([&] { OpenModel(path); });
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    return message.substr(path.size() + 2);
  };
  EXPECT_EQ(refusal("a.gguf", ""), "is empty; fetch it again");
  EXPECT_EQ(refusal("b.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:12\n"),
            "is Git LFS's pointer to the file, not the file; fetch it with `git lfs pull`");
  EXPECT_EQ(refusal("c.gguf", "<!doctype html><html>"),
            "is a web page, not a model; fetch the file that the page is about");
  const std::string part =
      "is one file of a model; name the folder that holds it with config.json and the rest";
  EXPECT_EQ(refusal("d.safetensors", "garbage"), part);
  EXPECT_EQ(refusal("e.bin", std::string("\x40\0\0\0\0\0\0\0", 8) + "{\"a\":{}}"), part);
  EXPECT_EQ(refusal("g.gguf", "GGU"),
            "does not begin with 'GGUF', so it is no GGUF file; name one, or the folder of a "
            "checkpoint");
}

}  // namespace
}  // namespace darkhorse
