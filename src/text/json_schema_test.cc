#include "text/json_schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/byte_grammar_reader.h"
#include "base/error.h"
#include "base/json.h"
#include "text/answer_grammar.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

class Documents {
 public:
  explicit Documents(const Json& schema) : reader_(Grammar(schema)) {}
  explicit Documents(const char* schema) : Documents(Json::parse(schema)) {}

  static std::shared_ptr<const ByteGrammar> Grammar(const Json& schema) {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    grammar->Finish(AddJsonSchema(&json, schema, "schema"));
    return grammar;
  }
  static std::string Refusal(const char* schema) {
    try {
      Grammar(Json::parse(schema));
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

void ExpectTakes(const char* schema, const std::vector<const char*>& right,
                 const std::vector<const char*>& wrong) {
  Documents documents(schema);
  for (const char* text : right) EXPECT_TRUE(documents.Takes(text)) << schema << ": " << text;
  for (const char* text : wrong) EXPECT_FALSE(documents.Takes(text)) << schema << ": " << text;
}

TEST(JsonSchema, AnyValue) {
  ExpectTakes("{}",
              {"null", "true", "false", "0", "-1.5e+10", "12.25", "\"\"", "\"a\\n\\u00e4\"", "[]",
               "[1, [2],{}]", "{}", "{\"a\": {\"b\":[null]}, \"c\":1}", "[\n  1,\n  2\n]",
               "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\xC3\xA4\xE2\x82\xAC\"", "1E5"},
              {"",
               "nul",
               "01",
               "1.",
               ".5",
               "+1",
               "1e",
               "'a'",
               "\"",
               "\"\n\"",
               "\"\\x\"",
               "[1,]",
               "[,1]",
               "{\"a\"}",
               "{a:1}",
               "{\"a\":1,}",
               "[1 2]",
               "[1]]",
               "\"\xC3\"",
               "\"\xC0\x80\"",
               "\"\xED\xA0\x80\"",
               "\"\xF4\x90\x80\x80\"",
               "\"\\ud83d\"",
               "\"\\ude00\"",
               "\"\\ud83d\\u0041\"",
               "NaN",
               "1e999",
               "[1,  2]",
               " 1"});
}

TEST(JsonSchema, TypesAreKept) {
  ExpectTakes(R"({"type":"integer"})", {"0", "-7", "123456789012345678", "-999999999999999999"},
              {"1.0", "1e3", "01", "-0", "1234567890123456789", "\"1\""});
  ExpectTakes(R"({"type":["string","null"]})", {"\"a\"", "null"}, {"1", "[]"});
  ExpectTakes(R"({"type":"string","nullable":true})", {"\"a\"", "null"}, {"1"});
  ExpectTakes(R"({"type":"boolean"})", {"true", "false"}, {"null", "0"});
  ExpectTakes(R"({"type":"object"})", {"{}", "{\"a\":1}", "{ }"}, {"[]", "1"});
  ExpectTakes("true", {"1", "[]"}, {"x"});
}

TEST(JsonSchema, IntegersKeepTheirBounds) {
  const std::pair<int, int> bounds[] = {{0, 0},    {0, 9},   {3, 7},     {-3, 12},     {7, 123},
                                        {98, 102}, {-1, -1}, {-120, -9}, {-1000, 999}, {305, 1299}};
  for (const auto& [least, most] : bounds) {
    Documents documents(Json{{"type", "integer"}, {"minimum", least}, {"maximum", most}});
    Documents open(Json{
        {"exclusiveMinimum", least - 1}, {"exclusiveMaximum", most + 0.5}, {"type", "integer"}});
    for (int number = -1500; number <= 1500; ++number) {
      const bool within = least <= number && number <= most;
      ASSERT_EQ(documents.Takes(std::to_string(number)), within)
          << least << " " << most << " " << number;
      ASSERT_EQ(open.Takes(std::to_string(number)), within)
          << least << " " << most << " " << number;
    }
    EXPECT_FALSE(documents.Takes("00") || documents.Takes("-0") || documents.Takes("-"));
  }
  ExpectTakes(R"({"type":"integer","minimum":18})", {"18", "20", "100", "999999999999999999"},
              {"17", "-20", "1"});
  ExpectTakes(R"({"type":"number","minimum":0})", {"0", "0.5", "1e9"}, {"-1", "-0.5"});
  EXPECT_NE(Documents::Refusal(R"({"type":"number","maximum":1})").find("'maximum' of a number"),
            std::string::npos);
  EXPECT_NE(Documents::Refusal(R"({"type":"integer","minimum":2,"maximum":1})"), "taken");
  EXPECT_NE(Documents::Refusal(R"({"type":"integer","minimum":"1"})"), "taken");
  EXPECT_NE(Documents::Refusal(R"({"type":"integer","maximum":1e17})"), "taken");
}

TEST(JsonSchema, ObjectsHaveTheirPropertiesInOrder) {
  ExpectTakes(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},
      "c":{"type":"null"}},"required":["b"]})",
              {R"({"a":1,"b":"x","c":null})", R"({"b":"x"})", R"({"a": 1, "b": "x"})",
               "{\n  \"b\": \"x\",\n  \"c\": null\n}"},
              {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x","b":"x"})", R"({"b":1})",
               R"({"b":"x","d":1})", R"({"a":1,"b":"x",})", R"({,"b":"x"})"});
  ExpectTakes(R"({"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
              {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"}, {R"({"a":1,})", "1"});
  ExpectTakes(R"({"required":["x"]})", {R"({"x":[1]})"}, {"{}"});
}

TEST(JsonSchema, OtherPropertiesAreAsTheSchemaSays) {
  ExpectTakes(R"({"properties":{"ab":{"type":"integer"},"ä":{}},
      "additionalProperties":{"type":"string"}})",
              {R"({"ab":1,"a":"x","abc":"y"})", R"({"b":"x"})", R"({"":"x"})", R"({"ö":"x"})",
               R"({"€":"x","c\n":"y"})", R"({"ä":1,"äb":"x"})", "{}"},
              {R"({"ab":"x"})", R"({"ä":"x","ab":1})", R"({"b":1})", R"({"\u0061b":"x"})",
               R"({"b":"x","ab":1})"});
  ExpectTakes(R"({"properties":{"a":{}},"additionalProperties":true,"required":["a","z"]})",
              {R"({"a":1,"z":2,"y":3})"}, {R"({"a":1})", R"({"a":1,"y":3})"});
  ExpectTakes(R"({"additionalProperties":false})", {"{}"}, {R"({"a":1})"});
  ExpectTakes(R"({"additionalProperties":{"type":"integer"}})", {"{}", R"({"a":1,"b":2})"},
              {R"({"a":"b"})"});
}

