#include "text/tokenizer_parts.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

// Texts and their ids by the package `tokenizers`: tools/make_tokenizer_cuts_golden.py.
TEST(TokenizerPartsTest, EveryWayToCutIsThatOfThePackage) {
  const json golden =
      json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/tokenizer_cuts.json"));
  const auto tokens = golden["tokens"].get<std::vector<std::string>>();
  const auto merges = golden["merges"].get<std::vector<std::string>>();
  EXPECT_EQ(golden["ids"].size(), 8u);
  for (const auto& [name, ids] : golden["ids"].items()) {
    TokenizerParts parts;
    parts.tokens.assign(tokens.begin(), tokens.end());
    parts.types.assign(tokens.size(), TokenType::kNormal);
    parts.types[tokens.size() - 2] = TokenType::kControl;
    parts.types[tokens.size() - 1] = TokenType::kUserDefined;
    parts.merges.assign(merges.begin(), merges.end());
    parts.pre_tokenizer = name;
    const Tokenizer tokenizer = MakeTokenizer(parts, "f");
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::string text = golden["texts"][i];
      EXPECT_EQ(tokenizer.Encode(text), ids[i].get<Ids>()) << name << ": " << text;
    }
    // What is written reads back as the same tokenizer.
    EXPECT_EQ(Tokenizer::FromJson(tokenizer.ToJson(), "written").hash(), tokenizer.hash()) << name;
  }
}

// The 256 bytes; then th 256, the 257, <|end|> 258 (control), <tool> 259 (user-defined), two
// fillers.
struct Example {
  Example() {
    for (int byte = 0; byte < 256; ++byte) {
      texts.push_back(SpellBytes(std::string(1, static_cast<char>(byte))));
    }
    for (const char* text : {"th", "the", "<|end|>", "<tool>", "[PAD260]", "[PAD261]"}) {
      texts.emplace_back(text);
    }
    types.assign(258, TokenType::kNormal);
    types.insert(types.end(), {TokenType::kControl, TokenType::kUserDefined, TokenType::kUnused,
                               TokenType::kUnused});
  }
  Tokenizer Make() const { return MakeTokenizer(Parts(), "f"); }
  std::string Error() const {
    return MessageOf([&] { Make(); });
  }
  TokenizerParts Parts() const {
    TokenizerParts parts;
    parts.tokens.assign(texts.begin(), texts.end());
    parts.types = types;
    parts.merges.assign(merges.begin(), merges.end());
    parts.pre_tokenizer = pre;
    parts.bos_id = bos;
    parts.eos_id = eos;
    return parts;
  }
  std::vector<std::string> texts, merges = {"t h", "th e"};
  std::vector<TokenType> types;
  std::string pre = "gpt-2";
  int32_t bos = -1, eos = -1;
};

TEST(TokenizerPartsTest, TypesSayWhatTokensAre) {
  const Tokenizer tokenizer = Example().Make();
  EXPECT_EQ(tokenizer.Encode("the<|end|><tool>"), (Ids{257, 258, 259}));
  EXPECT_TRUE(tokenizer.IsSpecial(258));
  EXPECT_FALSE(tokenizer.IsSpecial(259));
  EXPECT_FALSE(tokenizer.IsSpecial(257));
  EXPECT_EQ(tokenizer.vocab_size(), 260);  // the fillers are no tokens
  EXPECT_EQ(tokenizer.TokenBytes(260), "");
  EXPECT_EQ(tokenizer.TokenId("[PAD260]"), std::nullopt);
  // A user's text holds neither.
  Ids ids;
  tokenizer.Encode("the<|end|><tool>", &ids, /*allow_special=*/false);
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id >= 258; }), 0);
  EXPECT_EQ(tokenizer.Decode(ids), "the<|end|><tool>");
}

TEST(TokenizerPartsTest, TextsBeginAndEndAsTold) {
  Example example;
  EXPECT_EQ(example.Make().Encode("the", true), (Ids{257}));
  example.bos = 258;
  EXPECT_EQ(example.Make().Encode("the", true), (Ids{258, 257}));
  EXPECT_EQ(example.Make().Encode("the"), (Ids{257}));
  example.eos = 259;
  EXPECT_EQ(example.Make().Encode("the", true), (Ids{258, 257, 259}));
  example.eos = 262;
  EXPECT_EQ(example.Error(),
            "f: the token 262 that texts begin or end with is not among its 262; convert the model "
            "again");
  EXPECT_TRUE(AddsBosByDefault("llama-bpe", "f"));
  EXPECT_FALSE(AddsBosByDefault("qwen2", "f"));
}

