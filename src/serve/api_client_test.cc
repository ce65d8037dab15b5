#include "serve/api_client.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"
#include "base/scratch_testing.h"
#include "serve/api_error.h"
#include "serve/http.h"

namespace darkhorse {
namespace {

using Json = ApiClient::Json;

// A server of fixed answers, by path.
class ApiClientTest : public testing::Test {
 protected:
  void SetUp() override {
    HttpOptions options;
    options.port = 0;
    server_.emplace(options);
    server_->Start(HttpGate(),
                   [this](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
                     key_ = request.Header("authorization");
                     body_ = request.body;
                     const auto found = answers_.find(request.path);
                     if (found == answers_.end()) return reply->Send(404, "text/plain", "no page");
                     const auto& [status, type, text] = found->second;
                     reply->Send(status, type, text);
                   });
  }
  ApiClient Client(const std::string& base = "") {
    return ApiClient(fmt::format("http://127.0.0.1:{}{}", server_->port(), base), "sk-1");
  }
  void Events(const std::string& text) {
    answers_["/v1/completions"] = {200, "text/event-stream", text};
  }
  std::string ErrorOf(const std::function<void()>& what) {
    try {
      what();
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  }

  struct Answer {
    int status;
    std::string type, text;
  };
  std::map<std::string, Answer> answers_;
  std::string key_, body_;  // of the last request
  std::optional<HttpServer> server_;
};

TEST_F(ApiClientTest, AsksForModelsTokensAndMeasurements) {
  answers_["/v1/models"] = {200, "application/json", R"({"data": [{"id": "m"}, {"id": "n"}]})"};
  answers_["/tokenize"] = {200, "application/json", R"({"tokens": [3, 1, 2]})"};
  answers_["/metrics"] = {200, "text/plain", "# HELP a b\na_b 2\na 1.5e3\n"};
  for (const char* base : {"", "/", "/v1", "/v1/"}) EXPECT_EQ(Client(base).FirstModel(), "m");
  EXPECT_EQ(key_, "Bearer sk-1");
  EXPECT_EQ(Client().Tokenize("a b"), (std::vector<int32_t>{3, 1, 2}));
  EXPECT_EQ(Json::parse(body_), (Json{{"content", "a b"}}));
  EXPECT_EQ(MetricOf(Client().Metrics(), "a"), 1500);
  EXPECT_EQ(MetricOf(Client().Metrics(), "a_b"), 2);
  EXPECT_EQ(MetricOf(Client().Metrics(), "b"), std::nullopt);
  EXPECT_EQ(MetricOf("a", "a"), std::nullopt);
}

TEST(KeyOfFile, IsTheFirstWordThatIsNoComment) {
  const ScratchDirectory scratch;
  EXPECT_EQ(KeyOfFile(scratch.Write("a", "# mine\n\n  sk-1 name=me\r\nsk-2\n")), "sk-1");
  EXPECT_EQ(KeyOfFile(scratch.Write("b", "sk-3")), "sk-3");
  EXPECT_THROW(KeyOfFile(scratch.Write("c", "# none\n \n")), Error);
}

TEST_F(ApiClientTest, DoesWithoutWhatAServerDoesNotHave) {
  EXPECT_EQ(Client().Tokenize("a"), std::nullopt);
  EXPECT_EQ(Client().Metrics(), "");
  answers_["/tokenize"] = {200, "application/json", R"({"tokens": [{"id": 1}]})"};
  EXPECT_EQ(Client().Tokenize("a"), std::nullopt);
  answers_["/v1/models"] = {200, "application/json", R"({"data": []})"};
  EXPECT_NE(ErrorOf([&] { Client().FirstModel(); }).find("name one with --model"),
            std::string::npos);
}

TEST_F(ApiClientTest, TellsAStreamPieceByPiece) {
  Events(R"(data: {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}

: keep-alive

data: {"choices": [{"delta": {"content": null, "reasoning_content": "hm"}}]}

data: {"choices": [{"delta": {"content": "yes"}}]}

data: {"choices": [{"text": "no", "finish_reason": "length"}], "usage": null}

data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}}

data: [DONE]

)");
  std::string said;
  const StreamEnd end = Client().Stream(
      "/v1/completions", {{"prompt", "a"}},
      [&](const StreamPiece& piece) { said += "<" + piece.thought + "|" + piece.content + ">"; });
  EXPECT_EQ(said, "<hm|><|yes><|no>");
  EXPECT_EQ(end.finish, "length");
  EXPECT_EQ(end.prompt_tokens, 5);
  EXPECT_EQ(end.cached_tokens, 4);
  EXPECT_EQ(end.answer_tokens, 2);
  EXPECT_EQ(
      Json::parse(body_),
      (Json{{"prompt", "a"}, {"stream", true}, {"stream_options", {{"include_usage", true}}}}));
}

TEST_F(ApiClientTest, TellsWhatAServerSaysIsWrong) {
  const auto ask = [&] { Client().Stream("/v1/completions", {}, [](const StreamPiece&) {}); };
  EXPECT_EQ(ErrorOf(ask), "HTTP 404: no page");
  answers_["/v1/completions"] = {429, "application/json", R"({"error": {"message": "too\nmany"}})"};
  EXPECT_EQ(ErrorOf(ask), "HTTP 429: too\\nmany");
  try {
    ask();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 429);
  }
  Events("data: {\"error\": {\"message\": \"it burns\"}}\n\n");
  EXPECT_EQ(ErrorOf(ask), "the server: it burns");
  Events("data: {\"choices\": []}\n\n");
  EXPECT_EQ(ErrorOf(ask), "the stream ended before its end was told");
  Events("data: {\"choices\": [\n\n");
  EXPECT_NE(ErrorOf(ask).find("no JSON object"), std::string::npos);
  for (const char* odd :
       {"[]", "{\"choices\": 1}", "{\"choices\": [1, {\"delta\": []}, {\"text\": 2}]}",
        "{\"usage\": {\"prompt_tokens\": \"a\"}}"}) {
    Events(std::string("data: ") + odd + "\n\ndata: [DONE]\n\n");
    EXPECT_EQ(ErrorOf(ask),
              std::string(odd) == "[]" ? "the server answers what is no JSON object: []" : "none");
  }
  answers_["/v1/completions"] = {200, "application/json", "{}"};
  EXPECT_EQ(ErrorOf(ask), "the server answers with no stream of events");
}

}  // namespace
}  // namespace darkhorse
