#include "serve/embeddings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "infer/engine_testing.h"
#include "serve/api_error.h"

namespace darkhorse {
namespace {

using Json = nlohmann::json;

EmbeddingRequest Parse(const std::string& body) { return ParseEmbeddingRequest(body, 40, {}); }

std::string Refusal(const std::string& body) {
  try {
    Parse(body);
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    return error.param();
  }
  return "taken";
}

TEST(EmbeddingRequest, TakesTextsAndTokens) {
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(Parse(R"({"input":"a"})").inputs, (std::vector<TextOrTokens>{"a"}));
  EXPECT_EQ(Parse(R"({"input":["a","b"]})").inputs, (std::vector<TextOrTokens>{"a", "b"}));
  EXPECT_EQ(Parse(R"({"input":[1,2]})").inputs, (std::vector<TextOrTokens>{Ids{1, 2}}));
  EXPECT_EQ(Parse(R"({"input":[[1],[2,3]]})").inputs,
            (std::vector<TextOrTokens>{Ids{1}, Ids{2, 3}}));
  const EmbeddingRequest request =
      Parse(R"({"model":"m","input":"a","encoding_format":"base64","dimensions":40,"user":"u"})");
  EXPECT_EQ(request.model, "m");
  EXPECT_TRUE(request.base64);
  EXPECT_FALSE(Parse(R"({"input":"a","encoding_format":"float"})").base64);
  EXPECT_FALSE(Parse(R"({"input":"a","encoding_format":null,"dimensions":null})").base64);
}

TEST(EmbeddingRequest, RefusesWhatItCannotGive) {
  for (const char* input : {"null", "1", "{}", "[]", R"("")", R"(["a",""])", "[[]]", "[1,\"a\"]",
                            "[-1]", "[true]", "[\"a\",1]"}) {
    EXPECT_EQ(Refusal(std::string(R"({"input":)") + input + "}"), "input") << input;
  }
  EXPECT_EQ(Refusal("{}"), "input");
  EXPECT_EQ(Refusal(R"({"input":"a","encoding_format":"int8"})"), "encoding_format");
  EXPECT_EQ(Refusal(R"({"input":"a","dimensions":39})"), "dimensions");
  EXPECT_EQ(Refusal(R"({"input":"a","dimensions":0})"), "dimensions");
  Json many = {{"input", Json::array()}};
  for (int i = 0; i < 2048; ++i) many["input"].push_back("a");
  EXPECT_EQ(Refusal(many.dump()), "taken");
  many["input"].push_back("a");
  EXPECT_EQ(Refusal(many.dump()), "input");
}

// Keeps what it is sent.
class Reply : public HttpReply {
 public:
  void Send(int status, std::string_view, std::string body, const Headers&) override {
    EXPECT_EQ(status_, 0);
    status_ = status;
    body_ = Json::parse(body);
  }
  void Begin(int, std::string_view, std::string) override { ADD_FAILURE(); }
  void Write(std::string) override { ADD_FAILURE(); }
  void End() override { ADD_FAILURE(); }
  void OnGone(std::function<void()>) override {}
  int status_ = 0;
  Json body_;
};

// The mean of a whole pass's hidden states, of length 1: as an engine computes it beside others, in
// numbers and in bytes.
TEST(Embeddings, AreTheMeanOfTheHiddenStates) {
  Model m;
  const ModelWeights weights = m.Bound();
  const std::vector<GenerationRequest> texts = Requests(m.config);
  std::vector<std::vector<float>> want;
  for (const GenerationRequest& text : texts) {
    Arena arena;
    const auto rows = static_cast<int64_t>(text.prompt.size());
    const Matrix hidden =
        m.transformer.Forward(weights, {text.prompt, {{0, rows, 0, -1}}}, nullptr, arena, nullptr);
    std::vector<double> mean(static_cast<size_t>(hidden.cols));
    double squares = 0;
    for (int64_t i = 0; i < hidden.cols; ++i) {
      for (int64_t row = 0; row < rows; ++row) mean[static_cast<size_t>(i)] += hidden(row, i);
      mean[static_cast<size_t>(i)] /= static_cast<double>(rows);
      squares += mean[static_cast<size_t>(i)] * mean[static_cast<size_t>(i)];
    }
    want.emplace_back();
    for (const double x : mean) want.back().push_back(static_cast<float>(x / std::sqrt(squares)));
  }
  std::vector<std::vector<float>> numbers;
  for (const bool base64 : {false, true}) {
    Engine engine(m.transformer, weights,
                  {.slots = 2, .capacity = 400, .prefill_rows = 16, .remember = true});
    Scheduler scheduler(engine, 100);
    std::vector<GenerationRequest> requests;
    std::vector<int64_t> tokens;
    int64_t all = 0;
    for (const GenerationRequest& text : texts) {
      requests.push_back(EmbeddingOf(text.prompt, 0));
      tokens.push_back(static_cast<int64_t>(text.prompt.size()));
      all += tokens.back();
    }
    const auto reply = std::make_shared<Reply>();
    int ended = 0;
    Scheduler::Refusal refusal{};
    ASSERT_TRUE(scheduler.Submit(
        std::move(requests),
        std::make_shared<EmbeddingJob>(reply, "m", base64, tokens, [&] { ++ended; }), &refusal));
    EXPECT_TRUE(scheduler.WaitIdle(60));
    scheduler.Stop();
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(reply->status_, 200);
    const Json& answer = reply->body_;
    EXPECT_EQ(answer["object"], "list");
    EXPECT_EQ(answer["model"], "m");
    EXPECT_EQ(answer["usage"], (Json{{"prompt_tokens", all}, {"total_tokens", all}}));
    ASSERT_EQ(answer["data"].size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      const Json& one = answer["data"][i];
      EXPECT_EQ(one["object"], "embedding");
      EXPECT_EQ(one["index"], i);
      if (base64) {
        EXPECT_EQ(one["embedding"], Base64OfFloats(numbers[i]));
        continue;
      }
      // In double but for the end, so that no more than the last place of a number below 1 differs.
      numbers.push_back(one["embedding"].get<std::vector<float>>());
      ASSERT_EQ(numbers[i].size(), want[i].size());
      for (size_t k = 0; k < want[i].size(); ++k)
        EXPECT_NEAR(numbers[i][k], want[i][k], 0x1p-24) << k;
    }
  }
}

TEST(Embeddings, OfNothingIsNothing) {
  Completion completion;
  completion.prompt.hidden_sum = {0, 0};
  EXPECT_EQ(Embedding(completion), (std::vector<float>{0, 0}));
  completion.prompt.hidden_sum = {3, -4};
  EXPECT_EQ(Embedding(completion), (std::vector<float>{0.6f, -0.8f}));
}

}  // namespace
}  // namespace darkhorse
