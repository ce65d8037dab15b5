#include "base/json_spelling.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace darkhorse {
namespace {

using nlohmann::json;

// The end of the string that begins at `at`: behind its closing quote.
size_t StringEnd(std::string_view text, size_t at) {
  for (++at; text[at] != '"'; ++at) at += text[at] == '\\';
  return at + 1;
}

// The end of the value that begins at `at`; `text` is compact.
size_t ValueEnd(std::string_view text, size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    at = c == '"' ? StringEnd(text, at) : at + 1;
  }
  return at;
}

}  // namespace

std::string CompactJson(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // parsers pass over it
  std::string compact;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '"' ? StringEnd(text, at) : at + 1;
    if (std::string_view(" \t\r\n").find(text[at]) == std::string_view::npos)
      compact += text.substr(at, end - at);
    at = end;
  }
  return compact;
}

std::vector<JsonMember> JsonMembers(std::string_view object) {
  const std::string text = CompactJson(object);
  CHECK(text.starts_with('{') && text.ends_with('}'));
  std::vector<JsonMember> members;
  for (size_t at = 1; text[at - 1] != '}' && text[at] != '}';) {
    const size_t colon = StringEnd(text, at);
    const size_t end = ValueEnd(text, colon + 1);
    members.push_back({json::parse(text.substr(at, colon - at)).get<std::string>(),
                       text.substr(colon + 1, end - colon - 1)});
    at = end + 1;
  }
  return members;
}

std::string JsonObjectOf(const std::vector<JsonMember>& members) {
  std::string text;
  for (const JsonMember& member : members) {
    text += text.empty() ? "{" : ",";
    text += json(member.key).dump() + ":" + member.value;
  }
  return text.empty() ? "{}" : text + "}";
}

}  // namespace darkhorse
