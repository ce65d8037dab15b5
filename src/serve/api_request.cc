#include "serve/api_request.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "serve/api_error.h"
#include "serve/request_field.h"
#include "text/chat_template.h"

namespace darkhorse {
namespace {

using namespace request_field;
using Json = nlohmann::ordered_json;

void Real(const Json& object, const std::string& field, float* target) {
  const Json* value = Find(object, field);
  if (!value) return;
  if (!value->is_number() || !(std::abs(value->get<double>()) <= 1e30))
    Refuse(field, "must be a number, and no huge one");
  *target = value->get<float>();
}

// Any integer names random numbers, the negative ones that some clients send as well.
std::optional<uint64_t> Seed(const Json& object) {
  const Json* value = Find(object, "seed");
  if (!value) return std::nullopt;
  if (!value->is_number_integer()) Refuse("seed", "must be an integer");
  return value->is_number_unsigned() ? value->get<uint64_t>()
                                     : static_cast<uint64_t>(value->get<int64_t>());
}

std::vector<std::string> Stops(const Json& object, const RequestLimits& limits) {
  const Json* value = Find(object, "stop");
  std::vector<std::string> stops;
  if (!value) return stops;
  const Json all = value->is_array() ? *value : Json::array({*value});
  if (static_cast<int64_t>(all.size()) > limits.stops)
    Refuse("stop", fmt::format("has {} strings; at most {} are taken", all.size(), limits.stops));
  for (const Json& stop : all) {
    if (!stop.is_string()) Refuse("stop", "must be a string or an array of strings");
    stops.push_back(stop.get<std::string>());
    if (stops.back().empty()) Refuse("stop", "holds an empty string, which would end every text");
    if (static_cast<int64_t>(stops.back().size()) > limits.stop_bytes)
      Refuse("stop", fmt::format("holds a string of over {} bytes", limits.stop_bytes));
  }
  return stops;
}

std::vector<std::pair<int32_t, float>> LogitBias(const Json& object, const RequestLimits& limits) {
  const Json* value = Find(object, "logit_bias");
  std::vector<std::pair<int32_t, float>> biases;
  if (!value) return biases;
  if (!value->is_object()) Refuse("logit_bias", "must be an object from token ids to numbers");
  if (static_cast<int64_t>(value->size()) > limits.logit_biases) {
    Refuse("logit_bias", fmt::format("names {} tokens; at most {} are taken", value->size(),
                                     limits.logit_biases));
  }
  for (const auto& [key, bias] : value->items()) {
    const bool digits =
        !key.empty() && key.size() <= 9 &&
        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits)
      Refuse("logit_bias", fmt::format("names '{}', which is no token id", Printable(key)));
    if (!bias.is_number() || !(std::abs(bias.get<double>()) <= 100))
      Refuse("logit_bias", "must have numbers from -100 to 100");
    biases.emplace_back(static_cast<int32_t>(std::stol(key)), bias.get<float>());
  }
  return biases;
}

std::vector<int32_t> TokenIds(const Json& value, const std::string& field) {
  if (!value.is_array()) Refuse(field, "must be an array of token ids");
  std::vector<int32_t> tokens;
  for (const Json& id : value)
    tokens.push_back(static_cast<int32_t>(IntegerOf(id, field, 0, INT32_MAX)));
  return tokens;
}

// What tools and their calls were before they were called so. To ignore it would be to answer
// wrongly. `field` names the place, `now` what it is called there.
void RefuseOld(const Json& object, const char* old, const std::string& field, const char* now) {
  if (!Find(object, old)) return;
  Refuse(field, fmt::format("is not supported by this server; use '{}'", now), "unsupported");
}

// The JSON Schema of what is to be answered; null: anything may be.
Json ResponseSchema(const Json& object) {
  const Json* format = Find(object, "response_format");
  if (!format) return {};
  if (!format->is_object()) Refuse("response_format", "must be an object");
  const std::string type = String(*format, "type");
  if (type == "text") return {};
  if (type == "json_object") return {{"type", "object"}};
  if (type != "json_schema") {
    Refuse("response_format", fmt::format("has the type '{}'; it must be text, json_object or "
                                          "json_schema",
                                          Printable(type, 40)));
  }
  const Json* wrapped = Find(*format, "json_schema");
  const Json* schema = wrapped && wrapped->is_object() ? Find(*wrapped, "schema") : nullptr;
  if (!schema || !(schema->is_object() || schema->is_boolean()))
    Refuse("response_format", R"(must have {"json_schema": {"name": ..., "schema": {...}}})");
  return *schema;
}

void ParseShared(const Json& object, const SamplingParams& standard, const RequestLimits& limits,
                 int64_t least_tokens, CompletionFields* fields) {
  RefuseOld(object, "functions", "functions", "tools");
  RefuseOld(object, "function_call", "function_call", "tool_choice");
  fields->model = String(object, "model");
  fields->stream = Bool(object, "stream", false);
  if (const Json* options = Find(object, "stream_options")) {
    if (!options->is_object()) Refuse("stream_options", "must be an object");
    if (!fields->stream) Refuse("stream_options", "is for streams; set 'stream' to true");
    fields->include_usage = Bool(*options, "include_usage", false);
  }
  fields->n = Integer(object, "n", 1, limits.completions).value_or(1);
  for (const char* field : {"max_tokens", "max_completion_tokens"}) {
    if (const auto most = Integer(object, field, least_tokens, INT32_MAX))
      fields->max_tokens = most;
  }
  SamplingParams& sampling = fields->sampling;
  sampling = standard;
  Real(object, "temperature", &sampling.temperature);
  Real(object, "top_p", &sampling.top_p);
  Real(object, "min_p", &sampling.min_p);
  Real(object, "repetition_penalty", &sampling.repetition_penalty);
  Real(object, "presence_penalty", &sampling.presence_penalty);
  Real(object, "frequency_penalty", &sampling.frequency_penalty);
  // -1 is what others call off.
  if (const auto top_k = Integer(object, "top_k", -1, INT32_MAX))
    sampling.top_k = static_cast<int32_t>(std::max<int64_t>(*top_k, 0));
  try {
    Validate(sampling);
  } catch (const UsageError& error) {  // "top_p is 2; it must be ..."
    const std::string what = error.what();
    throw ApiError(400, what, what.substr(0, what.find(' ')));
  }
  fields->seed = Seed(object);
  fields->ignore_eos = Bool(object, "ignore_eos", false);
  fields->stop = Stops(object, limits);
  fields->logit_bias = LogitBias(object, limits);
  fields->schema = ResponseSchema(object);
}

// OpenAI's messages hold a string or a list of parts, of which a model of text takes the texts.
std::string ContentText(const Json& content, const std::string& field) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) Refuse(field, "must be a string or an array of parts");
  std::string text;
  for (const Json& part : content) {
    if (!part.is_object()) Refuse(field, "must have objects as parts");
    const std::string type = String(part, "type");
    if (type != "text") {
      Refuse(
          field,
          fmt::format("has a part of type '{}'; this model takes text alone", Printable(type, 40)),
          "unsupported");
    }
    text += String(part, "text");
  }
  return text;
}

}  // namespace

