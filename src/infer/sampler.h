// Choosing the next token from a row of probabilities.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/fields.h"

namespace darkhorse {

// The order of application is Hugging Face's: penalties, temperature, top-k, top-p, min-p.
struct SamplingParams {
  float temperature = 1.0f;  // 0: the most probable token
  int32_t top_k = 0;         // keep the k most probable; 0: all
  float top_p = 1.0f;        // keep the smallest set of the most probable that reaches this mass
  float min_p = 0.0f;        // keep tokens at least this fraction of the most probable one
  // Of tokens in the prompt or the completion positive logits are divided by this and others
  // multiplied with it (CTRL, Keskar et al. 2019); 1: off.
  float repetition_penalty = 1.0f;
  // Taken from the logit of a token once if it is in the completion, and for each time it is there.
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;

  bool penalizes() const {
    return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
  }
};

// The names, and what the flags of generation say of them.
void ListFields(SamplingParams& params, FieldList& list);
void Validate(const SamplingParams& params);  // UsageError naming the field, the value, the range

// Applies the penalties to a row of logits.
void PenalizeLogits(std::span<float> logits, const SamplingParams& params,
                    std::span<const int32_t> prompt, std::span<const int32_t> completion);

// The token at cumulative mass u in [0, 1) of the probabilities that params leave. probabilities:
// softmax of logits / temperature (of the logits where the temperature is 0). Ties among
// probabilities are broken by the lower id.
int32_t SampleToken(std::span<const float> probabilities, const SamplingParams& params, double u);

}  // namespace darkhorse
