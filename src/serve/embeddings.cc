#include "serve/embeddings.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/base64.h"
#include "base/error.h"
#include "serve/api_error.h"
#include "serve/api_response.h"

namespace darkhorse {

using Json = nlohmann::ordered_json;
using namespace request_field;

EmbeddingRequest ParseEmbeddingRequest(const std::string& body, int64_t width,
                                       const RequestLimits& limits) {
  const Json object = ParseBody(body, limits);
  EmbeddingRequest request;
  request.model = String(object, "model");
  request.inputs = ParseTexts(object, "input");
  if (static_cast<int64_t>(request.inputs.size()) > limits.inputs)
    Refuse("input",
           fmt::format("has {} texts; at most {} are taken", request.inputs.size(), limits.inputs));
  for (const auto& input : request.inputs) {
    if (std::visit([](const auto& text) { return text.empty(); }, input))
      Refuse("input", "holds an empty text, which has no embedding");
  }
  const std::string format = String(object, "encoding_format");
  if (!format.empty() && format != "float" && format != "base64") {
    Refuse("encoding_format",
           fmt::format("is '{}'; it must be float or base64", Printable(format, 40)));
  }
  request.base64 = format == "base64";
  const auto dimensions = Integer(object, "dimensions", 1, INT32_MAX);
  if (dimensions && *dimensions != width) {
    Refuse("dimensions", fmt::format("is {}; this model's embeddings have {}", *dimensions, width),
           "unsupported");
  }
  return request;
}

GenerationRequest EmbeddingOf(std::vector<int32_t> tokens, int32_t adapter) {
  GenerationRequest request;
  request.prompt = std::move(tokens);
  request.adapter = adapter;
  request.max_tokens = 0;
  request.of_prompt.hidden = true;
  return request;
}

std::vector<float> Embedding(const Completion& completion) {
  double squares = 0;
  for (const double x : completion.prompt.hidden_sum) squares += x * x;
  const double factor = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> embedding;
  for (const double x : completion.prompt.hidden_sum)
    embedding.push_back(static_cast<float>(x * factor));
  return embedding;
}

EmbeddingJob::EmbeddingJob(std::shared_ptr<HttpReply> reply, std::string model, bool base64,
                           const std::vector<int64_t>& tokens, std::function<void()> on_end)
    : reply_(std::move(reply)),
      model_(std::move(model)),
      base64_(base64),
      on_end_(std::move(on_end)),
      unfinished_(tokens.size()),
      embeddings_(tokens.size()) {
  for (const int64_t count : tokens) prompt_tokens_ += count;
}

void EmbeddingJob::OnFinished(size_t part, Completion completion) {
  embeddings_[part] = Embedding(completion);
  if (--unfinished_ > 0) return;
  Json data = Json::array();
  for (const std::vector<float>& embedding : embeddings_) {
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", base64_ ? Json(Base64OfFloats(embedding)) : Json(embedding)}});
  }
  const Json answer = {
      {"object", "list"},
      {"data", std::move(data)},
      {"model", model_},
      {"usage", {{"prompt_tokens", prompt_tokens_}, {"total_tokens", prompt_tokens_}}}};
  reply_->Tell({{"prompt_tokens", prompt_tokens_}});
  reply_->Send(200, "application/json", DumpJson(answer));
  on_end_();
}

void EmbeddingJob::OnFailed(const ApiError& why) {
  reply_->Send(why.status(), "application/json", ErrorBody(why));
}

}  // namespace darkhorse
