#include "checkpoint/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "base/scratch_testing.h"
#include "checkpoint/gguf_testing.h"
#include "text/byte_alphabet.h"

namespace darkhorse {
namespace {

using Ids = std::vector<int32_t>;

// The 256 bytes, th 256, the 257, <|im_end|> 258, <s> 259, <|endoftext|> 260, a filler.
struct Example {
  Example() {
    for (int byte = 0; byte < 256; ++byte) {
      tokens.push_back(SpellBytes(std::string(1, static_cast<char>(byte))));
    }
    tokens.insert(tokens.end(), {"th", "the", "<|im_end|>", "<s>", "<|endoftext|>", "[PAD]"});
    types.assign(258, 1);
    types.insert(types.end(), {3, 3, 3, 5});
  }
  // `more` adds keys.
  std::string File(const std::function<void(GgufBuilder&)>& more = {}) const {
    GgufBuilder builder;
    builder.String("tokenizer.ggml.model", model).String("tokenizer.ggml.pre", pre);
    builder.Strings("tokenizer.ggml.tokens", tokens).Ints("tokenizer.ggml.token_type", types);
    builder.Strings("tokenizer.ggml.merges", {"t h", "th e"});
    if (more) more(builder);
    return builder.Build();
  }
  std::string model = "gpt2", pre = "qwen2";
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

struct Loaded {
  explicit Loaded(const std::string& file)
      : contents(ParseGguf(std::as_bytes(std::span(file)), "f")),
        tokenizer(LoadGgufTokenizer(contents.keys)) {
    SetTextEnds(contents.keys, tokenizer, &config);
  }
  GgufContents contents;
  Tokenizer tokenizer;
  ModelConfig config;
};

std::string Error(const std::string& file) {
  return MessageOf([&] { Loaded loaded(file); });
}

TEST(GgufTokenizerTest, IsThatOfTheArrays) {
  const std::string file = Example().File();
  const Loaded loaded(file);
  EXPECT_EQ(loaded.tokenizer.Encode("the<|im_end|>"), (Ids{257, 258}));
  Ids ids;
  loaded.tokenizer.Encode("<|im_end|>", &ids, /*allow_special=*/false);
  EXPECT_EQ(loaded.tokenizer.Decode(ids), "<|im_end|>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 258), 0);
  // No key says where texts end: what is known to end them does.
  EXPECT_EQ(loaded.config.bos_token_id, -1);
  EXPECT_EQ(loaded.config.eos_token_id, -1);
  EXPECT_EQ(loaded.config.stop_token_ids, (std::vector<int64_t>{258, 260}));
}

TEST(GgufTokenizerTest, KeysSayWhereTextsBeginAndEnd) {
  const auto ends = [](GgufBuilder& b) {
    b.Int("tokenizer.ggml.bos_token_id", 259).Int("tokenizer.ggml.eos_token_id", 260);
  };
  Example example;
  std::string file = example.File(ends);
  EXPECT_EQ(Loaded(file).config.bos_token_id, -1);  // Qwen's texts begin with nothing
  EXPECT_EQ(Loaded(file).config.eos_token_id, 260);
  EXPECT_EQ(Loaded(file).config.stop_token_ids, (std::vector<int64_t>{260, 258}));
  EXPECT_EQ(Loaded(file).tokenizer.Encode("the", true), (Ids{257}));
  file = example.File([&](GgufBuilder& b) {
    ends(b);
    b.Bool("tokenizer.ggml.add_bos_token", true).Bool("tokenizer.ggml.add_eos_token", true);
    b.Int("tokenizer.ggml.eot_token_id", 257);
  });
  EXPECT_EQ(Loaded(file).config.bos_token_id, 259);
  EXPECT_EQ(Loaded(file).config.stop_token_ids, (std::vector<int64_t>{260, 257, 258}));
  EXPECT_EQ(Loaded(file).tokenizer.Encode("the", true), (Ids{259, 257, 260}));
  example.pre = "llama-bpe";  // Llama's begin with one, unless the key says otherwise
  file = example.File(ends);
  EXPECT_EQ(Loaded(file).config.bos_token_id, 259);
  EXPECT_EQ(Loaded(file).tokenizer.Encode("the", true), (Ids{259, 257}));
  file = example.File([&](GgufBuilder& b) {
    ends(b);
    b.Bool("tokenizer.ggml.add_bos_token", false);
  });
  EXPECT_EQ(Loaded(file).config.bos_token_id, -1);
}

TEST(GgufTokenizerTest, OneEndTokenIsNoList) {
  Example example;
  example.types[258] = example.types[259] = 1;
  const std::string file =
      example.File([](GgufBuilder& b) { b.Int("tokenizer.ggml.eos_token_id", 260); });
  EXPECT_EQ(Loaded(file).config.stop_token_ids, std::vector<int64_t>{});
}

TEST(GgufTokenizerTest, WhatCannotBeIsNamed) {
  Example example;
  example.model = "llama";
  EXPECT_EQ(Error(example.File()),
            "f: tokenizer.ggml.model is 'llama'; only 'gpt2', byte-level BPE, is supported");
  example = Example();
  example.pre = "tekken";
  EXPECT_EQ(Error(example.File()),
            "f: its tokenizer: its way to cut text into words, 'tekken', is not known; known: "
            "smollm, gpt-2, llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen, deepseek-llm, "
            "deepseek-coder, deepseek-v3");
  example = Example();
  example.types[3] = 7;
  EXPECT_EQ(Error(example.File()),
            "f: key 'tokenizer.ggml.token_type': element 3 is no integer from 1 to 6; convert the "
            "model again");
  example = Example();
  EXPECT_EQ(
      Error(example.File([](GgufBuilder& b) { b.Int("tokenizer.ggml.eos_token_id", 262); })),
      "f: key 'tokenizer.ggml.eos_token_id' is 262, where an integer from 0 to 260 is needed; "
      "convert the model again");
  EXPECT_EQ(Error(GgufBuilder().Build()),
            "f: key 'tokenizer.ggml.model' is missing; convert the model again");
}

// A real file, where there is one: DARKHORSE_MODELS names a folder.
TEST(GgufTokenizerTest, SmolLm2) {
  const char* folder = std::getenv("DARKHORSE_MODELS");
  const std::string path = std::string(folder ? folder : "") + "/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!folder || !FileExists(path)) GTEST_SKIP() << "no " << path;
  const GgufFile file(path);
  const Tokenizer tokenizer = LoadGgufTokenizer(file.keys());
  // As its publisher's tokenizer has them.
  EXPECT_EQ(tokenizer.Encode("Hello world! 123"), (Ids{19556, 905, 17, 216, 33, 34, 35}));
  EXPECT_EQ(tokenizer.Encode("Hello, we can use"), (Ids{19556, 28, 392, 416, 722}));
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  ModelConfig config;
  SetTextEnds(file.keys(), tokenizer, &config);
  EXPECT_EQ(config.bos_token_id, -1);
  EXPECT_EQ(config.eos_token_id, 2);
  EXPECT_EQ(config.stop_token_ids, (std::vector<int64_t>{2, 0, 4}));
}

}  // namespace
}  // namespace darkhorse
