#include "serve/api_request.h"

#include <gtest/gtest.h>

#include "serve/api_error.h"

namespace darkhorse {
namespace {

const SamplingParams kStandard{.temperature = 0.6f, .top_p = 0.9f};

ChatRequest Chat(const std::string& more) {
  return ParseChatRequest(R"({"messages":[{"role":"user","content":"Hi"}])" + more + "}", kStandard,
                          {});
}

TextRequest Text(const std::string& more) {
  return ParseTextRequest(R"({"x":1)" + more + "}", kStandard, {});
}

// What a request is refused with: "<param>: <message>".
template <typename Parse>
std::string Refusal(const Parse& parse) {
  try {
    parse();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    return error.param() + ": " + error.what();
  }
  return "taken";
}
std::string ChatRefusal(const std::string& more) {
  return Refusal([&] { Chat(more); });
}
std::string TextRefusal(const std::string& more) {
  return Refusal([&] { Text(more); });
}

TEST(ApiRequest, WhatIsNotSaidIsStandard) {
  const ChatRequest request = Chat("");
  EXPECT_EQ(request.sampling.temperature, 0.6f);
  EXPECT_EQ(request.sampling.top_p, 0.9f);
  EXPECT_EQ(request.n, 1);
  EXPECT_FALSE(request.stream || request.include_usage || request.continue_final_message);
  EXPECT_FALSE(request.max_tokens || request.seed || request.top_logprobs);
  EXPECT_TRUE(request.stop.empty() && request.logit_bias.empty() && request.variables.empty());
  const ChatRequest nulls = Chat(R"(,"max_tokens":null,"stop":null,"seed":null,"temperature":null,
      "logprobs":null,"stream":null,"tools":null,"response_format":null,"n":null)");
  EXPECT_EQ(nulls.sampling.temperature, 0.6f);
  EXPECT_FALSE(nulls.max_tokens);
}

TEST(ApiRequest, EveryFieldIsRead) {
  const ChatRequest request = Chat(
      R"(,"model":"m","stream":true,"stream_options":{"include_usage":true},"n":3,
      "max_completion_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":4,"min_p":0.125,
      "repetition_penalty":1.5,"presence_penalty":-1,"frequency_penalty":2,"seed":-1,"stop":"a",
      "logit_bias":{"5":-100,"7":1.5},"logprobs":true,"top_logprobs":2,"unknown":{"a":[1]})");
  EXPECT_EQ(request.model, "m");
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(request.n, 3);
  EXPECT_EQ(request.max_tokens, 7);
  const auto& [temperature, top_k, top_p, min_p, repetition, presence, frequency] =
      request.sampling;
  EXPECT_EQ(temperature, 0.5f);
  EXPECT_EQ(top_k, 4);
  EXPECT_EQ(top_p, 0.25f);
  EXPECT_EQ(min_p, 0.125f);
  EXPECT_EQ(repetition, 1.5f);
  EXPECT_EQ(presence, -1);
  EXPECT_EQ(frequency, 2);
  EXPECT_EQ(request.seed, ~uint64_t{0});
  EXPECT_EQ(request.stop, std::vector<std::string>{"a"});
  EXPECT_EQ(request.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.f}, {7, 1.5f}}));
  EXPECT_EQ(request.top_logprobs, 2);
  EXPECT_EQ(Chat(R"(,"top_k":-1)").sampling.top_k, 0);
  EXPECT_EQ(Chat(R"(,"stop":["a","b"])").stop.size(), 2u);
  EXPECT_EQ(Chat(R"(,"max_tokens":9)").max_tokens, 9);
}

