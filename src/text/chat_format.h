// What turns a conversation into a text, as a model's files say it.
#pragma once

#include <string>

namespace darkhorse {

// All may be empty.
struct ChatFormat {
  std::string chat_template;         // Jinja
  std::string bos_token, eos_token;  // as texts
};

}  // namespace darkhorse
