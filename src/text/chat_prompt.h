// The messages of a chat as the tokens that a model goes on from.
#pragma once

#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_format.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace darkhorse {

struct ChatPrompt {
  std::vector<int32_t> tokens;
  // Whether the answer begins within a thought that the template opened.
  bool begins_in_thought = false;
};

// By the model's chat template. A model without one was trained on questions as its tasks word
// them, each of which stands alone: its prompt is the last message and a newline; of an answer to
// be continued the message before it, a newline and what there is of the answer. May be asked from
// many threads at once.
class ChatPrompter {
 public:
  struct Options {
    nlohmann::ordered_json variables;  // the template's own, such as {"thinking": false}, or null
    nlohmann::ordered_json tools;      // that the model is told of, or null
    bool continue_final_message = false;  // instead of beginning an answer
    std::optional<std::tm> now;           // what a template is told that asks for the date
  };

  // `bos`: what its texts begin with (EncodeChat); `model`: what errors name. Error: a template
  // that cannot be read.
  ChatPrompter(const Tokenizer& tokenizer, const ChatFormat& format, int32_t bos,
               const std::string& model);

  bool has_template() const { return template_.has_value(); }
  // Error: the template refuses the messages.
  MarkedText Render(const nlohmann::ordered_json& messages, const Options& options) const;
  // `prefill`: what the answer begins with; control tokens in it are meant. Error: as above, or the
  // template opens a thought that the prefilled text opens too.
  ChatPrompt Prompt(const nlohmann::ordered_json& messages, const Options& options,
                    std::string_view prefill = {}) const;

 private:
  Tokenizer tokenizer_;
  ChatFormat format_;
  int32_t bos_;
  std::string model_;
  std::optional<ChatTemplate> template_;
};

}  // namespace darkhorse
