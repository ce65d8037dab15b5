// Picks fields out of one line of JSON and fills them into a template. The line is streamed through
// the parser, so what it holds besides those fields costs no memory, however deeply it is nested.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

class JsonTemplate {
 public:
  // The document is the value of this one field.
  static JsonTemplate Field(const std::string& name);

  // "{question}\n{answer}": {name} is replaced by the field's value; \n, \t and \\ are a newline, a
  // tab and a backslash, {{ and }} are braces. UsageError: an unclosed or empty {name}, no field at
  // all.
  static JsonTemplate Parse(std::string_view text);

  // Fills *document from one JSON object. The fields lie at its top level and hold strings or
  // numbers; numbers keep their spelling. If a key occurs twice, the last one counts. Returns "",
  // or why the line cannot be used; then *document is unspecified.
  std::string Render(std::string_view line, std::string* document) const;

 private:
  std::vector<std::string> literals_;  // one more than fields_: before, between and behind them
  std::vector<std::string> fields_;
};

}  // namespace darkhorse