TEST(JsonSchema, ArraysHaveTheirItems) {
  ExpectTakes(R"({"type":"array","items":{"type":"integer"}})", {"[]", "[1]", "[1, 2,3]"},
              {"[\"a\"]", "[1,]"});
  ExpectTakes(R"({"items":{"type":"integer"},"minItems":2,"maxItems":3})", {"[1,2]", "[1,2,3]"},
              {"[]", "[1]", "[1,2,3,4]"});
  ExpectTakes(R"({"prefixItems":[{"type":"integer"},{"type":"string"}]})",
              {"[]", "[1]", "[1,\"a\"]"}, {"[\"a\"]", "[1,\"a\",1]"});
  ExpectTakes(R"({"prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":2,
      "items":{"type":"null"},"maxItems":4})",
              {"[1,\"a\"]", "[1,\"a\",null,null]"},
              {"[1]", "[1,\"a\",1]", "[1,\"a\",null,null,null]"});
  ExpectTakes(R"({"type":"array","items":false})", {"[]"}, {"[1]"});
  ExpectTakes(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
}

TEST(JsonSchema, StringsHaveTheirLength) {
  ExpectTakes(R"({"type":"string","minLength":2,"maxLength":3})",
              {"\"ab\"", "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\\n\\u0041\"",
               "\"\\ud83d\\ude00ab\""},
              {"\"a\"", "\"abcd\"", "\"\\ud83d\\ude00\"", "\"\""});
}

