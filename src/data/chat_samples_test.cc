#include "data/chat_samples.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/scratch_testing.h"
#include "text/tokenizer_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using Json = nlohmann::ordered_json;
using Ids = std::vector<int32_t>;

enum : int32_t { kStart = 256, kEnd, kBos, kEos, kThink, kThinkEnd, kAnswer, kAnswerEnd };

// Tags of thoughts and answers are tokens, though none that ends anything.
Tokenizer ChatTokenizer() {
  json added = json::array();
  std::vector<std::string> extra;
  for (const char* content : {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "<think>", "</think>",
                              "<answer>", "</answer>"}) {
    const auto id = static_cast<int32_t>(256 + extra.size());
    added.push_back(
        {{"id", id}, {"content", content}, {"special", id < kThink}, {"normalized", false}});
    extra.emplace_back(content);
  }
  return Tokenizer::FromJson(
      SmallTokenizerJson({{"added_tokens", added}}, extra, json::array()).dump(), "small");
}

// As SmolLM2's, Qwen's and many others'.
constexpr char kChatMl[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// A thought stays with the last answer alone, as in Qwen3.
constexpr char kThinking[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if loop.last and m.role == 'assistant' %}<think>\n{{ m.reasoning_content }}\n</think>\n\n"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// No thought is kept, and the prompt opens one, as in R1's distillations.
constexpr char kOpening[] =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% else %}"
    "A:{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:<think>\n{% endif %}";

class ChatSamplesTest : public testing::Test {
 protected:
  ChatEncoder Encoder(const std::string& chat_template, Ids stops = {kEnd, kEos}) const {
    return ChatEncoder(tokenizer_,
                       {.chat_template = chat_template,
                        .bos_token = "<s>",
                        .eos_token = "</s>",
                        .bos = chat_template == kOpening || chat_template.empty() ? kBos : -1,
                        .eos = kEos,
                        .stops = std::move(stops)},
                       "model");
  }
  // Each sample's text, what is learned in brackets.
  std::vector<std::string> Learned(ChatEncoder encoder, const Json& messages) const {
    std::vector<std::string> texts;
    for (const ChatSample& sample : encoder.Encode({messages, nullptr})) {
      std::string text;
      int64_t at = 0;
      const auto add = [&](int64_t end) {
        text += tokenizer_.Decode(std::span(sample.tokens).subspan(at, end - at));
        at = end;
      };
      for (const TokenRange& range : sample.answers) {
        EXPECT_GT(range.begin, std::max<int64_t>(0, at - 1));
        add(range.begin);
        text += "[";
        add(range.end);
        text += "]";
      }
      EXPECT_EQ(at, static_cast<int64_t>(sample.tokens.size()));  // nothing behind the last
      texts.push_back(text);
    }
    return texts;
  }

  const Tokenizer tokenizer_ = ChatTokenizer();
};

Json Said(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}
Json Thought(const std::string& thought, const std::string& content) {
  return {{"role", "assistant"}, {"content", content}, {"reasoning_content", thought}};
}
using Texts = std::vector<std::string>;

// What a scan of the tokens finds between the assistant's marks, the end mark included.
std::vector<TokenRange> Scanned(const Tokenizer& tokenizer, const Ids& tokens) {
  const Ids head = tokenizer.Encode("<|im_start|>assistant\n");
  std::vector<TokenRange> ranges;
  for (auto at = tokens.begin();;) {
    at = std::search(at, tokens.end(), head.begin(), head.end());
    if (at == tokens.end()) return ranges;
    const auto begin = at + static_cast<int64_t>(head.size());
    at = std::find(begin, tokens.end(), kEnd) + 1;
    ranges.push_back({begin - tokens.begin(), at - tokens.begin()});
  }
}

TEST_F(ChatSamplesTest, AConversationIsOneSampleWhoseAnswersAreLearned) {
  const Json messages = {Said("system", "s"), Said("user", "q"),      Said("assistant", "a\n"),
                         Said("user", "Q"),   Said("assistant", "A"), Said("user", "no answer")};
  ChatEncoder encoder = Encoder(kChatMl);
  EXPECT_EQ(Learned(encoder, messages),
            Texts{"<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
                  "<|im_start|>assistant\n[a\n<|im_end|>]\n<|im_start|>user\nQ<|im_end|>\n"
                  "<|im_start|>assistant\n[A<|im_end|>]"});
  const std::vector<ChatSample> samples = encoder.Encode({messages, nullptr});
  EXPECT_EQ(samples.at(0).answers, Scanned(tokenizer_, samples[0].tokens));
  EXPECT_EQ(std::ranges::count(samples[0].tokens, kEnd), 5);
  EXPECT_TRUE(encoder.new_stops().empty());
}

TEST_F(ChatSamplesTest, TextIsNeverAControlToken) {
  const Json messages = {Said("user", "<|im_end|>"), Said("assistant", "x<|im_end|>\n<think>y")};
  const std::vector<ChatSample> samples = Encoder(kChatMl).Encode({messages, nullptr});
  EXPECT_EQ(std::ranges::count(samples.at(0).tokens, kEnd), 2);
  EXPECT_EQ(std::ranges::count(samples[0].tokens, kThink), 0);
  EXPECT_EQ(samples[0].tokens.back(), kEnd);
  EXPECT_EQ(samples[0].answers.size(), 1u);
}

TEST_F(ChatSamplesTest, ATemplateThatDropsEarlierThoughtsMakesASampleOfEachTurn) {
  const Json messages = {Said("user", "q"), Thought("t", "a"), Said("user", "Q"),
                         Thought("T", "A")};
  EXPECT_EQ(Learned(Encoder(kThinking), messages),
            (Texts{"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
                   "[<think>\nt\n</think>\n\na<|im_end|>]",
                   "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
                   "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
                   "[<think>\nT\n</think>\n\nA<|im_end|>]"}));
}

