// Where completions end.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/scratch_testing.h"
#include "infer/engine_testing.h"

namespace darkhorse {
namespace {

TEST(Engine, StopsAtStopTokensLengthAndCallback) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 150, .prefill_rows = 50});
  int stopped = 0;
  for (const Completion& completion : engine.Generate(requests)) {
    const bool ends_with_stop = completion.tokens.back() == 5;
    EXPECT_EQ(completion.finish == FinishReason::kStop, ends_with_stop);
    EXPECT_EQ(std::count(completion.tokens.begin(), completion.tokens.end(), 5),
              ends_with_stop ? 1 : 0);
    const auto& request = requests[completion.request];
    const size_t room = 150 - request.prompt.size();  // though panels are whole
    if (!ends_with_stop) {
      EXPECT_EQ(completion.tokens.size(),
                std::min<size_t>(static_cast<size_t>(request.max_tokens), room));
    }
    stopped += ends_with_stop;
  }
  EXPECT_GT(stopped, 0);
}

// What is never drawn leaves the others' probabilities among themselves, and each token's logp, as
// they are.
TEST(Engine, TokensThatAreNeverToBeSaidAreNot) {
  Model m;
  auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  const auto run = [&] {
    Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
    return engine.Generate(requests);
  };
  requests.resize(1);
  requests[0].samples = 8;
  requests[0].max_tokens = 1;
  const std::vector<Completion> free = run();
  const std::vector<int32_t> never = {free[0].tokens[0], 7};
  requests[0].never = std::make_shared<const std::vector<int32_t>>(never);
  const std::vector<Completion> bound = run();
  for (const Completion& completion : bound) {
    for (const int32_t token : completion.tokens)
      EXPECT_EQ(std::ranges::count(never, token), 0) << token;
  }
  int same = 0;
  for (const Completion& a : free) {
    for (const Completion& b : bound) {
      if (a.tokens != b.tokens) continue;
      EXPECT_EQ(a.logp, b.logp);
      ++same;
    }
  }
  EXPECT_GT(same, 0);
}

// What is said up to there and each token's logp are the model's; what comes behind goes on from
// it.
TEST(Engine, AThoughtEndsAtItsBudget) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  GenerationRequest request = Requests(m.config)[0];
  request.max_tokens = 30;
  request.stop_tokens.clear();
  const std::vector<int32_t> free = engine.Generate({request})[0].tokens;
  request.thought = {
      .tokens = 12, .begun = true, .close = "!", .ending = {3, 4, 3}, .bytes = [](int32_t) {
        return "-";
      }};
  const Completion bound = engine.Generate({request})[0];
  std::vector<int32_t> expected(free.begin(), free.begin() + 12);
  expected.insert(expected.end(), {3, 4, 3});
  ASSERT_EQ(bound.tokens.size(), 30u);
  EXPECT_EQ(std::vector<int32_t>(bound.tokens.begin(), bound.tokens.begin() + 15), expected);

  GenerationRequest told = request;
  told.thought.reset();
  told.prompt.insert(told.prompt.end(), bound.tokens.begin(), bound.tokens.end());
  told.max_tokens = 0;
  told.of_prompt.logp = true;
  const std::vector<float> logp = engine.Generate({told})[0].prompt.logp;
  EXPECT_EQ(std::vector<float>(logp.end() - 30, logp.end()), bound.logp);
}

TEST(Engine, EveryStopTokenStops) {
  Model m;
  auto requests = Requests(m.config);
  for (GenerationRequest& request : requests) request.stop_tokens.clear();
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  const auto free_running = engine.Generate(requests);
  std::vector<int> stopped_by(3);
  const std::vector<int32_t> stops = {9, 30, 47};
  for (GenerationRequest& request : requests) request.stop_tokens = stops;
  const auto stopped = engine.Generate(requests);
  ASSERT_EQ(stopped.size(), free_running.size());
  for (size_t i = 0; i < stopped.size(); ++i) {
    const std::vector<int32_t>& all = free_running[i].tokens;
    const auto first = std::find_first_of(all.begin(), all.end(), stops.begin(), stops.end());
    const bool stop = first != all.end();
    EXPECT_EQ(stopped[i].tokens, std::vector<int32_t>(all.begin(), first + stop));
    EXPECT_EQ(stopped[i].finish, stop ? FinishReason::kStop : FinishReason::kLength);
    for (size_t s = 0; s < stops.size(); ++s) stopped_by[s] += stop && *first == stops[s];
  }
  for (const int count : stopped_by) EXPECT_GT(count, 0);
}

