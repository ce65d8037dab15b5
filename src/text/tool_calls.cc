#include "text/tool_calls.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/ascii.h"
#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_spelling.h"
#include "text/json_schema.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kCallOpen = "<tool_call>", kCallClose = "</tool_call>";
constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>",
                           kCallsEnd = "<｜tool▁calls▁end｜>", kCallBegin = "<｜tool▁call▁begin｜>",
                           kCallEnd = "<｜tool▁call▁end｜>", kSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kFence = "```json", kFenceEnd = "```";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kSpaces = " \t\r\n";
constexpr int kMostNested = 64;

bool Has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// How many bytes at the end of `text` may be the beginning of `mark`.
size_t Unfinished(std::string_view text, std::string_view mark) {
  for (size_t size = std::min(text.size(), mark.size() - 1); size > 0; --size) {
    if (text.ends_with(mark.substr(0, size))) return size;
  }
  return 0;
}

std::optional<Json> ObjectIn(std::string_view text) {
  auto value = TryParseJson<Json>(text, nullptr, kMostNested);
  return value && value->is_object() ? std::move(value) : std::nullopt;
}

}  // namespace

std::optional<ToolCallFormat> ToolCallFormatOf(std::string_view chat_template) {
  if (!Has(chat_template, "tools") && !Has(chat_template, "tool_calls")) return std::nullopt;
  if (Has(chat_template, kCallBegin)) {
    return Has(chat_template, kFence) ? ToolCallFormat::kDeepSeek : ToolCallFormat::kDeepSeekPlain;
  }
  // Qwen3-Coder's calls are tagged, too, but no JSON.
  if (Has(chat_template, kCallOpen) && !Has(chat_template, "<function="))
    return ToolCallFormat::kTagged;
  if (Has(chat_template, kPythonTag) || Has(chat_template, "\"parameters\": "))
    return ToolCallFormat::kLlama;
  return std::nullopt;
}

std::vector<std::string> ToolCallMarks(ToolCallFormat format) {
  const auto texts = [](auto... marks) { return std::vector<std::string>{std::string(marks)...}; };
  switch (format) {
    case ToolCallFormat::kTagged:
      return texts(kCallOpen, kCallClose);
    case ToolCallFormat::kLlama:
      return texts(kPythonTag);
    default:
      return texts(kCallBegin, kCallEnd, kCallsBegin, kCallsEnd, kSeparator);
  }
}

ToolCallReader::ToolCallReader(ToolCallFormat format, std::vector<std::string> names)
    : format_(format), names_(std::move(names)) {
  if (format == ToolCallFormat::kLlama) return;
  const bool tagged = format == ToolCallFormat::kTagged;
  open_ = tagged ? kCallOpen : kCallBegin;
  close_ = tagged ? kCallClose : kCallEnd;
  if (!tagged) around_ = {std::string(kCallsBegin), std::string(kCallsEnd)};
}

std::optional<ToolCall> ToolCallReader::Known(std::string name, std::string_view arguments) const {
  if (std::find(names_.begin(), names_.end(), name) == names_.end()) return std::nullopt;
  if (!ObjectIn(arguments)) return std::nullopt;
  return ToolCall{std::move(name), CompactJson(arguments)};
}

// {"name": …, <arguments>: …}. Some models write the arguments as a string that holds an object.
std::optional<ToolCall> ToolCallReader::CallOf(std::string_view json, const char* arguments) const {
  const std::optional<Json> call = ObjectIn(json);
  if (!call || !call->contains("name") || !(*call)["name"].is_string()) return std::nullopt;
  std::string spelt = "{}";
  for (JsonMember& member : JsonMembers(json)) {
    if (member.key == arguments) spelt = std::move(member.value);
  }
  if (spelt.starts_with('"')) spelt = (*call)[arguments].get<std::string>();
  return Known((*call)["name"].get<std::string>(), spelt);
}

