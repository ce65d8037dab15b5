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

namespace darkhorse {

class AnswerForms {
 public:
  // never: tokens that no answer may hold, such as those that end one.
  AnswerForms(const Tokenizer& tokenizer, std::vector<int32_t> never)
      : tokenizer_(tokenizer), never_(std::move(never)) {}

  // Documents of a JSON Schema. Error as AddJsonSchema's, or that nothing satisfies it. Any thread
  // may ask.
  std::shared_ptr<TokenGrammar> Json(const nlohmann::ordered_json& schema, AnswerThought thought);

 private:
  std::shared_ptr<const TokenTree> Tree();

  const Tokenizer tokenizer_;
  const std::vector<int32_t> never_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTree> tree_;  // null: nobody has asked yet
  // The one used last first.
  std::list<std::pair<std::string, std::shared_ptr<TokenGrammar>>> made_;
};

}  // namespace darkhorse