TEST(JsonSchema, ValuesAndAlternatives) {
  ExpectTakes(R"({"enum":["a","ab",1,null,{"x":[1]}]})",
              {"\"a\"", "\"ab\"", "1", "null", R"({"x":[1]})"}, {"\"b\"", "\"", "11"});
  ExpectTakes(R"({"type":"string","enum":["a",1]})", {"\"a\""}, {"1"});
  ExpectTakes(R"({"const":"a\"b"})", {R"("a\"b")"}, {"\"a\""});
  ExpectTakes(R"({"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"string"}}]})",
              {"1", "[\"a\"]"}, {"\"a\"", "[1]"});
  ExpectTakes(R"({"oneOf":[{"properties":{"kind":{"const":"a"},"x":{"type":"integer"}},
      "required":["kind","x"]},{"properties":{"kind":{"const":"b"}},"required":["kind"]}]})",
              {R"({"kind":"a","x":1})", R"({"kind":"b"})"},
              {R"({"kind":"a"})", R"({"kind":"b","x":1})"});
  ExpectTakes(R"({"allOf":[{"type":"integer"}],"description":"d"})", {"1"}, {"\"a\""});
}

TEST(JsonSchema, ReferencesMayBeCircles) {
  ExpectTakes(R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{
      "value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/tree"}}},
      "required":["value","children"]}}})",
              {R"({"value":1,"children":[]})",
               R"({"value":1,"children":[{"value":2,"children":[]},{"value":3,"children":[]}]})"},
              {R"({"value":1})", R"({"value":1,"children":[1]})"});
  ExpectTakes(R"({"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},
      "required":["next"]})",
              {R"({"next":null})", R"({"next":{"next":null}})"}, {"{}"});
  // Names that a pointer spells otherwise, and that print alike.
  ExpectTakes(R"({"properties":{"a/b":{"type":"integer"},"~":{"$ref":"#/properties/a~1b"},
      "\u0001":{"type":"null"},"\u0002":{"type":"boolean"}}})",
              {R"({"~":1})", R"({"\u0002":true})"}, {R"({"~":"x"})", R"({"\u0002":null})"});
}

