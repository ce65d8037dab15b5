// Embeddings: what a client asks for, and the job that answers it. A text's embedding is the mean
// of its tokens' hidden states behind the final norm, of length 1.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/api_request.h"
#include "serve/http.h"
#include "serve/request_field.h"
#include "serve/scheduler.h"

namespace darkhorse {

struct EmbeddingRequest {
  std::string model;  // empty: whichever there is
  std::vector<TextOrTokens> inputs;
  bool base64 = false;  // little-endian floats, instead of numbers
};

// The request that `body` holds. `width`: of the model's embeddings, the only one there is.
// ApiError 400 naming the field, what is wrong with it and what it must be.
EmbeddingRequest ParseEmbeddingRequest(const std::string& body, int64_t width,
                                       const RequestLimits& limits);

// What an engine is asked for a text's embedding.
GenerationRequest EmbeddingOf(std::vector<int32_t> tokens, int32_t adapter);
// The embedding that it answers: hidden_sum by its Euclidean norm. All 0 where that is 0.
std::vector<float> Embedding(const Completion& completion);

class EmbeddingJob : public Job {
 public:
  // tokens: of each input. on_end: called once when all has been said.
  EmbeddingJob(std::shared_ptr<HttpReply> reply, std::string model, bool base64,
               const std::vector<int64_t>& tokens, std::function<void()> on_end);

  bool OnToken(size_t, const Completion&) override { return true; }
  void OnFinished(size_t part, Completion completion) override;
  void OnFailed(const ApiError& why) override;

 private:
  std::shared_ptr<HttpReply> reply_;
  const std::string model_;
  const bool base64_;
  int64_t prompt_tokens_ = 0;
  std::function<void()> on_end_;
  size_t unfinished_;
  std::vector<std::vector<float>> embeddings_;
};

}  // namespace darkhorse