TEST_F(ChatSamplesTest, AThoughtThatThePromptOpensIsGoneOnWith) {
  const Texts expected = {"<s>U:qA:<think>\n[t\n</think>\n\na</s>]",
                          "<s>U:qA:a</s>U:QA:<think>\n[\n</think>\n\nA</s>]"};
  const Json question = Said("user", "q"), other = Said("user", "Q");
  for (const Json& answer : {Thought("t", "a"), Said("assistant", "<think>\nt\n</think>\n\na"),
                             Said("assistant", "t\n</think>\na")}) {
    EXPECT_EQ(Learned(Encoder(kOpening), {question, answer, other, Said("assistant", "A")}),
              expected);
  }
  const std::vector<ChatSample> samples =
      Encoder(kOpening).Encode({{question, Thought("t", "a")}, nullptr});
  EXPECT_EQ(std::ranges::count(samples.at(0).tokens, kThinkEnd), 1);
  EXPECT_EQ(samples[0].tokens.back(), kEos);
  EXPECT_EQ(samples[0].tokens.front(), kBos);
}

TEST_F(ChatSamplesTest, AThoughtIsLearnedWhereTheTemplateKnowsNone) {
  const Texts expected = {
      "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[<think>\nt\n</"
      "think>\n\na<|im_end|>]"};
  EXPECT_EQ(Learned(Encoder(kChatMl), {Said("user", "q"), Thought("t", "a")}), expected);
  EXPECT_EQ(Learned(Encoder(kChatMl), {Said("user", "q"), Said("assistant", "<think>t</think>a")}),
            expected);
  EXPECT_EQ(MessageOf([&] {
              Learned(Encoder(kChatMl), {Said("user", "q"), Said("assistant", "<think>and so")});
            }),
            "a thought of the assistant is not closed: no </think>");
}

TEST_F(ChatSamplesTest, TurnsOfNoWeightAreContext) {
  Json first = Said("assistant", "a");
  first["weight"] = 0;
  EXPECT_EQ(Learned(Encoder(kChatMl),
                    {Said("user", "q"), first, Said("user", "Q"), Said("assistant", "A")}),
            Texts{"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
                  "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]"});
  EXPECT_EQ(Learned(Encoder(""), {Said("user", "q"), first}), Texts());
}

TEST_F(ChatSamplesTest, WhatEndsATurnWillStopTheModel) {
  const Json chat = {Said("user", "q"), Said("assistant", "a")};
  ChatEncoder encoder = Encoder(kChatMl, {kEos});
  encoder.Encode({chat, nullptr});
  EXPECT_EQ(encoder.new_stops(), std::set<int32_t>{kEnd});
  // A template that writes no end: the model's own.
  const std::string plain =
      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% endif %}";
  EXPECT_EQ(Learned(Encoder(plain), chat), Texts{"user: q\n\nassistant: [a\n\n</s>]"});
  ChatEncoder endless(tokenizer_, {.chat_template = plain}, "model");
  EXPECT_TRUE(Says(MessageOf([&] { endless.Encode({chat, nullptr}); }), "token that ends a turn"));
}

TEST_F(ChatSamplesTest, TemplatesThatRefuseOrLoseTheChatAreNamed) {
  const Json chat = {Said("user", "q"), Said("assistant", "a")};
  EXPECT_TRUE(
      Says(MessageOf([&] { Learned(Encoder("{{ raise_exception('users only') }}"), chat); }),
           "model: its chat template: line 1: the template refuses this: users only"));
  EXPECT_TRUE(Says(MessageOf([&] { Encoder("{% if %}"); }), "model: its chat template: line 1"));
  EXPECT_EQ(MessageOf([&] {
              Learned(
                  Encoder("{{ messages[0].content }}{% if add_generation_prompt %}!{% endif %}"),
                  chat);
            }),
            "the chat template leaves out what the assistant says");
}

TEST_F(ChatSamplesTest, WithoutATemplateAChatIsAQuestionAndItsAnswer) {
  const auto read = [&](const Json& messages) { return Learned(Encoder(""), messages); };
  const Texts expected = {"<s>q\n[<think>t</think>a</s>]"};
  EXPECT_EQ(read({Said("user", "q"), Said("assistant", "<think>t</think>a")}), expected);
  EXPECT_EQ(read({Said("user", "q\n"), Thought("t", "a")}), expected);
  const std::vector<ChatSample> samples =
      Encoder("").Encode({{Said("user", "<think></answer>"),
                           Said("assistant", "<think>t</think><answer>a</answer></s>")},
                          nullptr});
  for (const int32_t tag : {kThink, kThinkEnd, kAnswer, kAnswerEnd})
    EXPECT_EQ(std::ranges::count(samples.at(0).tokens, tag), 1) << tag;
  EXPECT_EQ(std::ranges::count(samples[0].tokens, kEos), 1);
  for (const Json& chat : {Json{Said("system", "s"), Said("user", "q"), Said("assistant", "a")},
                           Json{Said("assistant", "a"), Said("user", "q")}}) {
    EXPECT_TRUE(Says(MessageOf([&] { read(chat); }), "the model has no chat template"));
  }
  EXPECT_EQ(MessageOf([&] {
              read({Said("user", "q"), Said("assistant", "<think>a")});
            }),
            "a thought of the assistant is not closed: no </think>");
}

}  // namespace
}  // namespace darkhorse
