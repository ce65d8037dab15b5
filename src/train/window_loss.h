// The perplexity of a text as llama.cpp's perplexity tool measures it, so that figures can be
// compared: the text in windows that stand alone, each judged on its second half, whose every token
// has half a window before it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/transformer.h"

namespace darkhorse {

struct WindowLoss {
  double loss = 0;            // mean negative log-likelihood of a judged token, nats
  double standard_error = 0;  // of that mean, as if tokens were independent
  int64_t tokens = 0;         // judged
  int64_t windows = 0;
  double perplexity() const;
  double perplexity_error() const;  // to first order
};

struct WindowOptions {
  int64_t window = 512;  // tokens, at least 4
  // At most so many tokens of the text are read, but at least one window; what is left over behind
  // the last whole window is not.
  int64_t max_tokens = INT64_MAX;
  // Stands in the place of each window's first token; negative: nothing does.
  int32_t bos = -1;
};

// Of a window of n tokens those at n/2 + 1 … n - 1 are judged. `weights` may be packed. Memory: the
// cache of a window and the activations of some thousand rows. `progress` may be null: it hears the
// result so far, and of how many windows. UsageError: a window that is too short, or longer than
// the model's context or the text.
WindowLoss LossOfWindows(
    const Transformer& model, const ModelWeights& weights, std::span<const int32_t> tokens,
    const WindowOptions& options,
    const std::function<void(const WindowLoss& so_far, int64_t windows)>& progress = {});

}  // namespace darkhorse