TEST(ApiRequest, WrongValuesAreRefusedByName) {
  EXPECT_EQ(ChatRefusal(R"(,"stream":1)"), "stream: 'stream' must be true or false");
  EXPECT_EQ(ChatRefusal(R"(,"model":1)"), "model: 'model' must be a string");
  EXPECT_EQ(ChatRefusal(R"(,"n":0)"), "n: 'n' must be an integer from 1 to 128");
  EXPECT_EQ(ChatRefusal(R"(,"n":129)"), "n: 'n' must be an integer from 1 to 128");
  EXPECT_EQ(ChatRefusal(R"(,"n":1.5)"), "n: 'n' must be an integer from 1 to 128");
  EXPECT_NE(ChatRefusal(R"(,"max_tokens":0)"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"max_tokens":18446744073709551615)"), "taken");
  EXPECT_EQ(ChatRefusal(R"(,"temperature":"1")"),
            "temperature: 'temperature' must be a number, and no huge one");
  EXPECT_NE(ChatRefusal(R"(,"temperature":1e300)"), "taken");
  EXPECT_EQ(ChatRefusal(R"(,"top_p":2)"), "top_p: top_p is 2; it must be in (0, 1]");
  EXPECT_NE(ChatRefusal(R"(,"presence_penalty":1e6)"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"seed":1.5)"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"stop":[1])"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"stop":[""])"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"stop":")" + std::string(257, 'a') + "\""), "taken");
  EXPECT_EQ(ChatRefusal(R"(,"stop":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a",
      "a","a"])"),
            "stop: 'stop' has 17 strings; at most 16 are taken");
  for (const char* bias : {"[1]", R"({"a":1})", R"({"-1":1})", R"({"":1})", R"({"1":101})",
                           R"({"1":"2"})", R"({"1234567890":1})"}) {
    EXPECT_NE(ChatRefusal(std::string(R"(,"logit_bias":)") + bias), "taken") << bias;
  }
  EXPECT_EQ(ChatRefusal(R"(,"top_logprobs":2)"),
            "top_logprobs: 'top_logprobs' needs 'logprobs' to be true");
  EXPECT_NE(ChatRefusal(R"(,"logprobs":true,"top_logprobs":21)"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"stream_options":{"include_usage":true})"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"reasoning_effort":"much")"), "taken");
  EXPECT_NE(ChatRefusal(R"(,"thinking":true)"), "taken");
}

// To ignore these would be to answer something else.
TEST(ApiRequest, WhatTheServerCannotDoIsRefused) {
  EXPECT_EQ(ChatRefusal(R"(,"functions":[{"name":"f"}])"),
            "functions: 'functions' is not supported by this server; use 'tools'");
  EXPECT_EQ(ChatRefusal(R"(,"functions":[])"),
            "functions: 'functions' is not supported by this server; use 'tools'");
  EXPECT_EQ(ChatRefusal(R"(,"function_call":"none")"),
            "function_call: 'function_call' is not supported by this server; use 'tool_choice'");
  EXPECT_EQ(TextRefusal(R"(,"prompt":"a","functions":{})"),
            "functions: 'functions' is not supported by this server; use 'tools'");
  EXPECT_EQ(ChatRefusal(R"(,"functions":null,"function_call":null)"), "taken");
  EXPECT_NE(TextRefusal(R"(,"prompt":"a","best_of":2)"), "taken");
  EXPECT_EQ(TextRefusal(R"(,"prompt":"a","best_of":2,"n":2)"), "taken");
}

std::string MessagesRefusal(const std::string& messages) {
  return Refusal([&] { ParseChatRequest(R"({"messages":)" + messages + "}", kStandard, {}); });
}

TEST(ApiRequest, ACallAsItWasBeforeToolsIsRefused) {
  const auto refusal = [](const std::string& call) {
    return MessagesRefusal(
        R"([{"role":"user","content":"a"},{"role":"assistant","content":null,"function_call":)" +
        call + "}]");
  };
  EXPECT_EQ(refusal(R"({"name":"f","arguments":"{}"})"),
            "messages[1].function_call: 'messages[1].function_call' is not supported by this "
            "server; use 'tool_calls'");
  EXPECT_EQ(refusal("null"), "taken");
}