Json ParseBody(const std::string& body, const RequestLimits& limits) {
  std::string why;
  auto value = TryParseJson<Json>(body, &why, limits.json_depth);
  if (!value) throw ApiError(400, fmt::format("the request's body: {}", why));
  if (!value->is_object()) throw ApiError(400, "the request's body must be a JSON object {...}");
  return *std::move(value);
}

std::vector<TextOrTokens> ParseTexts(const Json& object, const std::string& field) {
  constexpr const char* kMust = "must be a string, an array of strings, or token ids";
  std::vector<TextOrTokens> texts;
  const Json* value = Find(object, field);
  if (!value) Refuse(field, "is missing; add it");
  if (value->is_string()) {
    texts.emplace_back(value->get<std::string>());
  } else if (!value->is_array() || value->empty()) {
    Refuse(field, kMust);
  } else if (value->front().is_number()) {
    texts.emplace_back(TokenIds(*value, field));
  } else {
    for (const Json& one : *value) {
      if (one.is_string()) {
        texts.emplace_back(one.get<std::string>());
      } else if (one.is_array() && !one.empty()) {
        texts.emplace_back(TokenIds(one, field));
      } else {
        Refuse(field, kMust);
      }
    }
  }
  return texts;
}

Json ParseMessages(const Json& object, const RequestLimits& limits) {
  const Json* value = Find(object, "messages");
  if (!value || !value->is_array() || value->empty())
    Refuse("messages", "must be an array of at least one message");
  if (static_cast<int64_t>(value->size()) > limits.messages) {
    Refuse("messages",
           fmt::format("has {} messages; at most {} are taken", value->size(), limits.messages));
  }
  Json messages = Json::array();
  for (const Json& message : *value) {
    const std::string field = fmt::format("messages[{}]", messages.size());
    if (!message.is_object()) Refuse(field, "must be an object");
    std::string role = String(message, "role");
    if (role == "developer") role = "system";  // OpenAI's newer name
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      Refuse(field + ".role", fmt::format("is '{}'; it must be system, user, assistant or tool",
                                          Printable(role, 40)));
    }
    const auto content = message.find("content");
    if (content == message.end() && role != "assistant")
      Refuse(field + ".content", "is missing; add it");
    Json rendered = {
        {"role", role},
        {"content",
         content == message.end() ? std::string() : ContentText(*content, field + ".content")}};
    RefuseOld(message, "function_call", field + ".function_call", "tool_calls");
    if (role == "assistant") AddCallsOf(message, field, &rendered);
    for (const char* of_tool : {"tool_call_id", "name"}) {
      if (role == "tool" && Find(message, of_tool)) rendered[of_tool] = String(message, of_tool);
    }
    for (const char* thought : {"reasoning_content", "reasoning"}) {
      if (const std::string text = String(message, thought); !text.empty()) {
        rendered["reasoning_content"] = text;
        break;
      }
    }
    messages.push_back(std::move(rendered));
  }
  return messages;
}

