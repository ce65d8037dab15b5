// What a client asks for: OpenAI's requests, and the fields that DeepSeek and others add, as plain
// structs. Unknown fields are ignored, as OpenAI's server does; what is known is checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "infer/sampler.h"
#include "text/tool_calls.h"

namespace darkhorse {

// How large what a client asks for may be.
struct RequestLimits {
  int64_t completions = 128;  // of one request: prompts times n
  int64_t stops = 16;
  int64_t stop_bytes = 256;
  int64_t top_logprobs = 20;
  int64_t logit_biases = 1024;
  int64_t messages = 4096;
  int64_t tools = 128;
  int json_depth = 64;
};

// What both kinds of completions have.
struct CompletionFields {
  std::string model;  // empty: whichever there is
  bool stream = false;
  bool include_usage = false;  // of a stream, in a chunk of its own at the end
  int64_t n = 1;
  std::optional<int64_t> max_tokens;
  SamplingParams sampling;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::optional<int64_t> top_logprobs;  // none: no logprobs at all
  std::vector<std::pair<int32_t, float>> logit_bias;
  nlohmann::ordered_json schema;  // a JSON Schema that the answer must satisfy; null: none
};

// The functions that a model may call, and whether it does.
struct ToolFields {
  enum class Choice { kNone, kAuto, kRequired };
  nlohmann::ordered_json offered;  // as a chat template takes them: an array, or null
  std::vector<Tool> tools;         // those that may be called
  Choice choice = Choice::kNone;
  bool several = true;  // calls in one answer
};

struct ChatRequest : CompletionFields {
  // For a chat template: contents are strings, or null beside calls of tools, whose arguments are
  // strings.
  nlohmann::ordered_json messages;
  ToolFields tools;
  nlohmann::ordered_json variables;  // of the template; an object
  bool continue_final_message = false;
};

struct TextRequest : CompletionFields {
  std::vector<std::variant<std::string, std::vector<int32_t>>> prompts;
  bool echo = false;
};

// The request that `body` holds. `standard`: what is sampled with where it says nothing. ApiError
// 400 naming the field, what is wrong with it and what it must be.
ChatRequest ParseChatRequest(const std::string& body, const SamplingParams& standard,
                             const RequestLimits& limits);
TextRequest ParseTextRequest(const std::string& body, const SamplingParams& standard,
                             const RequestLimits& limits);

// Text to tokenize: `content`, in which special tokens are read unless `parse_special` is false.
struct TokenizeRequest {
  std::string content;
  bool special = true;
};
TokenizeRequest ParseTokenizeRequest(const std::string& body, const RequestLimits& limits);
std::vector<int32_t> ParseDetokenizeRequest(const std::string& body, const RequestLimits& limits);

// The object that `body` holds. ApiError 400.
nlohmann::ordered_json ParseBody(const std::string& body, const RequestLimits& limits);

// The member `messages` as a chat template takes it. ApiError 400.
nlohmann::ordered_json ParseMessages(const nlohmann::ordered_json& object,
                                     const RequestLimits& limits);
// The arguments of its calls of tools as the objects that they spell, as most templates want them.
void SpellOutArguments(nlohmann::ordered_json* messages);
// The members `tools`, `tool_choice` and `parallel_tool_calls`. ApiError 400.
ToolFields ParseTools(const nlohmann::ordered_json& object, const RequestLimits& limits);
// Whether the last of them is to be continued. ApiError 400: it is not the assistant's.
bool ContinuesFinalMessage(const nlohmann::ordered_json& object);
// What else the request tells the template, such as {"enable_thinking": false}. ApiError 400.
nlohmann::ordered_json ParseTemplateVariables(const nlohmann::ordered_json& object);

}  // namespace darkhorse
