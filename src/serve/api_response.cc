#include "serve/api_response.h"

#include <ctime>
#include <random>

#include "base/checksum.h"
#include "serve/api_error.h"

namespace darkhorse {

using Json = nlohmann::ordered_json;

std::string DumpJson(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

uint64_t FreshBits() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

namespace {

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

// What Dump would make of it, so that equal bytes are equal keys.
std::string ValidText(std::string_view bytes) {
  const std::string quoted = DumpJson(Json(std::string(bytes)));
  return Json::parse(quoted).get<std::string>();
}

Json ChanceJson(const Tokenizer& tokenizer, int32_t token, float logp) {
  const std::string_view bytes = tokenizer.TokenBytes(token);
  Json numbers = Json::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return {{"token", std::string(bytes)}, {"logprob", logp}, {"bytes", std::move(numbers)}};
}

// indexed: as a stream has them.
Json CallsJson(const ChoicePart& part, bool indexed) {
  Json calls = Json::array();
  for (const ToolCall& call : part.calls) {
    Json one = Json::object();
    if (indexed) one["index"] = part.first_call + static_cast<int64_t>(calls.size());
    one["id"] = "call_" + HexU64(FreshBits());
    one["type"] = "function";
    one["function"] = {{"name", call.name}, {"arguments", call.arguments}};
    calls.push_back(std::move(one));
  }
  return calls;
}

}  // namespace

ApiResponse::ApiResponse(Kind kind, const std::string& model, const Tokenizer& tokenizer,
                         bool with_chances)
    : kind_(kind),
      model_(model),
      id_((kind == Kind::kChat ? "chatcmpl-" : "cmpl-") + HexU64(FreshBits())),
      created_(std::time(nullptr)),
      tokenizer_(tokenizer),
      with_chances_(with_chances) {}

Json ApiResponse::Frame(bool chunk) const {
  const char* object = kind_ == Kind::kText ? "text_completion"
                       : chunk              ? "chat.completion.chunk"
                                            : "chat.completion";
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

Json ApiResponse::Choice(const ChoicePart& part, const char* holder, Json held) const {
  return {{"index", part.index},
          {holder, std::move(held)},
          {"logprobs", with_chances_ ? Chances(part.chances) : Json()},
          {"finish_reason", part.finish ? Json(part.finish) : Json()}};
}

Json ApiResponse::Chances(const std::vector<TokenChance>& chances) const {
  if (kind_ == Kind::kChat) {
    Json content = Json::array();
    for (const TokenChance& chance : chances) {
      Json entry = ChanceJson(tokenizer_, chance.token, chance.logp.value());
      entry["top_logprobs"] = Json::array();
      for (const auto& [token, logp] : chance.top)
        entry["top_logprobs"].push_back(ChanceJson(tokenizer_, token, logp));
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}};
  }
  Json tokens = Json::array(), logps = Json::array(), tops = Json::array();
  Json offsets = Json::array();
  for (const TokenChance& chance : chances) {
    tokens.push_back(std::string(tokenizer_.TokenBytes(chance.token)));
    logps.push_back(chance.logp ? Json(*chance.logp) : Json());
    offsets.push_back(chance.offset);
    if (!chance.logp) {
      tops.push_back(nullptr);
      continue;
    }
    Json top = Json::object();
    for (const auto& [token, logp] : chance.top)
      top.emplace(ValidText(tokenizer_.TokenBytes(token)), logp);
    tops.push_back(std::move(top));
  }
  return {{"tokens", tokens},
          {"token_logprobs", logps},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

std::string ApiResponse::Whole(const std::vector<ChoicePart>& choices, const Usage& usage) const {
  Json response = Frame(/*chunk=*/false);
  response["choices"] = Json::array();
  for (const ChoicePart& part : choices) {
    if (kind_ == Kind::kText) {
      response["choices"].push_back(Choice(part, "text", part.content));
      continue;
    }
    Json message = {{"role", "assistant"}, {"content", part.content}};
    if (!part.calls.empty()) {
      if (part.content.empty()) message["content"] = nullptr;
      message["tool_calls"] = CallsJson(part, /*indexed=*/false);
    }
    if (!part.thought.empty()) message["reasoning_content"] = part.thought;
    response["choices"].push_back(Choice(part, "message", std::move(message)));
  }
  response["usage"] = UsageJson(usage);
  return DumpJson(response);
}

std::string ApiResponse::Event(const Json& json) const {
  return "data: " + DumpJson(json) + "\n\n";
}

std::string ApiResponse::Opening(int64_t index) const {
  if (kind_ == Kind::kText) return "";
  Json chunk = Frame(/*chunk=*/true);
  chunk["choices"] =
      Json::array({Choice({.index = index}, "delta", {{"role", "assistant"}, {"content", ""}})});
  return Event(chunk);
}

std::string ApiResponse::Chunk(const ChoicePart& part) const {
  Json chunk = Frame(/*chunk=*/true);
  if (kind_ == Kind::kText) {
    chunk["choices"] = Json::array({Choice(part, "text", part.content)});
    return Event(chunk);
  }
  Json delta = Json::object();
  if (!part.thought.empty()) delta["reasoning_content"] = part.thought;
  if (!part.content.empty()) delta["content"] = part.content;
  if (!part.calls.empty()) delta["tool_calls"] = CallsJson(part, /*indexed=*/true);
  chunk["choices"] = Json::array({Choice(part, "delta", std::move(delta))});
  return Event(chunk);
}

std::string ApiResponse::UsageChunk(const Usage& usage) const {
  Json chunk = Frame(/*chunk=*/true);
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return Event(chunk);
}

std::string ApiResponse::ErrorEvent(const ApiError& why) {
  return "data: " + ErrorBody(why) + "\n\n";
}

std::string ApiResponse::Done() { return "data: [DONE]\n\n"; }

}  // namespace darkhorse