TEST(ApiRequest, MessagesBecomeWhatATemplateTakes) {
  const ChatRequest request = ParseChatRequest(R"({"messages":[
      {"role":"developer","content":"Be brief.","name":"x"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":"c","reasoning_content":"d","prefix":true}]})",
                                               kStandard, {});
  using Json = nlohmann::ordered_json;
  EXPECT_EQ(request.messages, Json::parse(R"([{"role":"system","content":"Be brief."},
      {"role":"user","content":"ab"},
      {"role":"assistant","content":"c","reasoning_content":"d"}])"));
  EXPECT_TRUE(request.continue_final_message);
  EXPECT_EQ(MessagesRefusal("[]"), "messages: 'messages' must be an array of at least one message");
  EXPECT_EQ(MessagesRefusal(R"([{"role":"king","content":"a"}])"),
            "messages[0].role: 'messages[0].role' is 'king'; it must be system, user, assistant or "
            "tool");
  EXPECT_EQ(MessagesRefusal(R"([{"role":"user"}])"),
            "messages[0].content: 'messages[0].content' is missing; add it");
  EXPECT_NE(MessagesRefusal(R"([{"role":"user","content":[{"type":"image_url"}]}])"), "taken");
  EXPECT_NE(MessagesRefusal(R"([{"role":"user","content":"a","prefix":true}])"), "taken");
  EXPECT_NE(MessagesRefusal(R"(["a"])"), "taken");
  EXPECT_NE(MessagesRefusal(R"([{"role":"user","content":1}])"), "taken");
}

TEST(ApiRequest, TheFormatOfAnswersIsASchema) {
  using Json = nlohmann::ordered_json;
  EXPECT_EQ(Chat(R"(,"response_format":{"type":"text"})").schema, Json());
  EXPECT_EQ(Chat(R"(,"response_format":{"type":"json_object"})").schema,
            Json::parse(R"({"type":"object"})"));
  EXPECT_EQ(Text(R"(,"prompt":"a","response_format":{"type":"json_schema","json_schema":{
      "name":"n","strict":true,"schema":{"type":"integer"}}})")
                .schema,
            Json::parse(R"({"type":"integer"})"));
  EXPECT_EQ(
      ChatRefusal(R"(,"response_format":{"type":"xml"})"),
      "response_format: 'response_format' has the type 'xml'; it must be text, json_object or "
      "json_schema");
  for (const char* format :
       {"1", R"({"type":"json_schema"})", R"({"type":"json_schema","json_schema":{"schema":1}})"}) {
    EXPECT_NE(ChatRefusal(std::string(R"(,"response_format":)") + format), "taken") << format;
  }
}

constexpr char kTools[] = R"(,"tools":[{"type":"function","function":{"name":"add",
    "parameters":{"type":"object"}}},{"type":"function","function":{"name":"f"}}])";

