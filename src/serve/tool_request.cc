#include "serve/tool_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/error.h"
#include "base/json.h"

namespace darkhorse {
namespace {

using namespace request_field;
using Json = nlohmann::ordered_json;

constexpr size_t kMostNameBytes = 64;  // of a tool
constexpr int kMostArgumentsDepth = 64;

Tool OneTool(const Json& tool) {
  const std::string type = tool.is_object() ? String(tool, "type") : "";
  const Json* function = type == "function" ? Find(tool, "function") : nullptr;
  if (!function || !function->is_object())
    Refuse("tools", R"(must hold {"type": "function", "function": {"name": ..., ...}})");
  Tool made{String(*function, "name"), nullptr};
  const auto plain = [](char c) {
    return IsAsciiLetter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  if (made.name.empty() || made.name.size() > kMostNameBytes ||
      !std::all_of(made.name.begin(), made.name.end(), plain)) {
    Refuse("tools", fmt::format("has the name '{}'; it must be 1 to {} letters, digits, _, - or .",
                                Printable(made.name, 80), kMostNameBytes));
  }
  if (const Json* parameters = Find(*function, "parameters")) {
    if (!parameters->is_object())
      Refuse("tools", fmt::format("has 'parameters' of '{}' that are no JSON Schema", made.name));
    const Json* root = Find(*parameters, "type");
    if (root && *root != "object") {
      Refuse(
          "tools",
          fmt::format("has 'parameters' of '{}' that are of another type than \"object\"; a call's "
                      "arguments are an object",
                      made.name));
    }
    made.parameters = *parameters;
  }
  return made;
}

}  // namespace

void AddCallsOf(const Json& message, const std::string& field, Json* rendered) {
  const Json* calls = Find(message, "tool_calls");
  if (!calls || (calls->is_array() && calls->empty())) return;
  const std::string where = field + ".tool_calls";
  if (!calls->is_array()) Refuse(where, "must be an array");
  for (const Json& call : *calls) {
    const Json* function = call.is_object() ? Find(call, "function") : nullptr;
    const std::string name = function && function->is_object() ? String(*function, "name") : "";
    if (name.empty()) Refuse(where, R"(must hold {"function": {"name": ..., "arguments": ...}})");
    const Json* arguments = Find(*function, "arguments");
    std::string text = "{}";
    if (arguments)
      text = arguments->is_string() ? arguments->get<std::string>() : arguments->dump();
    const auto value = TryParseJson<Json>(text, nullptr, kMostArgumentsDepth);
    if (!value || !value->is_object())
      Refuse(where, "must hold 'arguments' that are an object of JSON as a string");
    (*rendered)["tool_calls"].push_back({{"id", String(call, "id")},
                                         {"type", "function"},
                                         {"function", {{"name", name}, {"arguments", text}}}});
  }
  if ((*rendered)["content"] == "") (*rendered)["content"] = nullptr;
}

void SpellOutArguments(Json* messages) {
  for (Json& message : *messages) {
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      Json& arguments = call["function"]["arguments"];
      if (arguments.is_string()) arguments = Json::parse(arguments.get<std::string>());
    }
  }
}

ToolFields ParseTools(const Json& object, const RequestLimits& limits) {
  ToolFields fields;
  if (const Json* tools = Find(object, "tools"); tools && !(tools->is_array() && tools->empty())) {
    if (!tools->is_array()) Refuse("tools", "must be an array");
    if (static_cast<int64_t>(tools->size()) > limits.tools)
      Refuse("tools", fmt::format("are {}; at most {} are taken", tools->size(), limits.tools));
    for (const Json& tool : *tools) fields.tools.push_back(OneTool(tool));
    fields.offered = *tools;
    fields.choice = ToolFields::Choice::kAuto;
  }
  fields.several = Bool(object, "parallel_tool_calls", true);
  const Json* choice = Find(object, "tool_choice");
  if (!choice) return fields;
  std::string named;
  if (choice->is_object()) {
    const Json* function = Find(*choice, "function");
    named = function && function->is_object() ? String(*function, "name") : "";
  }
  if (*choice == "none") {
    fields.choice = ToolFields::Choice::kNone;
    fields.offered = nullptr;
  } else if (*choice == "required" || !named.empty()) {
    fields.choice = ToolFields::Choice::kRequired;
    if (!named.empty()) {
      std::erase_if(fields.tools, [&](const Tool& tool) { return tool.name != named; });
      fields.several = false;
    }
    if (fields.tools.empty()) Refuse("tool_choice", "asks for a tool that 'tools' does not have");
  } else if (*choice != "auto") {
    Refuse(
        "tool_choice",
        R"(must be "none", "auto", "required" or {"type": "function", "function": {"name": ...}})");
  }
  return fields;
}

}  // namespace darkhorse
