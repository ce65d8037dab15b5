#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/byte_grammar_reader.h"
#include "base/error.h"

namespace darkhorse {
namespace {

using enum ToolCallFormat;
using Calls = std::vector<ToolCall>;
const std::vector<std::string> kNames = {"add", "look_up"};

struct Taken {
  std::string content;
  Calls calls;
  bool operator==(const Taken&) const = default;
};

// However the text is cut, the same comes out of it, and nothing later takes back what came.
Taken Take(ToolCallFormat format, const std::string& text) {
  Taken whole;
  for (const size_t piece : {text.size() + 1, size_t{1}, size_t{3}, size_t{7}}) {
    ToolCallReader reader(format, kNames);
    Taken taken;
    const auto add = [&](ToolCallReader::Piece more) {
      taken.content += more.content;
      taken.calls.insert(taken.calls.end(), more.calls.begin(), more.calls.end());
    };
    for (size_t at = 0; at < text.size(); at += piece) add(reader.Next(text.substr(at, piece)));
    add(reader.End());
    if (piece > text.size()) whole = taken;
    EXPECT_EQ(taken.content, whole.content) << piece;
    EXPECT_EQ(taken.calls, whole.calls) << piece;
  }
  return whole;
}

TEST(ToolCalls, TheTemplateTellsTheFormat) {
  EXPECT_EQ(ToolCallFormatOf("{% if tools %}<tool_call></tool_call>{% endif %}"), kTagged);
  EXPECT_EQ(ToolCallFormatOf("message['tool_calls'] '<｜tool▁call▁begin｜>' '\\n' + '```json'"),
            kDeepSeek);
  EXPECT_EQ(ToolCallFormatOf("message['tool_calls'] '<｜tool▁call▁begin｜>'"), kDeepSeekPlain);
  EXPECT_EQ(ToolCallFormatOf("{% if tools %}<|python_tag|>{% endif %}"), kLlama);
  EXPECT_EQ(ToolCallFormatOf("{% if tools %}<tool_call><function=x>{% endif %}"), std::nullopt);
  EXPECT_EQ(ToolCallFormatOf("{{ messages }}"), std::nullopt);
  EXPECT_EQ(ToolCallFormatOf(""), std::nullopt);
}

TEST(ToolCalls, TaggedCallsAreTakenOut) {
  EXPECT_EQ(Take(kTagged,
                 "I see.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1.50}}\n"
                 "</tool_call>\n<tool_call>{\"name\":\"look_up\",\"arguments\":{}}</tool_call>"),
            (Taken{"I see.", {{"add", "{\"a\":1.50}"}, {"look_up", "{}"}}}));
  EXPECT_EQ(Take(kTagged, "a < b, <tool> and <tool_cal"),
            (Taken{"a < b, <tool> and <tool_cal", {}}));
  EXPECT_EQ(Take(kTagged, "\n x \n"), (Taken{"\n x \n", {}}));
  // Arguments as a string, and the closing mark within arguments.
  EXPECT_EQ(Take(kTagged, R"(<tool_call>{"name":"add","arguments":"{\"a\": 1}"}</tool_call> done)"),
            (Taken{"done", {{"add", R"({"a":1})"}}}));
  EXPECT_EQ(
      Take(kTagged, R"(<tool_call>{"name":"add","arguments":{"a":"</tool_call>"}}</tool_call>)"),
      (Taken{"", {{"add", R"({"a":"</tool_call>"})"}}}));
  EXPECT_EQ(Take(kTagged, R"(<tool_call>{"name":"add","arguments":{}})"),
            (Taken{"", {{"add", "{}"}}}));
  EXPECT_EQ(Take(kTagged, R"(<tool_call>{"name":"add"}</tool_call>)"),
            (Taken{"", {{"add", "{}"}}}));
}

TEST(ToolCalls, WhatIsNoCallIsContent) {
  for (const char* text : {"x <tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call> y",
                           "<tool_call>{\"name\": \"add\"", "<tool_call>add(1)</tool_call>",
                           "<tool_call>{\"name\":\"add\",\"arguments\":[1]}</tool_call>",
                           "<tool_call></tool_call>", "<tool_call>{\"name\":1}</tool_call>"}) {
    EXPECT_EQ(Take(kTagged, text), (Taken{text, {}})) << text;
  }
  EXPECT_EQ(Take(kTagged, "<tool_call>no</tool_call><tool_call>{\"name\":\"add\"}</tool_call>"),
            (Taken{"<tool_call>no</tool_call>", {{"add", "{}"}}}));
}

TEST(ToolCalls, DeepSeeksCalls) {
  const std::string call =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>";
  EXPECT_EQ(
      Take(kDeepSeek, "Wait.<｜tool▁calls▁begin｜>" + call + "\n" + call + "<｜tool▁calls▁end｜>"),
      (Taken{"Wait.", {{"add", "{\"a\":1}"}, {"add", "{\"a\":1}"}}}));
  EXPECT_EQ(Take(kDeepSeek, call), (Taken{"", {{"add", "{\"a\":1}"}}}));
  EXPECT_EQ(Take(kDeepSeekPlain,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look_up<｜tool▁sep｜>"
                 "{\"q\": \"x\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
            (Taken{"", {{"look_up", "{\"q\":\"x\"}"}}}));
  EXPECT_EQ(Take(kDeepSeek, "a <｜tool▁sep｜> b"), (Taken{"a <｜tool▁sep｜> b", {}}));
}

TEST(ToolCalls, LlamasCallsAreTheWholeContent) {
  EXPECT_EQ(Take(kLlama, "{\"name\": \"add\", \"parameters\": {\"a\": 1}}"),
            (Taken{"", {{"add", "{\"a\":1}"}}}));
  EXPECT_EQ(Take(kLlama, "<|python_tag|>{\"name\": \"add\", \"parameters\": {}}\n"),
            (Taken{"", {{"add", "{}"}}}));
  EXPECT_EQ(Take(kLlama, "\n\n{\"x\": 1}"), (Taken{"\n\n{\"x\": 1}", {}}));
  EXPECT_EQ(Take(kLlama, "So {\"name\": \"add\", \"parameters\": {}}"),
            (Taken{"So {\"name\": \"add\", \"parameters\": {}}", {}}));
  ToolCallReader reader(kLlama, kNames);
  EXPECT_EQ(reader.Next("So").content, "So");
}

TEST(ToolCalls, TheGrammarsCallsAreWhatTheReaderTakes) {
  const std::vector<Tool> tools = {
      {"add",
       {{"type", "object"}, {"properties", {{"a", {{"type", "integer"}}}}}, {"required", {"a"}}}},
      {"look_up", nullptr}};
  const auto takes = [&](ToolCallFormat format, bool several, const std::string& text) {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    grammar->Finish(AddToolCalls(&json, format, tools, several));
    ByteGrammarReader reader(grammar);
    auto state = reader.Start();
    for (const char byte : text) state = reader.Next(state, static_cast<uint8_t>(byte));
    return reader.MayEnd(state);
  };
  const std::string
      add = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>",
      look = "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"x\":[]}}\n</tool_call>";
  EXPECT_TRUE(takes(kTagged, false, add));
  EXPECT_TRUE(takes(kTagged, true, add + "\n" + look));
  EXPECT_FALSE(takes(kTagged, false, add + "\n" + look));
  EXPECT_FALSE(takes(kTagged, true, "x"));
  EXPECT_FALSE(
      takes(kTagged, true, "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>"));
  const std::string deep =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\":1}\n```<｜tool▁call▁end｜>";
  const std::string many = "<｜tool▁calls▁begin｜>" + deep + "\n" + deep + "<｜tool▁calls▁end｜>";
  EXPECT_TRUE(takes(kDeepSeek, true, many));
  const std::string plain =
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\":1}"
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  EXPECT_TRUE(takes(kDeepSeekPlain, true, plain));
  const std::string llama = "{\"name\": \"add\", \"parameters\": {\"a\": 1}}";
  EXPECT_TRUE(takes(kLlama, true, llama));
  const Calls one = {{"add", "{\"a\":1}"}};
  EXPECT_EQ(Take(kTagged, add).calls, one);
  EXPECT_EQ(Take(kDeepSeek, many).calls.size(), 2u);
  EXPECT_EQ(Take(kDeepSeekPlain, plain).calls, one);
  EXPECT_EQ(Take(kLlama, llama).calls, one);
}

TEST(ToolCalls, ArgumentsAreObjectsOrRefused) {
  const auto add = [](const char* parameters) -> std::string {
    auto grammar = std::make_shared<ByteGrammar>();
    JsonGrammar json(grammar.get());
    try {
      grammar->Finish(
          AddToolCalls(&json, kTagged, {{"f", nlohmann::ordered_json::parse(parameters)}}, false));
    } catch (const Error& error) {
      return error.what();
    }
    ByteGrammarReader reader(grammar);
    auto state = reader.Start();
    for (const char byte : std::string_view("<tool_call>\n{\"name\": \"f\", \"arguments\": "))
      state = reader.Next(state, static_cast<uint8_t>(byte));
    for (int byte = 0; byte < 256; ++byte) {
      if (byte != '{' && reader.Next(state, static_cast<uint8_t>(byte)) != reader.kDead)
        return "takes what is no object";
    }
    return reader.Next(state, '{') == reader.kDead ? "takes no object" : "taken";
  };
  const char* objects[] = {"null",
                           "{}",
                           R"({"type":"object"})",
                           R"({"minLength":2})",
                           R"({"properties":{"a":{}}})",
                           R"({"enum":[{"a":1},2]})",
                           R"({"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}})"};
  for (const char* parameters : objects) EXPECT_EQ(add(parameters), "taken") << parameters;
  for (const char* parameters : {R"({"type":"string"})", R"({"type":["object","null"]})",
                                 R"({"anyOf":[{},{}]})", R"({"type":"object","nullable":true})"}) {
    EXPECT_EQ(add(parameters),
              "the parameters of 'f' allow what is no object; give their schema \"type\": "
              "\"object\"")
        << parameters;
  }
  EXPECT_EQ(add(R"({"enum":[1]})"),
            "the parameters of 'f' at #: 'enum' has no value that the keywords beside it allow");
  EXPECT_EQ(add(R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})"),
            "the parameters of 'f': no finite text can satisfy it");
  EXPECT_EQ(add(R"({"properties":{"x":{"not":true}}})"),
            "the parameters of 'f' at #/properties/x: 'not' is not supported; leave it out");
}

}  // namespace
}  // namespace darkhorse