TEST(ApiRequest, ToolsAreOffered) {
  using Choice = ToolFields::Choice;
  const ToolFields fields = Chat(kTools).tools;
  EXPECT_EQ(fields.choice, Choice::kAuto);
  EXPECT_TRUE(fields.several);
  ASSERT_EQ(fields.tools.size(), 2u);
  EXPECT_EQ(fields.tools[0].name, "add");
  EXPECT_EQ(fields.tools[0].parameters["type"], "object");
  EXPECT_TRUE(fields.tools[1].parameters.is_null());
  EXPECT_EQ(fields.offered[0]["function"]["name"], "add");
  EXPECT_EQ(Chat("").tools.choice, Choice::kNone);
  const auto choose = [](const std::string& choice) {
    return Chat(std::string(kTools) + R"(,"tool_choice":)" + choice).tools;
  };
  EXPECT_EQ(choose(R"("none")").choice, Choice::kNone);
  EXPECT_TRUE(choose(R"("none")").offered.is_null());
  EXPECT_EQ(choose(R"("auto")").choice, Choice::kAuto);
  EXPECT_EQ(choose(R"("required")").tools.size(), 2u);
  const ToolFields named = choose(R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(named.choice, Choice::kRequired);
  ASSERT_EQ(named.tools.size(), 1u);
  EXPECT_EQ(named.tools[0].name, "f");
  EXPECT_FALSE(named.several);
  EXPECT_FALSE(Chat(std::string(kTools) + R"(,"parallel_tool_calls":false)").tools.several);
}

TEST(ApiRequest, WrongToolsAreRefused) {
  EXPECT_EQ(ChatRefusal(R"(,"tools":[])"), "taken");
  EXPECT_EQ(ChatRefusal(R"(,"tools":[{"type":"function","function":{"name":"a b"}}])"),
            "tools: 'tools' has the name 'a b'; it must be 1 to 64 letters, digits, _, - or .");
  for (const char* tools : {"1", "[1]", "[{}]", R"([{"type":"function"}])",
                            R"([{"type":"function","function":{"name":"f","parameters":1}}])"}) {
    EXPECT_NE(ChatRefusal(std::string(R"(,"tools":)") + tools), "taken") << tools;
  }
  const auto refusal_of = [](const std::string& parameters) {
    return ChatRefusal(R"(,"tools":[{"type":"function","function":{"name":"f","parameters":)" +
                       parameters + "}}]");
  };
  EXPECT_EQ(refusal_of(R"({"type":"string"})"),
            "tools: 'tools' has 'parameters' of 'f' that are of another type than \"object\"; a "
            "call's arguments are an object");
  EXPECT_NE(refusal_of(R"({"type":["object","null"]})"), "taken");
  for (const char* parameters : {"{}", R"({"type":"object"})", R"({"properties":{}})"})
    EXPECT_EQ(refusal_of(parameters), "taken") << parameters;
  EXPECT_EQ(ChatRefusal(R"(,"tool_choice":"required")"),
            "tool_choice: 'tool_choice' asks for a tool that 'tools' does not have");
  for (const char* choice : {R"("all")", "1", "{}", R"({"function":{"name":"g"}})"}) {
    EXPECT_NE(ChatRefusal(std::string(kTools) + R"(,"tool_choice":)" + choice), "taken") << choice;
  }
}

TEST(ApiRequest, CallsInMessagesAreWhatATemplateTakes) {
  using Json = nlohmann::ordered_json;
  Json messages = ParseChatRequest(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
      "function":{"name":"add","arguments":"{\"b\": 1.50}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"2"}]})",
                                   kStandard, {})
                      .messages;
  EXPECT_EQ(messages, Json::parse(R"([{"role":"user","content":"a"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
      "function":{"name":"add","arguments":"{\"b\": 1.50}"}}]},
      {"role":"tool","content":"2","tool_call_id":"c1"}])"));
  SpellOutArguments(&messages);
  EXPECT_EQ(messages[1]["tool_calls"][0]["function"]["arguments"], Json::parse(R"({"b":1.5})"));
  for (const char* calls : {"1", "[1]", "[{}]", R"([{"function":{"name":"f","arguments":"{"}}])",
                            R"([{"function":{"name":"f","arguments":"[]"}}])",
                            R"([{"function":{"arguments":"{}"}}])"}) {
    EXPECT_NE(MessagesRefusal(std::string(R"([{"role":"assistant","tool_calls":)") + calls + "}]"),
              "taken")
        << calls;
  }
}

TEST(ApiRequest, ThinkingIsSwitchedByEveryNameOfIt) {
  EXPECT_EQ(Chat(R"(,"thinking":{"type":"disabled"})").variables["enable_thinking"], false);
  EXPECT_EQ(Chat(R"(,"thinking":{"type":"enabled"})").variables["thinking"], true);
  EXPECT_EQ(Chat(R"(,"reasoning_effort":"none")").variables["enable_thinking"], false);
  EXPECT_EQ(Chat(R"(,"reasoning_effort":"low")").variables["enable_thinking"], true);
  EXPECT_EQ(
      Chat(R"(,"chat_template_kwargs":{"enable_thinking":false})").variables["enable_thinking"],
      false);
}

TEST(ApiRequest, ATextHasNoBudgetOfThought) {
  const std::string body = R"({"prompt":"a","max_reasoning_tokens":3})";
  EXPECT_THROW(ParseTextRequest(body, {}, {}), ApiError);
}

TEST(ApiRequest, AThoughtMayHaveABudget) {
  EXPECT_EQ(Chat("").max_reasoning_tokens, std::nullopt);
  EXPECT_EQ(Chat(R"(,"max_reasoning_tokens":null)").max_reasoning_tokens, std::nullopt);
  EXPECT_EQ(Chat(R"(,"max_reasoning_tokens":0)").max_reasoning_tokens, 0);
  EXPECT_EQ(Chat(R"(,"max_reasoning_tokens":512)").max_reasoning_tokens, 512);
  for (const char* wrong : {"-1", "1.5", "\"1\"", "true"}) {
    EXPECT_NE(ChatRefusal(std::string(R"(,"max_reasoning_tokens":)") + wrong), "taken") << wrong;
  }
}

