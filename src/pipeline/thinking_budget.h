// A budget of thought for models that mark their thoughts with tags (text/tags.h).
#pragma once

#include <cstdint>

#include "infer/thought_budget.h"
#include "text/tokenizer.h"

namespace darkhorse {

// Of so many tokens. begun: the prompt ends within the thought. chats: the model has a chat
// template; such models learn to end a thought on a line of its own, those trained on problems in
// the midst of one.
ThoughtBudget MakeThoughtBudget(const Tokenizer& tokenizer, int64_t tokens, bool begun, bool chats);

}  // namespace darkhorse