// What stands between the marks of a call.
std::optional<ToolCall> ToolCallReader::Call(std::string_view body) const {
  if (format_ == ToolCallFormat::kTagged) return CallOf(TrimAscii(body), "arguments");
  const size_t separator = body.find(kSeparator);
  if (separator == body.npos) return std::nullopt;
  const std::string_view head = TrimAscii(body.substr(0, separator));
  std::string_view rest = TrimAscii(body.substr(separator + kSeparator.size()));
  if (rest.starts_with('{')) return Known(std::string(head), rest);
  const size_t fence = rest.find(kFence);
  if (fence == rest.npos) return std::nullopt;
  const std::string name(TrimAscii(rest.substr(0, fence)));
  rest = TrimAscii(rest.substr(fence + kFence.size()));
  if (rest.ends_with(kFenceEnd)) rest.remove_suffix(kFenceEnd.size());
  return Known(name, TrimAscii(rest));
}

ToolCallReader::Piece ToolCallReader::Next(std::string_view text) {
  held_ += text;
  return open_.empty() ? NextWhole(/*end=*/false) : NextMarked(/*end=*/false);
}

ToolCallReader::Piece ToolCallReader::End() {
  return open_.empty() ? NextWhole(/*end=*/true) : NextMarked(/*end=*/true);
}

ToolCallReader::Piece ToolCallReader::NextMarked(bool end) {
  Piece piece;
  const auto say = [&](std::string_view content) {
    if (called_)
      content.remove_prefix(std::min(content.find_first_not_of(kSpaces), content.size()));
    if (content.empty()) return;
    called_ = false;
    piece.content += content;
  };
  while (true) {
    // The mark that comes first.
    size_t at = held_.find(open_), size = open_.size();
    bool opens = at != held_.npos;
    for (const std::string& mark : around_) {
      const size_t found = held_.find(mark);
      if (found < at) at = found, size = mark.size(), opens = false;
    }
    if (at == held_.npos) break;
    const std::string_view before = std::string_view(held_).substr(0, at);
    const size_t last = before.find_last_not_of(kSpaces);
    const std::string_view content = before.substr(0, last == before.npos ? 0 : last + 1);
    if (!opens) {
      say(content);
      called_ = true;
      held_.erase(0, at + size);
      continue;
    }
    // The arguments may hold the closing mark themselves.
    std::optional<ToolCall> call;
    size_t close = held_.find(close_, at + size), behind = 0;
    for (; close != held_.npos && !call; close = held_.find(close_, close + 1)) {
      behind = close + close_.size();
      call = Call(std::string_view(held_).substr(at + size, close - at - size));
    }
    if (!call && end) {
      call = Call(std::string_view(held_).substr(at + size));
      behind = held_.size();
    }
    if (call) {
      say(content);
      called_ = true;
      piece.calls.push_back(*std::move(call));
      held_.erase(0, behind);
      continue;
    }
    if (!end) {  // it is still being written; white space before it waits too
      say(content);
      held_.erase(0, content.size());
      return piece;
    }
    // No call, but said.
    say(std::string_view(held_).substr(0, at + size));
    held_.erase(0, at + size);
  }
  size_t kept = 0;
  if (!end) {
    kept = Unfinished(held_, open_);
    for (const std::string& mark : around_) kept = std::max(kept, Unfinished(held_, mark));
    const std::string_view certain = std::string_view(held_).substr(0, held_.size() - kept);
    const size_t last = certain.find_last_not_of(kSpaces);
    kept = held_.size() - (last == certain.npos ? 0 : last + 1);
  }
  say(std::string_view(held_).substr(0, held_.size() - kept));
  held_.erase(0, held_.size() - kept);
  return piece;
}