TEST(ApiRequest, PromptsAreTextsOrIds) {
  using Prompts = decltype(TextRequest::prompts);
  EXPECT_EQ(Text(R"(,"prompt":"a")").prompts, Prompts{"a"});
  EXPECT_EQ(Text(R"(,"prompt":["a","b"])").prompts, (Prompts{"a", "b"}));
  EXPECT_EQ(Text(R"(,"prompt":[1,2])").prompts, (Prompts{std::vector<int32_t>{1, 2}}));
  EXPECT_EQ(Text(R"(,"prompt":[[1],[2]],"echo":true,"logprobs":null)").prompts.size(), 2u);
  EXPECT_EQ(Text(R"(,"prompt":"a","logprobs":0)").top_logprobs, 0);
  for (const char* prompt :
       {"1", "{}", "[]", "[[]]", "[1,\"a\"]", "[\"a\",1]", "[-1]", "[[1.5]]"}) {
    EXPECT_NE(TextRefusal(std::string(R"(,"prompt":)") + prompt), "taken") << prompt;
  }
  EXPECT_EQ(TextRefusal(""), "prompt: 'prompt' is missing; add it");
  EXPECT_NE(TextRefusal(R"(,"prompt":["a","b"],"n":65)"), "taken");
}

TEST(ApiRequest, PromptsAloneMayBeAskedAbout) {
  const TextRequest request = Text(R"(,"prompt":"a","echo":true,"logprobs":1,"max_tokens":0)");
  EXPECT_TRUE(request.echo);
  EXPECT_EQ(request.top_logprobs, 1);
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_NE(ChatRefusal(R"(,"max_tokens":0)"), "taken");
  EXPECT_NE(TextRefusal(R"(,"prompt":"a","max_tokens":-1)"), "taken");
}

TEST(ApiRequest, ASuffixFollowsStrings) {
  EXPECT_EQ(Text(R"(,"prompt":["a","b"],"suffix":"c")").suffix, "c");
  EXPECT_EQ(Text(R"(,"prompt":[1,2],"suffix":"","echo":true)").suffix, "");
  EXPECT_EQ(Text(R"(,"prompt":[1,2],"suffix":null)").suffix, "");
  EXPECT_EQ(TextRefusal(R"(,"prompt":[1,2],"suffix":"a")"),
            "suffix: 'suffix' needs prompts that are strings, not token ids");
  EXPECT_EQ(TextRefusal(R"(,"prompt":"a","suffix":"a","echo":true)"),
            "suffix: 'suffix' cannot be had together with 'echo'");
  EXPECT_NE(TextRefusal(R"(,"prompt":"a","suffix":1)"), "taken");
}

TEST(ApiRequest, BodiesAreStrictJsonOfLimitedDepth) {
  const auto refusal = [](const std::string& body) {
    return Refusal([&] { ParseBody(body, {}); });
  };
  EXPECT_NE(refusal(""), "taken");
  EXPECT_NE(refusal("{"), "taken");
  EXPECT_NE(refusal("[]"), "taken");
  EXPECT_NE(refusal(R"({"a":1,"a":2})"), "taken");
  const auto nested = [](size_t depth) {
    return R"({"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(refusal(nested(63)), "taken");
  EXPECT_EQ(refusal(nested(64)), ": the request's body: JSON nests deeper than 64 levels");
  EXPECT_NE(refusal(nested(1'000'000)), "taken");
}

TEST(ApiRequest, TokenizingTakesTextAndIds) {
  EXPECT_EQ(ParseTokenizeRequest(R"({"content":"a"})", {}).content, "a");
  EXPECT_FALSE(ParseTokenizeRequest(R"({"content":"a","parse_special":false})", {}).special);
  EXPECT_EQ(ParseDetokenizeRequest(R"({"tokens":[1,2]})", {}), (std::vector<int32_t>{1, 2}));
  EXPECT_NE(Refusal([] { ParseTokenizeRequest("{}", {}); }), "taken");
  EXPECT_NE(Refusal([] { ParseTokenizeRequest(R"({"content":1})", {}); }), "taken");
  EXPECT_NE(Refusal([] { ParseDetokenizeRequest(R"({"tokens":"a"})", {}); }), "taken");
  EXPECT_NE(Refusal([] { ParseDetokenizeRequest(R"({"tokens":[-1]})", {}); }), "taken");
}

}  // namespace
}  // namespace darkhorse
