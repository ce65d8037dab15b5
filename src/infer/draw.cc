#include "infer/draw.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// Adds what the request asks for to the logits.
void Adjust(const GenerationRequest& request, std::span<const int32_t> completion,
            std::span<float> logits) {
  if (request.sampling.penalizes())
    PenalizeLogits(logits, request.sampling, request.prompt, completion);
  for (const auto& [token, bias] : request.logit_bias) logits[static_cast<size_t>(token)] += bias;
}

std::optional<int32_t> Pick(const GenerationRequest& request, int64_t sample,
                            std::span<const int32_t> completion, TokenMask* mask,
                            ConstMatrix logits, Matrix scratch) {
  const int64_t vocabulary = logits.cols;
  const float temperature = request.sampling.temperature;
  const float inverse = temperature > 0 ? 1 / temperature : 1.0f;
  std::copy_n(logits.data, vocabulary, scratch.data);
  const std::span<float> row(scratch.data, static_cast<size_t>(vocabulary));
  Adjust(request, completion, row);
  if (mask && !mask->Restrict(row, request.stop_tokens)) return std::nullopt;
  for (float& logit : row) logit *= inverse;
  SoftmaxRows(scratch, scratch);
  if (request.never) {
    for (const int32_t token : *request.never) row[static_cast<size_t>(token)] = 0;
  }
  const double u = RandomUniform(request.seed, RandomStream::kSample,
                                 request.stream + static_cast<uint64_t>(sample),
                                 static_cast<uint64_t>(completion.size()));
  return SampleToken(row, request.sampling, u);
}

}  // namespace

std::optional<Drawn> Draw(const GenerationRequest& request, int64_t sample,
                          std::span<const int32_t> completion, TokenMask* mask, ConstMatrix logits,
                          Matrix scratch) {
  CHECK(logits.rows == 1 && scratch.rows == 1 && scratch.cols == logits.cols);
  std::optional<int32_t> token;
  if (request.thought) token = ForcedToken(*request.thought, completion);
  if (!token) token = Pick(request, sample, completion, mask, logits, scratch);
  if (!token) return std::nullopt;
  Drawn drawn;
  drawn.token = *token;
  LogSoftmaxRows(logits, &drawn.token, &drawn.logp, nullptr);
  if (!std::isfinite(drawn.logp))
    Fail("the model's logits are not finite; take an earlier checkpoint or a sound copy");
  if (request.top_logp > 0) {
    drawn.top = MostProbable({logits.data, static_cast<size_t>(logits.cols)}, request.top_logp,
                             {drawn.token, drawn.logp});
  }
  return drawn;
}

}  // namespace darkhorse
