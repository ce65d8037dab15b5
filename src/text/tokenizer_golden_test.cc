// Ids of the `tokenizers` package, made by tools/make_tokenizer_golden.py.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

const json& Golden() {
  static const json golden =
      json::parse(ReadFile(DARKHORSE_SOURCE_DIR "/tests/golden/tokenizer_ids.json"));
  return golden;
}

// What must come back: NFC of each valid stretch if the tokenizer normalises, and every broken
// byte.
std::string Expected(std::string_view text, const std::string& tokenizer) {
  if (tokenizer != "qwen3") return std::string(text);
  std::string out;
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    std::string buffer;
    out += Normalize({NormalForm::kNfc}, text.substr(0, valid), &buffer);
    if (valid < text.size()) out += text[valid];
    text.remove_prefix(std::min(valid + 1, text.size()));
  }
  return out;
}

TEST(TokenizerGolden, SmallTokenizers) {
  for (const json& item : Golden()["small"]) {
    json spec = item["spec"];
    const auto extra = spec["vocab"].get<std::vector<std::string>>();
    const json merges = spec["merges"];
    const bool ignore_merges = spec["ignore_merges"];
    const std::string text = SmallTokenizerJson(spec, extra, merges, ignore_merges).dump();
    const Tokenizer tokenizer = Tokenizer::FromJson(text, "golden");
    const Tokenizer rewritten = Tokenizer::FromJson(tokenizer.ToJson(), "rewritten");
    for (size_t i = 0; i < item["ids"].size(); ++i) {
      const std::string input = Golden()["small_texts"][i];
      const Ids expected = item["ids"][i];
      EXPECT_EQ(tokenizer.Encode(input, true), expected) << item["name"] << ": " << input;
      EXPECT_EQ(rewritten.Encode(input, true), expected) << item["name"] << ": " << input;
      if (item["decoded"][i].is_null()) continue;
      EXPECT_EQ(tokenizer.Decode(expected, /*skip_special_tokens=*/true), item["decoded"][i])
          << item["name"] << ": " << input;
    }
    EXPECT_EQ(tokenizer.hash(), rewritten.hash()) << item["name"];
  }
}

class Published : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = PublishedDirectory(GetParam());
    if (!FileExists(directory_ + "/tokenizer.json")) GTEST_SKIP() << directory_ << " is absent";
  }
  std::string directory_;
};

TEST_P(Published, SameIdsAndTextBack) {
  const Tokenizer tokenizer = Tokenizer::Load(directory_);
  const json& texts = Golden()["texts"];
  const json& all_ids = Golden()["published"][GetParam()];
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    const Ids ids = tokenizer.Encode(text);
    EXPECT_EQ(ids, all_ids[i].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.Decode(ids), Expected(text, GetParam()));
  }
  const Tokenizer rewritten = Tokenizer::FromJson(tokenizer.ToJson(), "rewritten");
  EXPECT_EQ(rewritten.ToJson(), tokenizer.ToJson());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(rewritten.Encode(texts[i].get<std::string>()), all_ids[i].get<Ids>());
  }
}

TEST_P(Published, EveryByteStringComesBack) {
  const Tokenizer tokenizer = Tokenizer::Load(directory_);
  for (uint64_t n = 0; n < 3000; ++n) {
    const std::string text = RandomBytes(n);
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), Expected(text, GetParam())) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(TokenizerGolden, Published, testing::Values("deepseek_v3", "qwen3"));

}  // namespace
}  // namespace darkhorse
