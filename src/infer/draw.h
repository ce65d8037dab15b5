// The token that goes on with a completion: drawn from a row of the model's logits as the request
// asks, at the random number of its place. It depends on the request, the sample, the tokens before
// it and the row alone.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "infer/request.h"

namespace darkhorse {

struct Drawn {
  int32_t token = 0;
  float logp = 0;              // under the model's own distribution
  std::vector<TokenLogp> top;  // as many as the request asks for, the most probable first
};

// Token completion.size() of that sample of the request, given those before. logits [1,
// vocabulary]; scratch of the same shape is overwritten. mask: of the request's constraint, having
// read the completion; null: anything may come. Where the request's budget of thought is spent the
// token is not drawn but given. None: no token may. Error: the logits are not
// finite.
std::optional<Drawn> Draw(const GenerationRequest& request, int64_t sample,
                          std::span<const int32_t> completion, TokenMask* mask, ConstMatrix logits,
                          Matrix scratch);

}  // namespace darkhorse
