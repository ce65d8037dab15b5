#include "text/json_schema.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/answer_grammar.h"
#include "text/json_schema_testing.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

void ExpectTakes(const char* schema, const std::vector<const char*>& right,
                 const std::vector<const char*>& wrong) {
  Documents documents(schema);
  for (const char* text : right) EXPECT_TRUE(documents.Takes(text)) << schema << ": " << text;
  for (const char* text : wrong) EXPECT_FALSE(documents.Takes(text)) << schema << ": " << text;
}

TEST(JsonSchema, LinesAreIndentedByFortySpacesOrTenTabsAtMost) {
  Documents documents("{}");
  for (const auto& [sign, most] : {std::pair{' ', 40}, {'\t', 10}}) {
    EXPECT_TRUE(documents.Takes(("[\n" + std::string(most, sign) + "1]").c_str()));
    EXPECT_FALSE(documents.Takes(("[\n" + std::string(most + 1, sign) + "1]").c_str()));
  }
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
  // What an escape spells might be a name.
  ExpectTakes(
      R"({"properties":{"a\"b":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
      {R"({"a\"b":null,"a\"c":1,"a":2,"b\n":3})"},
      {R"({"a\u0022b":1})", R"({"\u0061\"b":1})", R"({"a\"b":1})"});
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

TEST(JsonSchema, ValuesHoldWhatIsSaidBesideThem) {
  ExpectTakes(R"({"type":"integer","enum":[1,50],"minimum":10})", {"50"}, {"1"});
  ExpectTakes(R"({"enum":[1,2.5,3,"1"],"exclusiveMinimum":1,"maximum":2.5})", {"2.5", "\"1\""},
              {"1", "3"});
  ExpectTakes(R"({"enum":[9007199254740992,9007199254740993],"minimum":9007199254740993})",
              {"9007199254740993"}, {"9007199254740992"});
  ExpectTakes(R"({"enum":[18446744073709551615,-1],"exclusiveMaximum":0})", {"-1"},
              {"18446744073709551615"});
  ExpectTakes(R"({"type":"string","enum":["ab","abcdef","äö"],"maxLength":2})",
              {"\"ab\"", "\"äö\""}, {"\"abcdef\""});
  ExpectTakes(R"({"enum":["ab","cb",7],"pattern":"^a"})", {"\"ab\"", "7"}, {"\"cb\""});
  ExpectTakes(R"({"enum":["2026-01-31","soon"],"format":"date"})", {"\"2026-01-31\""},
              {"\"soon\""});
  ExpectTakes(R"({"type":"object","enum":[{"a":1},{"b":2}],"required":["b"]})", {R"({"b":2})"},
              {R"({"a":1})"});
  ExpectTakes(R"({"enum":[[],[1],[1,2]],"minItems":1,"maxItems":1})", {"[1]"}, {"[]", "[1,2]"});
  ExpectTakes(R"({"enum":["a",null],"type":"string","nullable":true})", {"\"a\"", "null"}, {});
  EXPECT_EQ(Documents::Refusal(R"({"const":5,"minimum":10})"),
            "schema at #: 'const' has no value that the keywords beside it allow");
  EXPECT_EQ(Documents::Refusal(R"({"enum":[1,2],"minimum":10})"),
            "schema at #: 'enum' has no value that the keywords beside it allow");
  EXPECT_EQ(Documents::Refusal(R"({"enum":[{"a":1}],"properties":{"a":{}}})"),
            "schema at #: 'properties' beside 'enum' is not supported; leave it out");
  for (const char* keyword : {R"("minLength":"1")", R"("minimum":"1")", R"("required":1)",
                              R"("minItems":-1)", R"("pattern":"(")", R"("items":{})"}) {
    EXPECT_NE(Documents::Refusal(fmt::format("{{\"enum\":[true],{}}}", keyword).c_str()), "taken")
        << keyword;
  }
  // A pattern that takes long to look for.
  const Json slow = {
      {"enum", {std::string(100'000, 'a')}}, {"pattern", "a.{0,100}b"}, {"maxLength", 200'000}};
  EXPECT_EQ(Documents::Refusal(slow.dump().c_str()),
            "schema at #: 'enum' has too much text to look for the 'pattern' in; make it smaller");
  Json large = {{"properties", Json::object()}};
  for (int i = 0; i < 20; ++i) {
    large["properties"][std::to_string(i)] = {{"enum", {"a", 1}}, {"pattern", "^(bcdefgh){1000}"}};
  }
  EXPECT_NE(Documents::Refusal(large.dump().c_str()).find("the schema is too large"),
            std::string::npos);
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
  EXPECT_EQ(Documents::Refusal(R"({"properties":{"a":{"not":{}}}})"),
            "schema at #/properties/a: 'not' is not supported; leave it out");
  EXPECT_EQ(Documents::Refusal(R"({"type":"integer","multipleOf":3})"),
            "schema at #: 'multipleOf' is not supported; leave it out");
  EXPECT_EQ(Documents::Refusal(R"({"type":"what"})"),
            "schema at #: 'type' must be of object, array, string, number, integer, boolean, null, "
            "one or a list of them");
  EXPECT_EQ(Documents::Refusal(R"({"type":[]})"), "schema at #: 'type' is an empty list");
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
  EXPECT_NE(Documents::Refusal(long_names.dump().c_str()).find("make it smaller"),
            std::string::npos);
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
