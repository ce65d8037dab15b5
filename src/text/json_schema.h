// JSON Schema as rules of a grammar: the documents that a model may write so that they satisfy it.
//
// They are a part of those that do: properties come in the schema's order, and beyond those that
// are named others only where additionalProperties says so. docs/serve.md has what is supported.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/json_grammar.h"

namespace darkhorse {

// The largest schema that is taken: bytes, and nodes of its grammar.
inline constexpr size_t kMostSchemaBytes = 128 << 10, kMostSchemaNodes = 100'000;

// A rule that reads the documents. Error: "<where>: '<keyword>' <what is wrong>", where `name` and
// a JSON pointer say where, for a keyword that is wrong or not supported, or a schema too large.
ByteGrammar::Rule AddJsonSchema(JsonGrammar* json, const nlohmann::ordered_json& schema,
                                const std::string& name);

}  // namespace darkhorse