// Of a format whose calls are an answer's whole content.
ToolCallReader::Piece ToolCallReader::NextWhole(bool end) {
  Piece piece;
  if (!content_) {
    const std::string_view said = TrimAscii(held_);
    const bool begins = said.starts_with('{') || said.starts_with(kPythonTag) ||
                        kPythonTag.starts_with(said);  // nothing so far, too
    if (begins && !end) return piece;
    std::string_view json = said;
    if (json.starts_with(kPythonTag)) json = TrimAscii(json.substr(kPythonTag.size()));
    std::optional<ToolCall> call = CallOf(json, "parameters");
    if (begins && call) {
      piece.calls.push_back(*std::move(call));
      held_.clear();
      return piece;
    }
    content_ = true;
  }
  piece.content = std::exchange(held_, {});
  return piece;
}

namespace {

// What calls a tool is an object, or it is no call.
ByteGrammar::Rule AddArguments(JsonGrammar* json, const Tool& tool) {
  const std::string name = fmt::format("the parameters of '{}'", tool.name);
  Json schema = tool.parameters.is_null() ? Json::object() : tool.parameters;
  const auto says = [&](const char* keyword) { return schema.contains(keyword); };
  if (!says("type") && !says("$ref") && !says("anyOf") && !says("oneOf") && !says("allOf"))
    schema["type"] = "object";
  auto alone = std::make_shared<ByteGrammar>();
  JsonGrammar documents(alone.get());
  const ByteGrammar::Rule root = AddJsonSchema(&documents, schema, name);
  try {
    alone->Finish(root);
  } catch (const Error& error) {
    Fail("{}: {}", name, error.what());
  }
  ByteGrammarReader reader(alone);
  for (int byte = 0; byte < 256; ++byte) {
    if (byte != '{' && reader.Next(reader.Start(), static_cast<uint8_t>(byte)) != reader.kDead)
      Fail("{} allow what is no object; give their schema \"type\": \"object\"", name);
  }
  return AddJsonSchema(json, schema, name);
}

}  // namespace

ByteGrammar::Rule AddToolCalls(JsonGrammar* json, ToolCallFormat format,
                               const std::vector<Tool>& tools, bool several) {
  ByteGrammar& grammar = json->grammar();
  const ByteGrammar::Rule rule = grammar.AddRule();
  const auto text = [](auto... parts) { return (std::string() + ... + std::string(parts)); };
  std::string before, between = "\n", behind;
  if (format == ToolCallFormat::kDeepSeek || format == ToolCallFormat::kDeepSeekPlain) {
    before = kCallsBegin;
    behind = kCallsEnd;
    if (format == ToolCallFormat::kDeepSeekPlain) between.clear();
  }
  const auto first =
      before.empty() ? grammar.Start(rule) : grammar.AddText(grammar.Start(rule), before);
  const auto done = grammar.AddNode(rule);
  const ByteGrammar::Rule one = grammar.AddRule();
  grammar.AddCall(first, one, done);
  for (const Tool& tool : tools) {
    std::string head, tail;
    switch (format) {
      case ToolCallFormat::kTagged:
        head = text(kCallOpen, "\n{\"name\": ", JsonSpelling(tool.name), ", \"arguments\": ");
        tail = text("}\n", kCallClose);
        break;
      case ToolCallFormat::kDeepSeek:
        head = text(kCallBegin, "function", kSeparator, tool.name, "\n", kFence, "\n");
        tail = text("\n", kFenceEnd, kCallEnd);
        break;
      case ToolCallFormat::kDeepSeekPlain:
        head = text(kCallBegin, tool.name, kSeparator);
        tail = kCallEnd;
        break;
      case ToolCallFormat::kLlama:
        head = text("{\"name\": ", JsonSpelling(tool.name), ", \"parameters\": ");
        tail = "}";
        break;
    }
    const ByteGrammar::Rule arguments = AddArguments(json, tool);
    const auto open = grammar.AddText(grammar.Start(one), head);
    grammar.SetEnd(grammar.AddText(grammar.AddCall(open, arguments), tail));
  }
  if (several && format != ToolCallFormat::kLlama) {
    grammar.AddCall(between.empty() ? done : grammar.AddText(done, between), one, done);
  }
  grammar.SetEnd(behind.empty() ? done : grammar.AddText(done, behind));
  return rule;
}

}  // namespace darkhorse
