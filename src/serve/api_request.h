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
#include "serve/request_field.h"
#include "serve/tool_request.h"

namespace darkhorse {

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
  bool ignore_eos = false;              // goes on where the model would end, up to max_tokens
  std::optional<int64_t> top_logprobs;  // none: no logprobs at all
  std::vector<std::pair<int32_t, float>> logit_bias;
  nlohmann::ordered_json schema;  // a JSON Schema that the answer must satisfy; null: none
};

struct ChatRequest : CompletionFields {
  // For a chat template: contents are strings, or null beside calls of tools, whose arguments are
  // strings.
  nlohmann::ordered_json messages;
  ToolFields tools;
  nlohmann::ordered_json variables;  // of the template; an object
  bool continue_final_message = false;
  std::optional<int64_t> max_reasoning_tokens;  // a thought is ended then
};

// A text, or the tokens of one.
using TextOrTokens = std::variant<std::string, std::vector<int32_t>>;

struct TextRequest : CompletionFields {
  std::vector<TextOrTokens> prompts;
  bool echo = false;  // the texts begin with the prompts
  std::string
      suffix;  // what the texts are followed by, where the prompts are strings; may be empty
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

// A member that is a text, token ids, or an array of either. ApiError 400.
std::vector<TextOrTokens> ParseTexts(const nlohmann::ordered_json& object,
                                     const std::string& field);

// The member `messages` as a chat template takes it. ApiError 400.
nlohmann::ordered_json ParseMessages(const nlohmann::ordered_json& object,
                                     const RequestLimits& limits);
// Whether the last of them is to be continued. ApiError 400: it is not the assistant's.
bool ContinuesFinalMessage(const nlohmann::ordered_json& object);
// What else the request tells the template, such as {"enable_thinking": false}. ApiError 400.
nlohmann::ordered_json ParseTemplateVariables(const nlohmann::ordered_json& object);

}  // namespace darkhorse
