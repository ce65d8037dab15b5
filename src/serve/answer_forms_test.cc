#include "serve/answer_forms.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "base/random.h"
#include "pipeline/loaded_model.h"
#include "text/stream.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

Tokenizer Bytes() {
  return TrainTokenizer(std::vector<std::string>{"{\"a\": 1, \"b\": [true, null]}, {\"a\": 2}"},
                        {.vocab_size = 320, .special_tokens = {"<|end|>", "<think>", "</think>"}});
}

const Json& Person() {
  static const Json schema = Json::parse(R"({"type":"object","properties":{
      "name":{"type":"string"},"age":{"type":"integer"},"code":{"type":"string","maxLength":8},
      "kind":{"enum":["a","b","abc"]},"friends":{"type":"array","items":{"$ref":"#"}},
      "note":{"anyOf":[{"type":"string"},{"type":"null"}]}},"required":["name","friends"],
      "additionalProperties":{"type":"number"}})");
  return schema;
}

// Along random answers the mask is what each token by itself, tried byte by byte, says.
void CheckMasks(const Tokenizer& tokenizer, AnswerForms& forms, const AnswerForms::Form& form,
                int steps, uint64_t seed) {
  const TokenConstraint constraint{forms.Make(form), ""};
  TokenMask mask(constraint);
  ByteGrammarReader reader(constraint.grammar->grammar());
  auto state = reader.Start();
  RandomSequence random(seed, RandomStream::kTest, 0);
  for (int step = 0; step < steps; ++step) {
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      auto next = state;
      for (const char byte : tokenizer.TokenBytes(id))
        next = reader.Next(next, static_cast<uint8_t>(byte));
      const bool may = next != ByteGrammarReader::kDead && !tokenizer.TokenBytes(id).empty() &&
                       tokenizer.TokenBytes(id).size() <= TokenTree::kLongest &&
                       !IsHiddenFromPeople(tokenizer, id);
      // Long tokens may be left out where something is counted.
      const bool is = mask.Allowed().Has(id);
      const bool is_long = tokenizer.TokenBytes(id).size() > TokenGrammar::kCountedBytes;
      ASSERT_TRUE(is == may || (may && is_long)) << step << " " << id;
      if (may) allowed.push_back(id);
    }
    ASSERT_EQ(mask.may_end(), reader.MayEnd(state));
    if (allowed.empty()) break;
    const int32_t token = allowed[random.Below(allowed.size())];
    ASSERT_TRUE(mask.Read(token));
    for (const char byte : tokenizer.TokenBytes(token))
      state = reader.Next(state, static_cast<uint8_t>(byte));
  }
}

AnswerForms::Form FormOf(const Json& schema, AnswerThought thought) {
  AnswerForms::Form form;
  form.schema = schema;
  form.thought = thought;
  return form;
}

TEST(AnswerForms, MasksAreWhatEachTokenByItselfSays) {
  const Tokenizer tokenizer = Bytes();
  AnswerForms forms(tokenizer, {0}, {});
  for (uint64_t seed = 0; seed < 5; ++seed) {
    CheckMasks(tokenizer, forms, FormOf(Person(), AnswerThought::kAllowed), 150, seed);
    CheckMasks(tokenizer, forms, FormOf({{"type", "object"}}, AnswerThought::kNone), 150, seed);
  }
}

// A published vocabulary of 150 thousand tokens.
TEST(AnswerForms, MasksOfAPublishedVocabulary) {
  const char* folder = std::getenv("DARKHORSE_MODELS");
  if (!folder) GTEST_SKIP() << "DARKHORSE_MODELS names no folder";
  const std::string path = std::string(folder) + "/Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const Tokenizer tokenizer = OpenedModel(path).tokenizer();
  AnswerForms forms(tokenizer, {}, {});
  for (uint64_t seed = 0; seed < 3; ++seed) {
    CheckMasks(tokenizer, forms, FormOf(Person(), AnswerThought::kAllowed), 10, seed);
    CheckMasks(tokenizer, forms, FormOf({{"type", "object"}}, AnswerThought::kNone), 10, seed);
  }
}

TEST(AnswerForms, OneFormIsMadeOnce) {
  const Tokenizer tokenizer = Bytes();
  AnswerForms forms(tokenizer, {}, {});
  const auto first = forms.Make(FormOf(Person(), AnswerThought::kNone));
  EXPECT_EQ(forms.Make(FormOf(Person(), AnswerThought::kNone)), first);
  EXPECT_NE(forms.Make(FormOf(Person(), AnswerThought::kOpen)), first);
  EXPECT_NE(forms.Make(FormOf({{"type", "object"}}, AnswerThought::kNone)), first);
  for (int i = 0; i < 16; ++i) forms.Make(FormOf({{"const", i}}, AnswerThought::kNone));
  EXPECT_NE(forms.Make(FormOf(Person(), AnswerThought::kNone)), first);  // it had been let go
}

TEST(AnswerForms, ADocumentOrACallWhereBothMayBe) {
  const Tokenizer tokenizer = Bytes();
  AnswerForms forms(tokenizer, {}, {});
  AnswerForms::Form form = FormOf({{"type", "integer"}}, AnswerThought::kNone);
  form.tools = {{"f", nullptr}};
  form.format = ToolCallFormat::kTagged;
  const auto takes = [&](std::string_view text) {
    TokenMask mask({forms.Make(form), ""});
    mask.Read(text);
    return mask.may_end();
  };
  const char* call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(takes("12"));
  EXPECT_TRUE(takes(call));
  form.schema = nullptr;
  EXPECT_FALSE(takes("12"));
  EXPECT_TRUE(takes(call));
}

TEST(AnswerForms, WhatNothingSatisfiesIsRefused) {
  const Tokenizer tokenizer = Bytes();
  AnswerForms forms(tokenizer, {}, {});
  const auto refusal = [&](const char* schema) -> std::string {
    try {
      forms.Make(FormOf(Json::parse(schema), AnswerThought::kNone));
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  };
  EXPECT_EQ(refusal(R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})"),
            "the schema cannot be used: no finite text can satisfy it");
  EXPECT_EQ(refusal(R"({"properties":{"a":{"not":{}}}})"),
            "the schema at #/properties/a: 'not' is not supported; leave it out");
}

}  // namespace
}  // namespace darkhorse