TEST(TokenizerPartsTest, AWordThatIsATokenIsThatTokenInLlamas) {
  Example example;
  example.merges = {};
  EXPECT_NE(example.Make().Encode("the"), (Ids{257}));
  example.pre = "llama-bpe";
  EXPECT_EQ(example.Make().Encode("the"), (Ids{257}));
}

TEST(TokenizerPartsTest, UnknownWaysToCutListTheKnown) {
  Example example;
  example.pre = "qwen";
  EXPECT_EQ(
      example.Error(),
      "f: its way to cut text into words, 'qwen', is not known; did you mean 'qwen2'?; known: "
      "smollm, gpt-2, llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen, deepseek-llm, "
      "deepseek-coder, deepseek-v3");
  EXPECT_NE(MessageOf([&] { AddsBosByDefault("qwen", "f"); }), "");
}

TEST(TokenizerPartsTest, PartsThatDoNotFit) {
  Example example;
  example.types.pop_back();
  EXPECT_EQ(example.Error(), "f: has 262 tokens but 261 types of tokens; convert the model again");
  example = Example();
  example.texts[257] = "th";
  EXPECT_EQ(example.Error(), "f: tokens 256 and 257 are both 'th'; convert the model again");
  example = Example();
  example.texts[261] = example.texts[260];  // of fillers nothing is asked
  EXPECT_EQ(example.Error(), "");
  example.texts[257] = "";
  EXPECT_EQ(example.Error(), "f: token 257 is empty; convert the model again");
  example.texts[257] = "\xff";
  EXPECT_EQ(example.Error(), "f: token 257 is no valid UTF-8; convert the model again");
  example = Example();
  example.merges.push_back("\xff a");
  EXPECT_EQ(example.Error(), "f: a merge is no valid UTF-8; convert the model again");
  example.merges.back() = "a";
  EXPECT_NE(example.Error(), "");
  example.merges.back() = "x y";
  EXPECT_NE(example.Error(), "");
}

// However it is made: by its bytes, or by a merge.
TEST(TokenizerPartsTest, PlainTextNeverBecomesAControlToken) {
  Example example;
  example.types[97] = TokenType::kControl;
  EXPECT_EQ(
      example.Error(),
      "f: token 97, 'a', is a control token, but plain text would become it; convert the model "
      "again");
  example = Example();
  example.types[257] = TokenType::kControl;
  EXPECT_EQ(example.Error(),
            "f: token 257, 'the', is a control token, but plain text would become it; convert the "
            "model again");
  // A word that is a token is that token there, but for control tokens.
  example.merges = {"t h"};
  example.pre = "llama-bpe";
  Ids ids;
  example.Make().Encode("the", &ids, /*allow_special=*/false);
  EXPECT_EQ(ids, (Ids{256, 'e'}));
}

// A package that reads what is written gives added tokens behind the vocabulary the next ids.
TEST(TokenizerPartsTest, ControlTokensAmongOthersAreInTheVocabularyToo) {
  Example example;
  std::swap(example.texts[0], example.texts[258]);
  std::swap(example.types[0], example.types[258]);
  const json written = json::parse(example.Make().ToJson());
  EXPECT_TRUE(written["model"]["vocab"].contains("<|end|>"));
  EXPECT_FALSE(written["model"]["vocab"].contains("<tool>"));
  EXPECT_EQ(example.Make().Encode("<|end|>"), (Ids{0}));
}

TEST(TokenizerPartsTest, EndTokensAreKnownByTheirText) {
  Example example;
  EXPECT_EQ(EndTokens(example.Make()), (Ids{258}));
  example.types[258] = TokenType::kNormal;  // plain text, then
  EXPECT_EQ(EndTokens(example.Make()), Ids{});
}

}  // namespace
}  // namespace darkhorse