TEST(JsonSchema, WhatIsNotSupportedIsRefusedByNameAndPlace) {
  EXPECT_EQ(Documents::Refusal(R"({"properties":{"a":{"pattern":"x"}}})"),
            "schema at #/properties/a: 'pattern' is not supported by this server; leave it out");
  EXPECT_EQ(Documents::Refusal(R"({"type":"integer","multipleOf":3})"),
            "schema at #: 'multipleOf' is not supported by this server; leave it out");
  EXPECT_EQ(Documents::Refusal(R"({"type":"what"})"),
            "schema at #: 'type' must be of object, array, string, number, integer, boolean, null, "
            "one or a list of them");
  EXPECT_EQ(Documents::Refusal(R"({"anyOf":[{}],"type":"object"})"),
            "schema at #: 'type' beside 'anyOf' is not supported; put it into the schema there");
  EXPECT_EQ(Documents::Refusal(R"({"$ref":"#/$defs/x"})"),
            "schema at #: '$ref' is '#/$defs/x', which is not there");
  EXPECT_EQ(Documents::Refusal(R"({"$ref":"http://a"})"),
            "schema at #: '$ref' must be '#', or '#/...' to a schema within this one");
  EXPECT_EQ(Documents::Refusal(R"({"minLength":3,"maxLength":2})"),
            "schema at #: 'minLength' is larger than 'maxLength'");
  EXPECT_EQ(Documents::Refusal(R"({"items":[{}]})"),
            "schema at #: 'items' must be one schema; use 'prefixItems'");
  EXPECT_EQ(Documents::Refusal(R"({"additionalProperties":false,"required":["a"]})"),
            "schema at #: 'required' names 'a', which 'additionalProperties' forbids");
  EXPECT_EQ(Documents::Refusal(R"({"minItems":1,"items":false})"),
            "schema at #: 'minItems' is larger than the number of items that there may be");
  EXPECT_EQ(Documents::Refusal(R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})"),
            "no finite text can satisfy it");
  EXPECT_EQ(Documents::Refusal(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})"),
            "it begins with itself, with nothing to read between");
  EXPECT_EQ(Documents::Refusal(R"({"minItems":1,"items":{"$ref":"#"}})"),
            "no finite text can satisfy it");
  for (const char* schema :
       {"1", R"({"type":[]})", R"({"enum":[]})", R"({"anyOf":[]})", R"({"required":[1]})",
        R"({"minLength":-1})", R"({"minLength":1000001})", R"({"properties":[]})",
        R"({"type":"string","enum":[1]})", R"({"enum":[1],"const":2})", R"({"prefixItems":[]})",
        R"({"uniqueItems":true})", R"({"allOf":[{},{}]})", "false"}) {
    EXPECT_NE(Documents::Refusal(schema), "taken") << schema;
  }
  for (const char* schema : {R"({"uniqueItems":false})", R"({"title":"t","x-mine":1})"})
    EXPECT_EQ(Documents::Refusal(schema), "taken") << schema;
}

TEST(JsonSchema, LargeSchemasAreRefused) {
  Json chain = Json::object();
  for (int i = 0; i < 1000; ++i)
    chain["$defs"][std::to_string(i)] = {{"$ref", "#/$defs/" + std::to_string(i + 1)}};
  chain["$defs"]["1000"] = {{"type", "null"}};
  chain["$ref"] = "#/$defs/0";
  EXPECT_NE(Documents::Refusal(chain.dump().c_str()).find("nest too deep"), std::string::npos);
  Json wide = {{"type", "object"}};
  for (int i = 0; i < 201; ++i) wide["properties"]["p" + std::to_string(i)] = true;
  EXPECT_NE(Documents::Refusal(wide.dump().c_str()).find("at most 200"), std::string::npos);
  Json long_names = {{"enum", Json::array()}};
  for (int i = 0; i < 200; ++i)
    long_names["enum"].push_back(std::to_string(i) + std::string(1000, 'a'));
  EXPECT_NE(Documents::Refusal(long_names.dump().c_str()).find("make it smaller"), std::string::npos);
}

// The same language once more, slowly and otherwise: where a document of the schema that begins at
// `at` may end.
class Slow {
 public:
  Slow(const Json& root, std::string_view text) : root_(root), text_(text) {}

  using Ends = std::set<size_t>;

  Ends Document(const Json& schema, size_t at) const {
    const auto [known, is_new] = known_.try_emplace({&schema, at});
    if (is_new) known->second = Find(schema, at);
    return known->second;
  }

 private:
  Ends Find(const Json& schema, size_t at) const {
    static const Json kAnything = Json::object();
    if (schema.is_boolean()) return schema.get<bool>() ? Document(kAnything, at) : Ends{};
    Ends ends;
    const auto add = [&](const Ends& more) { ends.insert(more.begin(), more.end()); };
    if (schema.contains("nullable") && schema["nullable"]) add(Word("null", at));
    if (schema.contains("$ref")) {
      const Json::json_pointer pointer(schema["$ref"].get<std::string>().substr(1));
      add(Document(root_.at(pointer), at));
      return ends;
    }
    for (const char* of : {"anyOf", "oneOf"}) {
      if (!schema.contains(of)) continue;
      for (const Json& one : schema[of]) add(Document(one, at));
      return ends;
    }
    if (schema.contains("enum")) {
      for (const Json& value : schema["enum"]) add(Word(value.dump(), at));
      return ends;
    }
    Json types = schema.contains("type") ? schema["type"] : Json{"object", "array",   "string",
                                                                 "number", "boolean", "null"};
    if (!types.is_array()) types = Json::array({types});
    for (const Json& type : types) {
      if (type == "object") add(Object(schema, at));
      if (type == "array") add(Array(schema, at));
      if (type == "string") add(String(schema, at));
      if (type == "boolean") add(Word("true", at)), add(Word("false", at));
      if (type == "null") add(Word("null", at));
      if (type == "integer" || type == "number") add(Number(type == "integer", at));
    }
    return ends;
  }

  Ends Word(const std::string& word, size_t at) const {
    return text_.substr(at).starts_with(word) ? Ends{at + word.size()} : Ends{};
  }

  // Of any prefix that is a number by itself, as nlohmann's parser knows them.
  Ends Number(bool integer, size_t at) const {
    Ends ends;
    for (size_t end = at + 1; end <= text_.size(); ++end) {
      const std::string word(text_.substr(at, end - at));
      if (word.find_first_not_of("0123456789+-.eE") != word.npos) break;
      const Json value = Json::parse(word, nullptr, /*allow_exceptions=*/false);
      if (!value.is_number()) continue;
      const size_t e = word.find_first_of("eE"), dot = word.find('.');
      const auto digits = [&](size_t begin, size_t stop) {
        return static_cast<size_t>(std::count_if(word.begin() + static_cast<long>(begin),
                                                 word.begin() + static_cast<long>(stop),
                                                 [](char c) { return c >= '0' && c <= '9'; }));
      };
      const size_t mantissa = std::min(e, word.size()), whole = std::min(dot, mantissa);
      if (integer && (e != word.npos || dot != word.npos || word == "-0")) continue;
      if (digits(0, whole) > (integer ? 18 : 16) || digits(whole, mantissa) > 16 ||
          digits(mantissa, word.size()) > 2) {
        continue;
      }
      ends.insert(end);
    }
    return ends;
  }

  Ends String(const Json& schema, size_t at) const {
    if (at >= text_.size() || text_[at] != '"') return {};
    size_t end = at + 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return {};
    const std::string word(text_.substr(at, end + 1 - at));
    const Json value = Json::parse(word, nullptr, /*allow_exceptions=*/false);
    if (!value.is_string()) return {};
    const std::string characters = value.get<std::string>();
    const auto length = std::count_if(characters.begin(), characters.end(), [](char c) {
      return (static_cast<uint8_t>(c) & 0xC0) != 0x80;
    });
    if (length < schema.value("minLength", 0) || length > schema.value("maxLength", 1000))
      return {};
    return {end + 1};
  }

  Ends Space(const Ends& begins) const {
    Ends ends = begins;
    for (const size_t at : begins) {
      if (at < text_.size() && text_[at] == ' ') ends.insert(at + 1);
      if (at >= text_.size() || text_[at] != '\n') continue;
      for (const char sign : {' ', '\t'}) {
        for (size_t n = 0; n <= (sign == ' ' ? 40 : 10); ++n) {
          ends.insert(at + 1 + n);
          if (at + 1 + n >= text_.size() || text_[at + 1 + n] != sign) break;
        }
      }
    }
    return ends;
  }
  Ends Sign(const Ends& begins, const std::string& sign) const {
    Ends ends;
    for (const size_t at : begins) ends.merge(Word(sign, at));
    return ends;
  }
  Ends Value(const Json& schema, const Ends& begins) const {
    Ends ends;
    for (const size_t at : begins) ends.merge(Document(schema, at));
    return ends;
  }

  Ends Array(const Json& schema, size_t at) const {
    const int64_t least = schema.value("minItems", 0), most = schema.value("maxItems", 1000);
    const Json& items = schema.contains("items") ? schema["items"] : true_;
    Ends here = Space(Word("[", at));
    Ends ends = least == 0 ? Sign(here, "]") : Ends{};
    for (int64_t count = 1; count <= most && !here.empty(); ++count) {
      here = Value(items, here);
      if (count >= least) ends.merge(Sign(Space(here), "]"));
      here = Space(Sign(here, ","));
    }
    return ends;
  }

  // Members from `next` on, the first of which stands at `here`, then the end.
  Ends Members(const Json& schema, size_t next, const Ends& here, bool first) const {
    if (here.empty()) return {};
    std::vector<std::pair<std::string, const Json&>> members;
    if (schema.contains("properties")) {
      for (const auto& [name, property] : schema["properties"].items())
        members.emplace_back(name, property);
    }
    const auto required = [&](const std::string& name) {
      return schema.contains("required") &&
             std::find(schema["required"].begin(), schema["required"].end(), name) !=
                 schema["required"].end();
    };
    const auto behind = [&](size_t following, const Ends& values) {
      Ends ends;
      bool may_end = true;
      for (size_t i = following; i < members.size(); ++i) may_end &= !required(members[i].first);
      if (may_end) ends.merge(Sign(Space(values), "}"));
      ends.merge(Members(schema, following, Space(Sign(values, ",")), false));
      return ends;
    };
    Ends ends;
    size_t i = next;
    for (; i < members.size(); ++i) {
      const Ends key = Sign(here, Json(members[i].first).dump() + ":");
      ends.merge(behind(i + 1, Value(members[i].second, Space(key))));
      if (required(members[i].first)) break;
    }
    if (i < members.size()) return ends;
    if (first) ends.merge(Sign(here, "}"));
    const Json& more = schema.contains("additionalProperties") ? schema["additionalProperties"]
                       : !schema.contains("properties")        ? true_
                                                               : false_;
    for (const size_t at : here) {
      for (const size_t end : String(Json::object(), at)) {
        const Json key = Json::parse(text_.substr(at, end - at));
        // It is spelt as a name is as far as it is like one, and parts from it in no escape.
        const std::string raw(text_.substr(at + 1, end - at - 2));
        bool same = false;
        size_t like = 0;
        for (const auto& [name, property] : members) {
          const std::string spelt = Json(name).dump();
          same |= key == name;
          size_t common = 0;
          while (common < raw.size() && common + 2 < spelt.size() &&
                 raw[common] == spelt[common + 1])
            ++common;
          like = std::max(like, common);
        }
        same |= like < raw.size() && !members.empty() && raw[like] == '\\';
        same |= like > 0 && raw[like - 1] == '\\';
        if (!same) ends.merge(behind(members.size(), Value(more, Space(Sign({end}, ":")))));
      }
    }
    return ends;
  }
  Ends Object(const Json& schema, size_t at) const {
    return Members(schema, 0, Space(Word("{", at)), true);
  }

  const Json& root_;
  std::string_view text_;
  const Json true_ = true, false_ = false;
  mutable std::map<std::pair<const Json*, size_t>, Ends> known_;
};

bool SlowTakes(const Json& schema, std::string_view text) {
  return Slow(schema, text).Document(schema, 0).contains(text.size());
}

// Random schemas, and documents of them.
class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}

  size_t Below(size_t n) { return bits_() % n; }
  bool Chance(int percent) { return static_cast<int>(Below(100)) < percent; }

  Json Schema(int depth) {
    switch (Below(depth > 0 ? 12 : 6)) {
      case 0:
        return {{"type", "integer"}};
      case 1:
        return {{"type", "number"}, {"nullable", Chance(30)}};
      case 2:
        return {{"type", {"boolean", "null"}}};
      case 3: {
        const size_t least = Below(3);
        return {{"type", "string"}, {"minLength", least}, {"maxLength", least + Below(3)}};
      }
      case 4:
        return {{"type", "string"}};
      case 5:
        return {{"enum", {"a", "ab", 1, 12, nullptr, "ä"}}};
      case 6:
        return {{"anyOf", {Schema(depth - 1), Schema(depth - 1)}}};
      case 7: {
        const size_t least = Below(3);
        return {{"type", "array"},
                {"items", Schema(depth - 1)},
                {"minItems", least},
                {"maxItems", least + Below(3)}};
      }
      case 8:
        return {{"type", "array"}, {"items", Schema(depth - 1)}};
      case 9:
        return {{"type", {"null", "object"}},
                {"properties", {{"next", {{"$ref", "#"}}}, {"n", {{"type", "null"}}}}}};
      default: {
        Json schema = {{"type", "object"}, {"properties", Json::object()}};
        const char* const names[] = {"a", "ab", "b", "ä", "a\"", "ba"};
        for (const char* name : names) {
          if (!Chance(40)) continue;
          schema["properties"][name] = Schema(depth - 1);
          if (Chance(50)) schema["required"].push_back(name);
        }
        if (Chance(40))
          schema["additionalProperties"] = Chance(50) ? Json(true) : Schema(depth - 1);
        return schema;
      }
    }
  }

  // A random walk through the bytes that may follow, then the way out that is found first.
  std::string Document(Documents* documents, size_t most) {
    std::string text;
    auto& reader = documents->reader();
    auto state = reader.Start();
    int tries = 0;
    while (true) {
      if (reader.MayEnd(state) && (Chance(30) || text.size() > most)) return text;
      std::vector<uint8_t> next;
      // Signs first where it should come to an end, in the order in which they lead there.
      if (text.size() > most) {
        for (const char sign : std::string_view("\"]}0ntfau:,/- [{")) {
          if (reader.Next(state, static_cast<uint8_t>(sign)) == ByteGrammarReader::kDead) continue;
          next.push_back(static_cast<uint8_t>(sign));
          break;
        }
      }
      if (next.empty()) {
        for (int byte = 0; byte < 256; ++byte) {
          if (reader.Next(state, static_cast<uint8_t>(byte)) == ByteGrammarReader::kDead) continue;
          // Letters of a string are many.
          const bool letter = byte >= 0x20 && byte != '"' && byte != '\\';
          if (!letter || Chance(20)) next.push_back(static_cast<uint8_t>(byte));
        }
      }
      if (next.empty() && !reader.MayGoOn(state))
        return reader.MayEnd(state) ? text : "no way on from " + text;
      if (next.empty() && ++tries < 1000) continue;
      if (next.empty()) return "no way on from " + text;
      text += static_cast<char>(next[Below(next.size())]);
      state = reader.Next(state, static_cast<uint8_t>(text.back()));
      if (text.size() > most + 2000) return "no way out";
    }
  }

  std::string Mutate(std::string text) {
    static constexpr std::string_view kSigns = "{}[]\",:0a1\\n -.e\xC3\xA4\x80u";
    const size_t at = Below(text.size() + 1);
    const char sign = kSigns[Below(kSigns.size())];
    switch (Below(4)) {
      case 0:
        text.insert(at, 1, sign);
        break;
      case 1:
        if (at < text.size()) text[at] = sign;
        break;
      case 2:
        if (at < text.size()) text.erase(at, 1);
        break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(Below(256));
    }
    return text;
  }

 private:
  std::mt19937_64 bits_;
};

