// The forms that answers are asked to have, made ready for a model's tokens, and kept: a client
// that asks for one mostly asks again.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "infer/token_mask.h"
#include "text/answer_grammar.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace darkhorse {

class AnswerForms {
 public:
  // never: tokens that no answer may hold, such as those that end one. shown: tokens that are text
  // although people do not see them.
  AnswerForms(const Tokenizer& tokenizer, std::vector<int32_t> never, std::vector<int32_t> shown)
      : tokenizer_(tokenizer), never_(std::move(never)), shown_(std::move(shown)) {}

  // What an answer says: a document of the schema, or, where there are tools, calls of them.
  struct Form {
    AnswerThought thought = AnswerThought::kNone;
    nlohmann::ordered_json schema;  // JSON Schema; null: no document
    std::vector<Tool> tools;
    ToolCallFormat format{};     // of the calls
    bool several_calls = false;  // may be made
  };
  // Error as AddJsonSchema's, or that nothing satisfies it. Any thread may ask.
  std::shared_ptr<TokenGrammar> Make(const Form& form);

 private:
  std::shared_ptr<const TokenTree> Tree();

  const Tokenizer tokenizer_;
  const std::vector<int32_t> never_, shown_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTree> tree_;  // null: nobody has asked yet
  // The one used last first.
  std::list<std::pair<std::string, std::shared_ptr<TokenGrammar>>> made_;
};

}  // namespace darkhorse
