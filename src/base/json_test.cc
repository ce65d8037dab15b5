#include "base/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/scratch_testing.h"

namespace darkhorse {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string Fault(std::string_view text, int max_depth = kMaxJsonDepth) {
  std::string why;
  return TryParseJson<json>(text, &why, max_depth) ? "" : why;
}

TEST(Json, ReadsAnyValueAndKeepsTheOrderThatIsAskedFor) {
  const std::string text = R"( {"b": [1, -2, 0.5, "\u00fc", true, null], "a": {"b": {}}} )";
  std::string why;
  EXPECT_EQ(TryParseJson<ordered_json>(text, &why)->dump(),
            R"({"b":[1,-2,0.5,"ü",true,null],"a":{"b":{}}})");
  EXPECT_EQ(ParseJson(text, "f").dump(), R"({"a":{"b":{}},"b":[1,-2,0.5,"ü",true,null]})");
  EXPECT_EQ(ParseJson("7", "f"), json(7));
  EXPECT_EQ(why, "");
}

TEST(Json, RefusesWhatIsNotStrictlyJson) {
  for (const char* text :
       {"", "{", "{} {}", "{\"a\":1,}", "{a:1}", "'a'", "[01]", "[1.]", "NaN", "1e999", "\"\xff\"",
        "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\\ud800\"", "\"\n\"", "// no\n1", "{\"\xff\": 1}"}) {
    EXPECT_TRUE(Fault(text).starts_with("not valid JSON")) << text << ": " << Fault(text);
  }
  // What stands in the file cannot break the line of the message.
  const std::string message = MessageOf([] { ParseJson("{\"a\": \"\x1b[2J\n", "f"); });
  EXPECT_TRUE(Says(message, "f: not valid JSON at byte ")) << message;
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_TRUE(Says(MessageOf([] { ParseJsonObject("[]", "f"); }), "f: expected a JSON object"));
}

TEST(Json, SaysWhereAndWhatToMend) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"a\": NaN}", "at byte 7: NaN is no JSON; write a number, true"},
      {"{\"a\": -Infinity}", "at byte 8: -Infinity is no JSON"},
      {"{\"a\": Infinity}", "at byte 7: Infinity is no JSON"},
      {"{\"a\": None}", "at byte 7: None is no JSON"},
      {"{\"a\": True}", "at byte 7: True is no JSON"},
      {"{\"a\": False}", "at byte 7: False is no JSON"},
      {R"({"a": "\ud800"})", "at byte 14: half of a character written as two \\u escapes"},
      {R"({"a": "\udc00"})", "half of a character"},
      {"{\"a\": \"\xe9t\xe9\"}", "at byte 8: the byte 0xE9 is not UTF-8; if the text is Latin-1"},
      {std::string("{\0\"\0a\0", 6),
       "at byte 2: UTF-16 text, which is not read; convert it: iconv"},
      {"{\"a\": 1e999}",
       "not valid JSON: number overflow parsing '1e999'; in quotes it may be any"},
      {"{\"a\": 1,}", "at byte 9: syntax error while parsing object key - unexpected '}'"},
      {"{'a': 1}", "at byte 2: syntax error while parsing object key - invalid literal"},
  };
  for (const auto& [text, part] : cases)
    EXPECT_NE(Fault(text).find(part), std::string::npos) << text << ": " << Fault(text);
}

TEST(Json, RefusesAKeyTwiceInOneObjectOnly) {
  EXPECT_EQ(Fault(R"({"a": 1, "b": {"c": 1, "c": 2}})"), "'c' appears twice");
  EXPECT_EQ(Fault(R"({"a": {"c": 1}, "c": 2, "a": 3})"), "'a' appears twice");
  EXPECT_EQ(Fault(R"({"a": 1, "\u0061": 2})"), "'a' appears twice");  // the same key, escaped
  EXPECT_EQ(Fault(R"([{"a": 1}, {"a": {"a": [{"a": 2}]}}])"), "");
}

TEST(Json, RefusesOneLevelMoreThanItMayNest) {
  const auto nested = [](int depth, const std::string& open, const std::string& shut) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += open;
    text += "1";
    for (int i = 0; i < depth; ++i) text += shut;
    return text;
  };
  for (const int depth : {1, 3, 16}) {
    for (const auto& [open, shut] : {std::pair{"[", "]"}, {"{\"a\":", "}"}}) {
      EXPECT_EQ(Fault(nested(depth, open, shut), depth), "");
      EXPECT_EQ(Fault(nested(depth + 1, open, shut), depth),
                fmt::format("JSON nests deeper than {} levels", depth));
    }
  }
  EXPECT_EQ(Fault("[[]]", 1), "JSON nests deeper than 1 levels");  // empty counts
  EXPECT_EQ(Fault(std::string(1 << 20, '[')), "JSON nests deeper than 16 levels");
}

TEST(Json, MembersAreOfTheirTypeAndInTheirRange) {
  const json object = json::parse(
      R"({"i": 5, "big": 9223372036854775808, "neg": -1, "real": 5.0, "s": "x", "null": null})");
  EXPECT_EQ(JsonInt(object, "i", "f", 5, 5), 5);
  EXPECT_EQ(JsonInt(object, "neg", "f", -1, 0), -1);
  const auto fault = [&](const char* key, int64_t low, int64_t high) {
    return MessageOf([&] { JsonInt(object, key, "f", low, high); });
  };
  EXPECT_EQ(fault("i", 0, 4), "f: 'i' must be an integer from 0 to 4");
  EXPECT_EQ(fault("i", 6, 9), "f: 'i' must be an integer from 6 to 9");
  EXPECT_EQ(fault("big", INT64_MIN, INT64_MAX - 1),
            fmt::format("f: 'big' must be an integer from {} to {}", INT64_MIN, INT64_MAX - 1));
  EXPECT_EQ(fault("neg", 0, INT64_MAX), "f: 'neg' must be an integer of at least 0 and below 2^63");
  EXPECT_TRUE(Says(fault("real", 0, 9), "'real' must be an integer"));
  EXPECT_TRUE(Says(fault("null", 0, 9), "'null' must be an integer"));
  EXPECT_EQ(fault("none", 0, 9), "f: 'none' is missing; add it");
  EXPECT_EQ(JsonString(object, "s", "f"), "x");
  EXPECT_EQ(MessageOf([&] { JsonString(object, "i", "f"); }), "f: 'i' must be a string");
  EXPECT_EQ(MessageOf([&] { JsonString(object, "none", "f"); }), "f: 'none' is missing; add it");
}

TEST(Printable, SpellsControlsOutAndCutsBetweenCharacters) {
  EXPECT_EQ(Printable("a\tb\x1b[0m\x7f ü"), R"(a\tb\x1b[0m\x7f ü)");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "1\u202E2\x9B"
                      "3"),
            R"(\u009b1\u202e2\x9b3)");
  EXPECT_EQ(Printable("12345", 5), "12345");
  EXPECT_EQ(Printable("123456", 5), "12345...");
  EXPECT_EQ(Printable("123ü4", 4), "123...");
  EXPECT_EQ(Printable("123ü4", 5), "123ü...");
  EXPECT_EQ(Printable("x€y", 3), "x...");
  EXPECT_EQ(Printable(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(Printable(std::string(201, 'x')), std::string(200, 'x') + "...");
  std::string spelt;
  for (int i = 0; i < 999; ++i) spelt += "\\n";
  EXPECT_EQ(Printable(std::string(999, '\n'), std::string::npos), spelt);
}

}  // namespace
}  // namespace darkhorse
