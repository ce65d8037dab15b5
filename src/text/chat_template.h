// A conversation as the text a model was trained on: the model's own chat template, rendered as
// transformers renders it, with each byte marked as the template's or the conversation's. Only the
// template's may become control tokens: nobody begins a turn by typing its marker.
#pragma once

#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/marked_text.h"
#include "text/template/interpreter.h"
#include "text/tokenizer.h"

namespace darkhorse {

struct ChatOptions {
  nlohmann::ordered_json tools;      // an array, or null: none
  nlohmann::ordered_json documents;  // an array, or null: none
  // Further variables, such as {"enable_thinking": false}; an object, or null.
  nlohmann::ordered_json variables;
  std::string bos_token, eos_token;
  // Ends the text where the assistant's turn begins.
  bool add_generation_prompt = true;
  // The last message is to be continued: the text ends where its content does, and no further turn
  // begins.
  bool continue_final_message = false;
  // The assistant's messages hold control tokens because the model wrote them here. Never set it
  // for messages that came from elsewhere.
  bool trust_assistant = false;
  // What strftime_now tells; none: templates find no such function and take a default.
  std::optional<std::tm> now;
  jinja::Limits limits;
};

// Immutable and cheap to copy; may be rendered from many threads at once.
class ChatTemplate {
 public:
  // Error "<name>: line N: <what>".
  static ChatTemplate Parse(std::string_view source, const std::string& name);

  // messages: an array of objects such as {"role": "user", "content": "Hi"}, in order. A field
  // `reasoning_content`, `thinking` or `reasoning` is found under the names templates read. Error:
  // the template refuses them, fails or meets a limit; what names the template and its line.
  MarkedText Render(const nlohmann::ordered_json& messages, const ChatOptions& options = {}) const;

 private:
  explicit ChatTemplate(jinja::Template parsed) : template_(std::move(parsed)) {}

  jinja::Template template_;
};

// The ids of a rendered conversation. bos: what the tokenizer puts before a document, negative for
// nothing; the ids begin with it once, whether or not the template wrote it too.
std::vector<int32_t> EncodeChat(const Tokenizer& tokenizer, const MarkedText& text,
                                int32_t bos = -1);

// The variables that tell a template which asks whether to think.
nlohmann::ordered_json ThinkingVariables(bool thinks);

// This moment, for ChatOptions::now.
std::optional<std::tm> LocalNow();

}  // namespace darkhorse
