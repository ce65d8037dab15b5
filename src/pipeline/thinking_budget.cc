#include "pipeline/thinking_budget.h"

#include <string>

#include "text/tags.h"

namespace darkhorse {

ThoughtBudget MakeThoughtBudget(const Tokenizer& tokenizer, int64_t tokens, bool begun,
                                bool chats) {
  ThoughtBudget budget{.tokens = tokens,
                       .begun = begun,
                       .open = std::string(kThinkOpen),
                       .close = std::string(kThinkClose),
                       .bytes = [tokenizer](int32_t token) { return tokenizer.TokenBytes(token); }};
  const std::string ending = chats ? "\n" + budget.close + "\n\n" : budget.close;
  tokenizer.Encode(ending, &budget.ending, /*allow_special=*/true);
  return budget;
}

}  // namespace darkhorse
