#include "app/conversation.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "checkpoint/checkpoint.h"
#include "model/config_testing.h"
#include "rl/tiny_policy_testing.h"

namespace darkhorse {
namespace {

class ConversationTest : public testing::Test {
 protected:
  // A model with this chat template; "" for none.
  LoadedModel& Load(const std::string& chat_template) {
    const Tokenizer tokenizer = TinyPolicyTokenizer({"a b a b"});
    ModelConfig config = TinyConfig();
    config.vocab_size = tokenizer.vocab_size();
    config.max_position_embeddings = 512;
    const ParamLayout layout(config);
    std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
    InitializeWeights(config, layout, 1, weights.data());
    ModelFiles files;
    files.tokenizer_json = tokenizer.ToJson();
    files.chat_template = chat_template;
    PublishCheckpoint(scratch_ / "model", config, layout, weights.data(), files, nullptr);
    loaded_.emplace(scratch_ / "model");
    return *loaded_;
  }
  std::string Text(const std::vector<int32_t>& tokens) const {
    return loaded_->tokenizer().Decode(tokens);
  }

  ScratchDirectory scratch_;
  std::optional<LoadedModel> loaded_;
};

constexpr char kTemplate[] =
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role[0] }}:{{ m.content }};{% endfor %}a:";

TEST_F(ConversationTest, RemembersWhatWasSaid) {
  Conversation talk(Load(kTemplate), {.system = "be", .thinks = {}});
  ASSERT_TRUE(talk.remembers());
  EXPECT_TRUE(Text(talk.Ask("hi", 500)).ends_with("s:be;u:hi;a:"));
  talk.Answer("", "yo");
  EXPECT_TRUE(Text(talk.Ask("so", 500)).ends_with("s:be;u:hi;a:yo;u:so;a:"));
  talk.Withdraw();
  EXPECT_TRUE(Text(talk.Ask("and", 500)).ends_with("a:yo;u:and;a:"));
  talk.Clear();
  EXPECT_TRUE(Text(talk.Ask("x", 500)).ends_with("s:be;u:x;a:"));
}

TEST_F(ConversationTest, AThoughtIsToldApartFromTheAnswer) {
  Conversation talk(Load("{% for m in messages %}{{ m.content }}[{{ m.reasoning_content }}]"
                         "{% endfor %}"),
                    {});
  talk.Ask("hi", 500);
  talk.Answer("hm", "yo");
  EXPECT_TRUE(Text(talk.Ask("so", 500)).ends_with("hi[]yo[hm]so[]"));
}

TEST_F(ConversationTest, WhatTheTemplateRefusesWasNotAsked) {
  Conversation talk(Load(kTemplate), {});
  EXPECT_TRUE(Says(MessageOf([&] { talk.Ask("no", 500); }), "not that"));
  EXPECT_TRUE(Says(MessageOf([&] { talk.Ask("\xff\xfe", 500); }), "UTF-8"));
  EXPECT_TRUE(Text(talk.Ask("yes", 500)).ends_with("u:yes;a:"));
}

TEST_F(ConversationTest, TheOldestTurnsAreForgottenWhereThereIsNoRoom) {
  Conversation talk(Load(kTemplate), {.system = "be", .thinks = {}});
  for (const char* question : {"one", "two", "three"}) {
    talk.Ask(question, 500);
    talk.Answer("", "ok");
  }
  const auto room = static_cast<int64_t>(talk.Ask("four", 500).size()) - 1;
  talk.Withdraw();
  talk.Ask("four", room + 1);  // room met exactly
  EXPECT_EQ(talk.forgotten(), 0);
  talk.Withdraw();
  EXPECT_TRUE(Text(talk.Ask("four", room)).ends_with("s:be;u:two;a:ok;u:three;a:ok;u:four;a:"));
  EXPECT_EQ(talk.forgotten(), 1);
  talk.Withdraw();
  EXPECT_TRUE(Text(talk.Ask("four", 1)).ends_with("s:be;u:four;a:"));  // one question stays
  EXPECT_EQ(talk.forgotten(), 3);
}

TEST_F(ConversationTest, WithoutATemplateEachQuestionStandsAlone) {
  Conversation talk(Load(""), {});
  EXPECT_FALSE(talk.remembers());
  const std::string first = Text(talk.Ask("a b", 500));
  talk.Answer("", "b");
  EXPECT_EQ(Text(talk.Ask("a b", 500)), first);
}

}  // namespace
}  // namespace darkhorse
