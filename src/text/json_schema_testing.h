// Tests only: the documents of a schema.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "text/json_schema.h"

namespace darkhorse {

class Documents {
 public:
  explicit Documents(const nlohmann::ordered_json& schema) : reader_(Grammar(schema)) {}
  explicit Documents(const char* schema) : Documents(nlohmann::ordered_json::parse(schema)) {}

  static std::shared_ptr<const ByteGrammar> Grammar(const nlohmann::ordered_json& schema) {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    grammar->Finish(AddJsonSchema(&json, schema, "schema"));
    return grammar;
  }
  static std::string Refusal(const char* schema) {
    try {
      Grammar(nlohmann::ordered_json::parse(schema));
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  }

  bool Takes(std::string_view text) { return reader_.MayEnd(After(text)); }
  // How many bytes of the text can be read.
  size_t Read(std::string_view text) {
    auto state = reader_.Start();
    for (size_t i = 0; i < text.size(); ++i) {
      state = reader_.Next(state, static_cast<uint8_t>(text[i]));
      if (state == ByteGrammarReader::kDead) return i;
    }
    return text.size();
  }
  ByteGrammarReader::State After(std::string_view text) {
    auto state = reader_.Start();
    for (const char byte : text) state = reader_.Next(state, static_cast<uint8_t>(byte));
    return state;
  }
  ByteGrammarReader& reader() { return reader_; }

 private:
  ByteGrammarReader reader_;
};

}  // namespace darkhorse
