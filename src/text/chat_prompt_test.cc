#include "text/chat_prompt.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

class ChatPrompterTest : public testing::Test {
 protected:
  ChatPrompt Prompt(const std::string& chat_template, const Json& messages, bool continues) const {
    ChatPrompter::Options options;
    options.continue_final_message = continues;
    return ChatPrompter(tokenizer_, {chat_template, "", ""}, bos_, "the model")
        .Prompt(messages, options);
  }

  const Tokenizer tokenizer_ =
      TrainTokenizer({"a b a b"}, {.vocab_size = 300, .special_tokens = {"<b>", "<think>"}});
  const int32_t bos_ = *tokenizer_.TokenId("<b>");
};

// Words behind the tag are the thought's own only where they are what is gone on with.
TEST_F(ChatPrompterTest, AThoughtThatHasBegunMayBeContinued) {
  const char* thinks =
      "{% for m in messages %}{% if m.role == 'assistant' %}<think>{% endif %}{{ m.content }}"
      "{% endfor %}";
  const Json messages = {{{"role", "user"}, {"content", "q"}},
                         {{"role", "assistant"}, {"content", "so"}}};
  for (const bool continues : {false, true}) {
    const ChatPrompt prompt = Prompt(thinks, messages, continues);
    EXPECT_EQ(tokenizer_.Decode(prompt.tokens), "<b>q<think>so");
    EXPECT_EQ(prompt.begins_in_thought, continues);
  }
}

// Of a model that was trained on problems: the problem, a line's end, and what there is of the
// answer, whose tags are the model's tokens.
TEST_F(ChatPrompterTest, WithoutATemplateAnAnswerGoesOnBehindItsProblem) {
  const auto go_on = [&](const char* begun) {
    return Prompt("",
                  {{{"role", "user"}, {"content", "a b<think>"}},
                   {{"role", "assistant"}, {"content", begun}}},
                  true);
  };
  const int32_t tag = *tokenizer_.TokenId("<think>");
  const ChatPrompt within = go_on("<think>a");
  EXPECT_EQ(tokenizer_.Decode(within.tokens), "<b>a b<think>\n<think>a");
  EXPECT_EQ(std::ranges::count(within.tokens, tag), 1);
  EXPECT_TRUE(within.begins_in_thought);
  EXPECT_FALSE(go_on("<think>a</think>b").begins_in_thought);
  EXPECT_FALSE(go_on("b").begins_in_thought);
  EXPECT_EQ(tokenizer_.Decode(go_on("").tokens), "<b>a b<think>\n");
}

TEST_F(ChatPrompterTest, WithoutATemplateWhatIsContinuedIsNoLine) {
  const Json messages = {{{"role", "user"}, {"content", "a b"}}};
  EXPECT_EQ(tokenizer_.Decode(Prompt("", messages, true).tokens), "<b>a b");
  EXPECT_EQ(tokenizer_.Decode(Prompt("", messages, false).tokens), "<b>a b\n");
}

}  // namespace
}  // namespace darkhorse
