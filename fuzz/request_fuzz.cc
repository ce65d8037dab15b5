// Any bytes as the body of a request are what the API takes, within its limits, or an ApiError 400
// that can be told to the client.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "serve/api_error.h"
#include "serve/api_request.h"

namespace {

using namespace darkhorse;

template <typename Parse>
void Attack(const Parse& parse) {
  try {
    parse();
  } catch (const ApiError& error) {
    CHECK(error.status() == 400);
    const auto told = nlohmann::json::parse(ErrorBody(error));
    CHECK(told.at("error").at("message").is_string());
  }
}

void CheckFields(const CompletionFields& fields, const RequestLimits& limits) {
  CHECK(fields.n >= 1 && fields.n <= limits.completions);
  CHECK(!fields.max_tokens || *fields.max_tokens >= 1);
  CHECK(static_cast<int64_t>(fields.stop.size()) <= limits.stops);
  CHECK(static_cast<int64_t>(fields.logit_bias.size()) <= limits.logit_biases);
  CHECK(!fields.include_usage || fields.stream);
  Validate(fields.sampling);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  const RequestLimits limits;
  Attack([&] {
    const ChatRequest request = ParseChatRequest(body, {}, limits);
    CheckFields(request, limits);
    CHECK(!request.messages.empty() && request.variables.is_object());
    for (const auto& message : request.messages) {
      const auto& content = message.at("content");
      CHECK(content.is_string() || (content.is_null() && message.contains("tool_calls")));
    }
    const ToolFields& tools = request.tools;
    CHECK(tools.choice == ToolFields::Choice::kNone || !tools.tools.empty());
    auto messages = request.messages;
    SpellOutArguments(&messages);
  });
  Attack([&] {
    const TextRequest request = ParseTextRequest(body, {}, limits);
    CheckFields(request, limits);
    CHECK(!request.prompts.empty());
    CHECK(static_cast<int64_t>(request.prompts.size()) * request.n <= limits.completions);
  });
  Attack([&] { ParseTokenizeRequest(body, limits); });
  Attack([&] { ParseDetokenizeRequest(body, limits); });
  return 0;
}