TEST(JsonSchema, EveryDocumentIsJudgedAsByASlowDefinition) {
  Random random(1);
  int right = 0, wrong = 0;
  for (int round = 0; round < 150; ++round) {
    const Json schema = random.Schema(3);
    std::unique_ptr<Documents> documents;
    try {
      documents = std::make_unique<Documents>(schema);
    } catch (const Error&) {  // nothing satisfies it, or it begins with itself
      continue;
    }
    for (int i = 0; i < 4; ++i) {
      const std::string text = random.Document(documents.get(), 60);
      ASSERT_TRUE(SlowTakes(schema, text)) << schema << "\n" << text;
      ASSERT_TRUE(documents->Takes(text)) << schema << "\n" << text;
      ASSERT_TRUE(TryParseJson<Json>(text, nullptr, 512) || text.find("\"a") != text.npos ||
                  text.find("\":") != text.npos)
          << text;
      ++right;
      for (int m = 0; m < 6; ++m) {
        const std::string other = random.Mutate(random.Chance(30) ? random.Mutate(text) : text);
        const bool takes = SlowTakes(schema, other);
        ASSERT_EQ(documents->Takes(other), takes) << schema << "\n" << other;
        wrong += !takes;
      }
    }
  }
  EXPECT_GT(right, 400);
  EXPECT_GT(wrong, 1000);
}

