// A TOML document with an array of tables, [[stage]], taken apart: each table becomes a document of
// its own whose lines keep their numbers, so that what reads it (base/fields.h) names the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkhorse {

struct TomlParts {
  std::string rest;                 // the document without the tables
  std::vector<std::string> tables;  // [stage.x] within is [x]
};

// UsageError: no TOML, or tables that are not headed by [[array]] on a line of its own.
TomlParts SplitTables(std::string_view text, const std::string& name, const std::string& array);

// The text at a key of the document's top; "" where there is none. UsageError: it is no text.
std::string TomlText(std::string_view text, const std::string& name, const std::string& key);

}  // namespace darkhorse
