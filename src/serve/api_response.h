// What a client is answered: OpenAI's objects, with DeepSeek's fields of thoughts and of the prompt
// cache. Texts are made valid UTF-8.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "serve/api_error.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace darkhorse {

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, those that had not to be computed
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // of the completion
};

// A token of the content and how probable it and the likeliest others were.
struct TokenChance {
  int32_t token;
  std::optional<float> logp;  // none: nothing stood before it
  std::vector<TokenLogp> top;
  int64_t offset = 0;  // of a text, in which of its characters the token begins
};

// What a chunk of a stream, or a whole answer, says of one choice.
struct ChoicePart {
  int64_t index = 0;
  std::string thought, content;
  std::vector<ToolCall> calls;
  int64_t first_call = 0;  // how many calls came before these
  std::vector<TokenChance> chances;
  const char* finish = nullptr;  // "stop", "length" or "tool_calls"; null: it goes on
};

// The words of all answers to one request.
class ApiResponse {
 public:
  enum class Kind { kChat, kText };

  // with_chances: the request asked for logprobs.
  ApiResponse(Kind kind, const std::string& model, const Tokenizer& tokenizer, bool with_chances);

  // A whole answer.
  std::string Whole(const std::vector<ChoicePart>& choices, const Usage& usage) const;
  // Events of a stream: "data: {...}\n\n".
  std::string Opening(int64_t index) const;  // says whose turn it is; empty for texts
  std::string Chunk(const ChoicePart& part) const;
  std::string UsageChunk(const Usage& usage) const;
  // An event that says that the answer cannot go on, and the one that ends every stream.
  static std::string ErrorEvent(const ApiError& why);
  static std::string Done();

 private:
  using Json = nlohmann::ordered_json;
  Json Frame(bool chunk) const;
  Json Choice(const ChoicePart& part, const char* holder, Json held) const;
  Json Chances(const std::vector<TokenChance>& chances) const;
  std::string Event(const Json& json) const;

  Kind kind_;
  std::string model_, id_;
  int64_t created_;
  Tokenizer tokenizer_;
  bool with_chances_;
};

// Text of JSON, in which bytes that are not UTF-8 are replaced.
std::string DumpJson(const nlohmann::ordered_json& json);

// 64 bits that nobody has seen before.
uint64_t FreshBits();

}  // namespace darkhorse
