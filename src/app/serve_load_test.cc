#include "app/serve_load.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <optional>
#include <set>

#include "app/bench_serve.h"
#include "base/error.h"
#include "serve/http.h"

namespace darkhorse {
namespace {

using Json = nlohmann::ordered_json;

// A server that answers a request's seed, a piece for each of two tokens.
class ServeLoad : public testing::Test {
 protected:
  void SetUp() override {
    HttpOptions options;
    options.port = 0;
    server_.emplace(options);
    server_->Start(HttpGate(),
                   [this](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
                     Answer(request, reply);
                   });
    options_.url = fmt::format("http://127.0.0.1:{}", server_->port());
    options_.clients = 3;
    options_.requests = 10;
  }

  void Answer(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (request.path == "/v1/models")
      return reply->Send(200, "application/json", R"({"data": [{"id": "m"}]})");
    if (request.path == "/metrics") {
      return reply->Send(200, "text/plain",
                         fmt::format("process_resident_memory_bytes {}\n", 100 + asked_));
    }
    if (request.path != "/v1/completions") return reply->Send(404, "text/plain", "none");
    const int64_t number = asked_++;
    if (number >= fails_from_) return reply->Send(429, "text/plain", "full");
    const Json body = Json::parse(request.body);
    EXPECT_EQ(body["model"], "m");
    const std::string odd = number == differs_at_ ? "!" : "";
    reply->Begin(200, "text/event-stream", "");
    reply->Write(fmt::format("data: {}\n\n", Json{{"choices", {{{"text", "a"}}}}}.dump()));
    reply->Write(fmt::format(
        "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        Json{{"choices", {{{"text", body["seed"].dump() + odd}, {"finish_reason", "length"}}}}}
            .dump(),
        R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,)"
        R"("prompt_tokens_details":{"cached_tokens":3}}})"));
    reply->End();
  }

  std::atomic<int64_t> asked_ = 0;
  int64_t fails_from_ = INT64_MAX, differs_at_ = -1;
  LoadOptions options_;
  std::optional<HttpServer> server_;
};

TEST_F(ServeLoad, AsksEachRequestOnceAndCounts) {
  const LoadResult result = RunLoad(options_);
  EXPECT_EQ(asked_, 10);
  EXPECT_EQ(result.answered, 10);
  EXPECT_EQ(result.failed(), 0);
  EXPECT_EQ(result.prompt_tokens, 70);
  EXPECT_EQ(result.cached_tokens, 30);
  EXPECT_EQ(result.answer_tokens, 20);
  EXPECT_EQ(result.first.size(), 10u);
  EXPECT_EQ(result.between.size(), 10u);
  EXPECT_EQ(result.whole.size(), 10u);
  ASSERT_EQ(result.server_memory.size(), 3u);
  EXPECT_EQ(result.server_memory.front(), 100);
  EXPECT_EQ(result.server_memory.back(), 110);
  EXPECT_GT(result.seconds, 0);
}

TEST_F(ServeLoad, GoesOnForAsLongAsItIsTold) {
  options_.seconds = 0.2;
  options_.requests = 2;
  const LoadResult result = RunLoad(options_);
  EXPECT_GT(result.answered, 2);
  EXPECT_GE(result.seconds, 0.2);
}

TEST_F(ServeLoad, SeesAnAnswerThatIsNotTheSameAsAlone) {
  options_.verify = true;
  EXPECT_EQ(RunLoad(options_).different, 0);
  EXPECT_EQ(asked_, 20);
  differs_at_ = asked_ + 14;
  EXPECT_EQ(RunLoad(options_).different, 1);
}

TEST_F(ServeLoad, TellsFailuresByWhatWentWrong) {
  fails_from_ = 6;
  const LoadResult result = RunLoad(options_);
  EXPECT_EQ(result.answered, 6);
  EXPECT_EQ(result.failures, (std::map<std::string, int64_t>{{"HTTP 429: full", 4}}));
}

TEST_F(ServeLoad, StopsWhereItIsAsked) {
  options_.stop = [&] { return asked_ >= 4; };
  EXPECT_THROW(RunLoad(options_), Interruption);
  EXPECT_LT(asked_, 10);
}

TEST(LoadRequests, AreOfTheLengthsThatAreAsked) {
  LoadOptions options;
  options.requests = 200;
  options.prompt_tokens = {3, 6};
  options.answer_tokens = {2, 2};
  options.shared_prefix = 5;
  const std::vector<int32_t> ids = {10, 11, 12, 13};
  const std::vector<Json> requests = LoadRequests(options, ids);
  ASSERT_EQ(requests.size(), 200u);
  std::set<size_t> lengths;
  std::set<Json> prefixes, seeds, used;
  for (const Json& request : requests) {
    const Json& prompt = request["prompt"];
    lengths.insert(prompt.size());
    prefixes.insert(Json(std::vector<Json>(prompt.begin(), prompt.begin() + 5)));
    seeds.insert(request["seed"]);
    used.insert(prompt.begin(), prompt.end());
    EXPECT_EQ(request["max_tokens"], 2);
    EXPECT_EQ(request["ignore_eos"], true);
  }
  EXPECT_EQ(lengths, (std::set<size_t>{8, 9, 10, 11}));
  EXPECT_EQ(prefixes.size(), 1u);
  EXPECT_EQ(seeds.size(), 200u);
  EXPECT_EQ(used, (std::set<Json>{10, 11, 12, 13}));
  EXPECT_EQ(LoadRequests(options, ids), requests);
  options.seed = 1;
  EXPECT_NE(LoadRequests(options, ids)[0]["prompt"], requests[0]["prompt"]);
  // Of a server that cannot be asked for tokens: as many words.
  const std::string text = LoadRequests(options, {})[0]["prompt"].get<std::string>();
  EXPECT_GE(std::count(text.begin(), text.end(), ' '), 7);
  EXPECT_LE(std::count(text.begin(), text.end(), ' '), 10);
}

TEST(Quantile, IsTheSmallestValueThatSoManyAreAtMost) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(Quantile(values, 0.5), 50);
  EXPECT_EQ(Quantile(values, 0.95), 95);
  EXPECT_EQ(Quantile(values, 0.99), 99);
  EXPECT_EQ(Quantile(values, 1), 100);
  EXPECT_EQ(Quantile(values, 0), 1);
  EXPECT_EQ(Quantile({3, 1}, 0.5), 1);
  EXPECT_EQ(Quantile({3, 1}, 0.51), 3);
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
}

TEST(ParseLengthRange, TakesOneNumberOrTwo) {
  const auto range = [](const char* text) {
    const LengthRange parsed = ParseLengthRange(text, "--new-tokens");
    return std::pair(parsed.low, parsed.high);
  };
  EXPECT_EQ(range("64"), std::pair(int64_t{64}, int64_t{64}));
  EXPECT_EQ(range("1:16777216"), std::pair(int64_t{1}, int64_t{16777216}));
  for (const char* wrong : {"", "0", "-1", "a", "1:", ":2", "1:2:3", "1.5", "16777217", "3:2"})
    EXPECT_THROW(range(wrong), UsageError) << wrong;
}

}  // namespace
}  // namespace darkhorse
