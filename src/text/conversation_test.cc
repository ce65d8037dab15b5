#include "text/conversation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/scratch_testing.h"
#include "text/tokenizer.h"

namespace darkhorse {
namespace {

class ConversationTest : public testing::Test {
 protected:
  // With a model that has this chat template; "" for none.
  Conversation Talk(const std::string& chat_template, const Conversation::Options& options = {}) {
    return {tokenizer_, {chat_template, "", ""}, bos_, "the model", options};
  }
  std::string Text(const std::vector<int32_t>& tokens) const { return tokenizer_.Decode(tokens); }

  const Tokenizer tokenizer_ =
      TrainTokenizer({"a b a b"}, {.vocab_size = 300, .special_tokens = {"<b>", "<e>", "<think>"}});
  const int32_t bos_ = *tokenizer_.TokenId("<b>");
};

constexpr char kTemplate[] =
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role[0] }}:{{ m.content }};{% endfor %}a:";

TEST_F(ConversationTest, RemembersWhatWasSaid) {
  Conversation talk = Talk(kTemplate, {.system = "be"});
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
  Conversation talk =
      Talk("{% for m in messages %}{{ m.content }}[{{ m.reasoning_content }}]{% endfor %}");
  talk.Ask("hi", 500);
  talk.Answer("hm", "yo");
  EXPECT_TRUE(Text(talk.Ask("so", 500)).ends_with("hi[]yo[hm]so[]"));
}

TEST_F(ConversationTest, WhatTheTemplateRefusesWasNotAsked) {
  Conversation talk = Talk(kTemplate);
  EXPECT_TRUE(Says(MessageOf([&] { talk.Ask("no", 500); }), "not that"));
  EXPECT_TRUE(Says(MessageOf([&] { talk.Ask("\xff\xfe", 500); }), "UTF-8"));
  EXPECT_TRUE(Text(talk.Ask("yes", 500)).ends_with("u:yes;a:"));
}

TEST_F(ConversationTest, TheOldestTurnsAreForgottenWhereThereIsNoRoom) {
  Conversation talk = Talk(kTemplate, {.system = "be"});
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
  talk.Clear();
  EXPECT_EQ(talk.forgotten(), 0);
}

TEST_F(ConversationTest, WithoutATemplateEachQuestionStandsAlone) {
  Conversation talk = Talk("");
  EXPECT_FALSE(talk.remembers());
  const std::string first = Text(talk.Ask("a b", 500));
  talk.Answer("", "b");
  EXPECT_EQ(Text(talk.Ask("a b", 500)), first);
}

// As a document of the corpus begins, to the token.
TEST_F(ConversationTest, WithoutATemplateTheQuestionIsALine) {
  EXPECT_EQ(Talk("").Ask("a <e> b"),
            tokenizer_.EncodeDocument(bos_, "a <e> b\n", /*allow_special=*/false));
}

TEST_F(ConversationTest, WhatIsPrefilledStandsBeforeTheAnswer) {
  for (const char* jinja : {kTemplate, ""}) {
    Conversation talk = Talk(jinja, {.prefill = "<think>\n"});
    const std::vector<int32_t> tokens = talk.Ask("<think> a");
    EXPECT_TRUE(
        Text(tokens).ends_with(*jinja ? "u:<think> a;a:<think>\n" : "<think> a\n<think>\n"));
    // The prefilled tag is the token, the user's is its letters.
    const int32_t think = *tokenizer_.TokenId("<think>");
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), think), 1);
    EXPECT_FALSE(talk.begins_in_thought());
    EXPECT_EQ(talk.Opening(), "<think>\n");
  }
}

TEST_F(ConversationTest, AThoughtIsOpenedOnce) {
  const char* thinks = "{% for m in messages %}{{ m.content }}{% endfor %}<think>";
  Conversation talk = Talk(thinks, {.prefill = "Well"});
  EXPECT_TRUE(Text(talk.Ask("a")).ends_with("a<think>Well"));
  EXPECT_TRUE(talk.begins_in_thought());
  EXPECT_EQ(talk.Opening(), "<think>Well");
  Conversation twice = Talk(thinks, {.prefill = "<think>"});
  EXPECT_TRUE(Says(MessageOf([&] { twice.Ask("a"); }),
                   "the model: its chat template opens a thought itself"));
}

TEST_F(ConversationTest, ACopyGoesOnByItself) {
  const Conversation talk = Talk(kTemplate);
  Conversation one = talk, two = talk;
  one.Ask("one");
  EXPECT_EQ(Text(two.Ask("two")), "<b>u:two;a:");
}

}  // namespace
}  // namespace darkhorse