bool ContinuesFinalMessage(const Json& object) {
  // DeepSeek's way to ask for it; the messages have been parsed.
  const Json& last = object.at("messages").back();
  const bool continues =
      Bool(last, "prefix", false) || Bool(object, "continue_final_message", false);
  if (continues && String(last, "role") != "assistant")
    Refuse("messages", "must end with the assistant's message for that to be continued");
  return continues;
}

Json ParseTemplateVariables(const Json& object) {
  Json variables = Json::object();
  const auto thinks = [&](bool on) { variables.update(ThinkingVariables(on)); };
  if (const Json* thinking = Find(object, "thinking")) {
    const std::string type = thinking->is_object() ? String(*thinking, "type") : "";
    if (type != "enabled" && type != "disabled")
      Refuse("thinking", R"(must be {"type": "enabled"} or {"type": "disabled"})");
    thinks(type == "enabled");
  }
  if (const std::string effort = String(object, "reasoning_effort"); !effort.empty()) {
    static const char* const kEfforts[] = {"none", "minimal", "low", "medium",
                                           "high", "xhigh",   "max"};
    if (std::find(std::begin(kEfforts), std::end(kEfforts), effort) == std::end(kEfforts)) {
      Refuse("reasoning_effort", fmt::format("is '{}'; it must be one of {}", Printable(effort, 40),
                                             fmt::join(kEfforts, ", ")));
    }
    thinks(effort != "none");
    variables["reasoning_effort"] = effort;
  }
  if (const Json* more = Find(object, "chat_template_kwargs")) {
    if (!more->is_object()) Refuse("chat_template_kwargs", "must be an object");
    variables.update(*more);
  }
  return variables;
}

ChatRequest ParseChatRequest(const std::string& body, const SamplingParams& standard,
                             const RequestLimits& limits) {
  const Json object = ParseBody(body, limits);
  ChatRequest request;
  ParseShared(object, standard, limits, /*least_tokens=*/1, &request);
  request.messages = ParseMessages(object, limits);
  request.tools = ParseTools(object, limits);
  request.continue_final_message = ContinuesFinalMessage(object);
  request.variables = ParseTemplateVariables(object);
  request.max_reasoning_tokens = Integer(object, "max_reasoning_tokens", 0, INT32_MAX);
  const auto top = Integer(object, "top_logprobs", 0, limits.top_logprobs);
  if (Bool(object, "logprobs", false)) {
    request.top_logprobs = top.value_or(0);
  } else if (top) {
    Refuse("top_logprobs", "needs 'logprobs' to be true");
  }
  return request;
}

TextRequest ParseTextRequest(const std::string& body, const SamplingParams& standard,
                             const RequestLimits& limits) {
  const Json object = ParseBody(body, limits);
  TextRequest request;
  // With 'echo' a prompt alone may be asked about.
  ParseShared(object, standard, limits, /*least_tokens=*/0, &request);
  if (Find(object, "max_reasoning_tokens")) {
    Refuse("max_reasoning_tokens",
           "is for /v1/chat/completions, which knows where a thought begins", "unsupported");
  }
  request.echo = Bool(object, "echo", false);
  request.top_logprobs = Integer(object, "logprobs", 0, limits.top_logprobs);
  request.prompts = ParseTexts(object, "prompt");
  request.suffix = String(object, "suffix");
  if (!request.suffix.empty()) {
    if (request.echo) Refuse("suffix", "cannot be had together with 'echo'", "unsupported");
    for (const TextOrTokens& prompt : request.prompts) {
      if (!std::holds_alternative<std::string>(prompt))
        Refuse("suffix", "needs prompts that are strings, not token ids", "unsupported");
    }
  }
  if (const auto best = Integer(object, "best_of", 1, limits.completions);
      best && *best != request.n)
    Refuse("best_of", "is not supported by this server, but as many as n", "unsupported");
  if (static_cast<int64_t>(request.prompts.size()) * request.n > limits.completions) {
    Refuse("n", fmt::format("times the number of prompts is over {}", limits.completions));
  }
  return request;
}

TokenizeRequest ParseTokenizeRequest(const std::string& body, const RequestLimits& limits) {
  const Json object = ParseBody(body, limits);
  if (!Find(object, "content")) Refuse("content", "is missing; add it");
  return {String(object, "content"), Bool(object, "parse_special", true)};
}

std::vector<int32_t> ParseDetokenizeRequest(const std::string& body, const RequestLimits& limits) {
  const Json object = ParseBody(body, limits);
  const Json* tokens = Find(object, "tokens");
  if (!tokens) Refuse("tokens", "is missing; add it");
  return TokenIds(*tokens, "tokens");
}

}  // namespace darkhorse
