// Reading the fields of a request's JSON object, and how large they may be.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace darkhorse {

// How large what a client asks for may be.
struct RequestLimits {
  int64_t completions = 128;  // of one request: prompts times n
  int64_t inputs = 2048;      // texts to embed
  int64_t stops = 16;
  int64_t stop_bytes = 256;
  int64_t top_logprobs = 20;
  int64_t logit_biases = 1024;
  int64_t messages = 4096;
  int64_t tools = 128;
  int json_depth = 64;
};

namespace request_field {

// ApiError 400: "'field' <what>".
[[noreturn]] void Refuse(const std::string& field, const std::string& what,
                         const std::string& code = "");

// The member; null where there is none, for clients send null for what they leave out.
const nlohmann::ordered_json* Find(const nlohmann::ordered_json& object, const std::string& field);

// Members of a type; ApiError 400 where they are of another.
bool Bool(const nlohmann::ordered_json& object, const std::string& field, bool standard);
std::string String(const nlohmann::ordered_json& object, const std::string& field);  // or ""
std::optional<int64_t> Integer(const nlohmann::ordered_json& object, const std::string& field,
                               int64_t low, int64_t high);
int64_t IntegerOf(const nlohmann::ordered_json& value, const std::string& field, int64_t low,
                  int64_t high);

}  // namespace request_field
}  // namespace darkhorse
