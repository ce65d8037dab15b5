// What a request says of tools: those that the model may call, and the calls in its messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/request_field.h"
#include "text/tool_calls.h"

namespace darkhorse {

// The functions that a model may call, and whether it does.
struct ToolFields {
  enum class Choice { kNone, kAuto, kRequired };
  nlohmann::ordered_json offered;  // as a chat template takes them: an array, or null
  std::vector<Tool> tools;         // those that may be called
  Choice choice = Choice::kNone;
  bool several = true;  // calls in one answer
};

// The members `tools`, `tool_choice` and `parallel_tool_calls`. ApiError 400.
ToolFields ParseTools(const nlohmann::ordered_json& object, const RequestLimits& limits);

// Gives a rendered message the calls of the assistant's `message`, and null as its content where
// that is empty; their arguments stay strings. `field` names the message. ApiError 400.
void AddCallsOf(const nlohmann::ordered_json& message, const std::string& field,
                nlohmann::ordered_json* rendered);
// Makes objects of the arguments of all calls, as most templates want them.
void SpellOutArguments(nlohmann::ordered_json* messages);

}  // namespace darkhorse
