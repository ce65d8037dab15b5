// A template's text as tokens, as jinja2 cuts it with trim_blocks and lstrip_blocks: the newline
// behind a block is dropped, and the white space before one that begins its line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/template/value.h"

namespace darkhorse::jinja {

struct Token {
  enum class Kind {
    kData,           // text: what lies between blocks
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  int line = 1;      // from 1
  std::string text;  // data, a name, an operator, a string's value
  Int integer = 0;
  double number = 0;

  bool Is(std::string_view op) const { return kind == Kind::kOperator && text == op; }
  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
};

// The last token is kEnd. Error "line N: ...": what is no template.
std::vector<Token> Tokenize(std::string_view source);

}  // namespace darkhorse::jinja
