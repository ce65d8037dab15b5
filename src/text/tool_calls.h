// Calls of tools as models write them in their answers. Which way a model writes them is told by
// its chat template, which shows it the way.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_grammar.h"

namespace darkhorse {

enum class ToolCallFormat {
  kTagged,  // <tool_call>{"name": …, "arguments": …}</tool_call>: Qwen, Hermes, SmolLM
  kDeepSeek,  // <｜tool▁call▁begin｜>function<｜tool▁sep｜>name, and ```json … ```: V3, R1
  kDeepSeekPlain,  // <｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜>: V3.1
  kLlama,  // {"name": …, "parameters": …} and nothing else, perhaps behind <|python_tag|>
};

// Of a model with this chat template; none: it shows no tools, or calls of another form.
std::optional<ToolCallFormat> ToolCallFormatOf(std::string_view chat_template);

// The texts that mark calls, which may be special tokens.
std::vector<std::string> ToolCallMarks(ToolCallFormat format);

struct ToolCall {
  std::string name;
  std::string arguments;  // an object of JSON, on one line, numbers as they were spelt
  bool operator==(const ToolCall&) const = default;
};

// Takes the calls out of an answer's content, as it comes.
class ToolCallReader {
 public:
  // names: of the tools that there are. What calls another is content.
  ToolCallReader(ToolCallFormat format, std::vector<std::string> names);

  struct Piece {
    std::string content;
    std::vector<ToolCall> calls;
  };
  // What is certain now that the content has grown: what may become a call waits, and so does white
  // space that may stand beside one, which is dropped. A call comes when it is complete.
  Piece Next(std::string_view text);
  // What still waits. A call that lacks nothing but its closing mark is one.
  Piece End();

 private:
  Piece NextMarked(bool end);
  Piece NextWhole(bool end);
  std::optional<ToolCall> Call(std::string_view body) const;
  std::optional<ToolCall> CallOf(std::string_view json, const char* arguments) const;
  std::optional<ToolCall> Known(std::string name, std::string_view arguments) const;

  ToolCallFormat format_;
  std::vector<std::string> names_;
  std::string open_, close_;         // marks of a call; none: the whole content is one
  std::vector<std::string> around_;  // marks that stand around calls
  std::string held_;
  bool called_ = false;   // the last thing that was not white space was a call
  bool content_ = false;  // of NextWhole: it is none
};

struct Tool {
  std::string name;
  nlohmann::ordered_json parameters;  // JSON Schema of its arguments; null: any object
};

// A rule that reads a call of one of the tools, or, with `several`, one or more. Error: as
// AddJsonSchema, naming the tool.
ByteGrammar::Rule AddToolCalls(JsonGrammar* json, ToolCallFormat format,
                               const std::vector<Tool>& tools, bool several);

}  // namespace darkhorse