// What other printers write is read to its end, and each beginning of it too.
TEST(JsonSchema, PrintedDocumentsAreRead) {
  Random random(2);
  Documents any("{}");
  for (int i = 0; i < 100; ++i) {
    const std::string text = random.Document(&any, 100);
    const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(value.is_discarded()) << text;
    for (const int indent : {-1, 2, 4}) {
      const std::string printed = value.dump(indent);
      if (printed.find("e+") != printed.npos || printed.find("e-") != printed.npos) continue;
      if (printed.find("00000000000000000") != printed.npos) continue;  // digits beyond a double's
      EXPECT_EQ(any.Read(printed), printed.size()) << printed;
      EXPECT_TRUE(any.Takes(printed)) << printed;
    }
  }
}

TEST(AnswerGrammar, AThoughtIsFreeAndThenTheFormHolds) {
  const auto takes = [](AnswerThought thought, std::string_view text) {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    const auto rule = AddJsonSchema(&json, {{"type", "object"}}, "schema");
    grammar->Finish(AddAnswer(grammar.get(), thought, rule));
    ByteGrammarReader reader(grammar);
    auto state = reader.Start();
    for (const char byte : text) state = reader.Next(state, static_cast<uint8_t>(byte));
    return reader.MayEnd(state);
  };
  using enum AnswerThought;
  EXPECT_TRUE(takes(kNone, "{}"));
  EXPECT_TRUE(takes(kNone, "\n{}"));
  EXPECT_FALSE(takes(kNone, "{}\n"));
  EXPECT_FALSE(takes(kNone, "<think></think>{}"));
  EXPECT_TRUE(takes(kAllowed, "{}"));
  EXPECT_TRUE(takes(kAllowed, "<think>\n{ </</think \xFF </think>\n\n{}"));
  EXPECT_FALSE(takes(kAllowed, "<think>{}"));
  EXPECT_FALSE(takes(kAllowed, "x</think>{}"));
  EXPECT_TRUE(takes(kOpen, "hm</think>{}"));
  EXPECT_TRUE(takes(kOpen, "<<</think>{\"a\":1}"));
  EXPECT_TRUE(takes(kOpen, "</</think>{}"));
  EXPECT_FALSE(takes(kOpen, "{}"));
  EXPECT_FALSE(takes(kOpen, "a</think>b"));
}

}  // namespace
}  // namespace darkhorse
