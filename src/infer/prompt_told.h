// What is read of a prompt while it is computed: how probable each of its tokens was, and its
// hidden states, summed. The bits depend on the prompt's rows alone: not on which of them a step
// computes, nor on what other rows there are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/matrix.h"
#include "kernel/weight.h"

namespace darkhorse {

// A token and its log-probability under the model's own distribution.
struct TokenLogp {
  int32_t token;
  float logp;
  bool operator==(const TokenLogp&) const = default;
};

// So many of a row's most probable tokens, ties by the lower id. `known`: one of the row's tokens
// and its log-probability, which the others' follow from.
std::vector<TokenLogp> MostProbable(std::span<const float> logits, int64_t most, TokenLogp known);

struct PromptTold {
  std::vector<float> logp;                  // of every token but the first, behind those before it
  std::vector<std::vector<TokenLogp>> top;  // beside each, where asked for
  std::vector<double> hidden_sum;  // [hidden] states behind the final norm, summed in order

  // Takes what the next rows told, whose sum went on from this one.
  void Append(PromptTold next);
};

// Which of it is wanted.
struct PromptWish {
  bool logp = false;
  bool hidden = false;
  bool any() const { return logp || hidden; }
};

// Adds what these rows tell: hidden[T, hidden] of the prompt's tokens from `position` on. Error:
// they are not finite.
void ReadPrompt(std::span<const int32_t> prompt, int64_t position, ConstMatrix hidden,
                PromptWish wish, int64_t top_logp, const Weight& lm_head, Arena& arena,
                PromptTold* told);

}  // namespace darkhorse
