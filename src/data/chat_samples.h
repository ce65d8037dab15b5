// A chat as the samples a model is trained on: what it is given when it is to answer, and what it
// is to say then, token by token.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/chat_rows.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Tokens [begin, end) of a sample.
struct TokenRange {
  int64_t begin = 0, end = 0;
  bool operator==(const TokenRange&) const = default;
};

struct ChatSample {
  std::vector<int32_t> tokens;
  // What the assistant says, with the token that ends its turn: what is learned. Ascending; none
  // begins at the first token.
  std::vector<TokenRange> answers;
};

// What of a model makes a text of a chat.
struct ChatMarks {
  std::string chat_template;         // Jinja; empty: none
  std::string bos_token, eos_token;  // as texts, for the template
  int32_t bos = -1;                  // what a text begins with, negative: nothing
  int32_t eos = -1;                  // what ends one, negative: nothing does
  std::vector<int32_t> stops;        // all that end one
};

// Each turn of the assistant is learned behind exactly the tokens that the model is given at that
// point of a chat: the template's rendering of the messages before, ready for an answer. A turn
// whose prompt goes on from the sample before is learned in that sample; where the template says
// earlier turns otherwise afterwards, without their thoughts, it is learned in one of its own.
//
// What is said is what the template makes of the message, up to the control token that ends the
// turn (the model's eos, where the template writes none). A template may drop what is to be
// learned: the thought, because it keeps none or knows none, or something the prompt had opened.
// Then the turn is written as a model writes it: <think>, the thought, </think>, the answer, and
// the template's end of turn. A thought at the beginning of the content is taken for one.
//
// Text of the chat never becomes a control token (text/chat_template.h).
class ChatEncoder {
 public:
  // `name`: of the model, for messages. Error: a template that cannot be read.
  ChatEncoder(const Tokenizer& tokenizer, ChatMarks marks, const std::string& name);

  // Turns of the weight 0 (OpenAI's field) are not learned. Without a template a chat is a question
  // and its answer, as darkhorse's own models read them: the question's line, the answer, eos.
  // Error, which does not name the row: a chat that the template refuses or that needs one.
  std::vector<ChatSample> Encode(const Chat& chat);

  // Of the control tokens that ended turns so far, those that are none of the model's stops.
  const std::set<int32_t>& new_stops() const { return new_stops_; }

 private:
  struct Said {
    std::string thought, content;
  };

  static Said Split(const nlohmann::ordered_json& message);
  MarkedText Turn(const Chat& chat, size_t turn, const MarkedText& prompt) const;
  MarkedText EndOfTurn(const Chat& chat, size_t turn) const;
  MarkedText Render(const Chat& chat, size_t messages, bool ready) const;
  std::vector<int32_t> Answer(const MarkedText& turn);
  ChatSample Plain(const Chat& chat);

  const Tokenizer& tokenizer_;
  const ChatMarks marks_;
  std::optional<ChatTemplate> template_;
  std::set<int32_t> new_stops_;
};

}  // namespace darkhorse