TEST(Engine, ACancelledCompletionEndsWithTheTokenItWasCancelledAt) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  const auto whole = engine.Generate(requests);
  // The third token of odd samples.
  const auto cut = engine.Generate(
      requests, [](const Completion& c) { return c.sample % 2 == 0 || c.tokens.size() < 3; });
  int cancelled = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    const bool odd = whole[i].sample % 2 == 1 && whole[i].tokens.size() > 3;
    cancelled += odd;
    const auto kept =
        whole[i].tokens.begin() + static_cast<int64_t>(odd ? 3 : whole[i].tokens.size());
    EXPECT_EQ(cut[i].tokens, std::vector<int32_t>(whole[i].tokens.begin(), kept));
    EXPECT_EQ(cut[i].logp.size(), cut[i].tokens.size());
    EXPECT_EQ(cut[i].finish, odd ? FinishReason::kCancelled : whole[i].finish);
  }
  EXPECT_GT(cancelled, 0);
}

TEST(Engine, WhatItsLastTokenEndedIsNotCancelled) {
  Model m;
  auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  const auto cancel = [](const Completion&) { return false; };
  for (GenerationRequest& request : requests) request.stop_tokens.clear();
  for (const Completion& c : engine.Generate(requests, cancel)) {
    ASSERT_EQ(c.tokens.size(), 1u);
    EXPECT_EQ(c.finish, FinishReason::kCancelled);
  }
  for (GenerationRequest& request : requests) {
    request.stop_tokens.clear();
    for (int32_t token = 0; token < 61; ++token) request.stop_tokens.push_back(token);
  }
  for (const int64_t max_tokens : {9, 1}) {  // the stop comes before the end of room
    for (GenerationRequest& request : requests) request.max_tokens = max_tokens;
    for (const Completion& c : engine.Generate(requests, cancel))
      EXPECT_EQ(c.finish, FinishReason::kStop);
  }
  for (GenerationRequest& request : requests) request.stop_tokens.clear();
  for (const Completion& c : engine.Generate(requests, cancel))
    EXPECT_EQ(c.finish, FinishReason::kLength);
}

TEST(Engine, StopsWhereTheModelsContextEnds) {
  Model m;
  ModelConfig config = m.config;
  config.max_position_embeddings = 150;  // ends before the cache does
  const Transformer transformer(config);
  auto requests = Requests(config);
  for (GenerationRequest& request : requests) {
    request.stop_tokens.clear();
    request.max_tokens = 1000;
  }
  const ModelWeights weights = m.Bound();
  Engine engine(transformer, weights, {.slots = 8, .capacity = 400, .prefill_rows = 50});
  for (const Completion& completion : engine.Generate(requests)) {
    EXPECT_EQ(completion.finish, FinishReason::kLength);
    EXPECT_EQ(requests[completion.request].prompt.size() + completion.tokens.size(), 150u);
  }
}

TEST(Engine, ACallbackThatThrowsLeavesItUsable) {
  Model m;
  const auto requests = Requests(m.config);
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 4, .capacity = 400, .prefill_rows = 50});
  const auto undisturbed = engine.Generate(requests);
  int calls = 0;
  const auto throws = [&](const Completion&) {
    if (++calls == 100) throw Interruption();
    return true;
  };
  EXPECT_THROW(engine.Generate(requests, throws), Interruption);
  ExpectSame(engine.Generate(requests), undisturbed);
}

// The cache's end (61, as asked for) or the context's (50), whichever comes first.
TEST(Engine, APromptMayLeaveRoomForOneToken) {
  Model m;
  const ModelWeights weights = m.Bound();
  for (const int64_t context : {50, 512}) {
    ModelConfig config = m.config;
    config.max_position_embeddings = context;
    const Transformer transformer(config);
    Engine engine(transformer, weights, {.slots = 2, .capacity = 61});
    const int64_t room = std::min<int64_t>(context, 61);
    GenerationRequest request;
    request.prompt.assign(static_cast<size_t>(room - 1), 1);
    const auto completions = engine.Generate({request});
    EXPECT_EQ(completions[0].tokens.size(), 1u);
    EXPECT_EQ(completions[0].finish, FinishReason::kLength);
    request.prompt.push_back(1);
    EXPECT_EQ(
        MessageOf([&] { engine.Generate({request}); }),
        fmt::format("prompt 1: it has {0} tokens, but prompt and completion together may have "
                    "{0}; shorten it",
                    room));
  }
}

TEST(Engine, WithoutTokensOrSamplesToMakeNothingIsComputed) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 64});
  GenerationRequest request;
  request.prompt = {1};
  request.max_tokens = 0;
  request.samples = 3;
  const auto completions = engine.Generate({request, request});
  ASSERT_EQ(completions.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(completions[i].request, i / 3);
    EXPECT_EQ(completions[i].sample, static_cast<int64_t>(i % 3));
    EXPECT_TRUE(completions[i].tokens.empty());
    EXPECT_EQ(completions[i].finish, FinishReason::kLength);
  }
  request.max_tokens = 5;
  request.samples = 0;
  EXPECT_TRUE(engine.Generate({request}).empty());
  EXPECT_TRUE(engine.Generate({}).empty());
  EXPECT_EQ(engine.stats().work.rows, 0);
}

}  // namespace
}  // namespace darkhorse
