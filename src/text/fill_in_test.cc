#include "text/fill_in.h"

#include <gtest/gtest.h>

namespace darkhorse {
namespace {

Tokenizer With(std::vector<std::string> special) {
  TokenizerTrainOptions options;
  options.vocab_size = 280;
  options.special_tokens = std::move(special);
  return TrainTokenizer({"int a = 1;"}, options);
}

TEST(FillIn, TheMarksAreThoseOfTheVocabulary) {
  const std::vector<std::vector<std::string>> families = {
      {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|endoftext|>"},
      {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜end▁of▁sentence｜>"},
      {"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"}};
  for (const auto& family : families) {
    std::vector<std::string> special = family;
    special.push_back("<other>");
    const Tokenizer tokenizer = With(special);
    const auto marks = FillInMarksOf(tokenizer);
    ASSERT_TRUE(marks) << family[0];
    const std::string prompt = FillInPrompt(*marks, "a = ", ";");
    EXPECT_EQ(prompt, family[0] + "a = " + family[1] + ";" + family[2]);
    std::vector<int32_t> ids;
    tokenizer.Encode(prompt, &ids, /*allow_special=*/true);
    EXPECT_EQ(ids.front(), tokenizer.TokenId(family[0]));
    EXPECT_EQ(ids.back(), tokenizer.TokenId(family[2]));
    std::vector<int32_t> ends;
    for (const std::string& end : family) ends.push_back(*tokenizer.TokenId(end));
    EXPECT_EQ(marks->ends, ends);
  }
}

TEST(FillIn, AVocabularyWithoutAllOfThemHasNone) {
  EXPECT_FALSE(FillInMarksOf(With({})));
  EXPECT_FALSE(FillInMarksOf(With({"<|fim_prefix|>", "<|fim_suffix|>"})));
  EXPECT_FALSE(FillInMarksOf(With({"<|fim_prefix|>", "<fim_suffix>", "<｜fim▁end｜>"})));
}

}  // namespace
}  // namespace darkhorse
