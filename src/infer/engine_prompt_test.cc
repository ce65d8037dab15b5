// What an engine tells of prompts, against a forward pass of the whole prompt at once.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "infer/engine_testing.h"
#include "infer/oracle_testing.h"
#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

class PromptTelling : public testing::TestWithParam<CacheForm> {
 protected:
  // By definition: one pass over the prompt, the head of every row, sums in the order of the rows.
  PromptTold Define(const std::vector<int32_t>& prompt, int64_t top) {
    Arena arena;
    const auto rows = static_cast<int64_t>(prompt.size());
    const Matrix hidden =
        m_.transformer.Forward(weights_, {prompt, {{0, rows, 0, -1}}}, nullptr, arena, nullptr);
    const Matrix logits = arena.NewMatrix(rows, m_.config.vocab_size);
    LinearForward(hidden, weights_.lm_head, logits);
    PromptTold told;
    told.hidden_sum.assign(static_cast<size_t>(hidden.cols), 0.0);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < hidden.cols; ++i)
        told.hidden_sum[static_cast<size_t>(i)] += hidden(row, i);
      if (row + 1 == rows) break;
      const auto of = [&](int32_t token) {
        float logp = 0;
        LogSoftmaxRows(logits.Rows(row, 1), &token, &logp, nullptr);
        return logp;
      };
      told.logp.push_back(of(prompt[static_cast<size_t>(row + 1)]));
      std::vector<TokenLogp> all;
      for (int32_t token = 0; token < m_.config.vocab_size; ++token)
        all.push_back({token, of(token)});
      std::ranges::stable_sort(all, std::greater{}, &TokenLogp::logp);
      all.resize(static_cast<size_t>(top));
      told.top.push_back(all);
    }
    return told;
  }
  // The expanded cache gives a whole pass's bits; from latents the sums are in another order, whose
  // error for these sizes is some hundred units of the last place of values of order 1 to 10.
  void ExpectTold(const PromptTold& got, const PromptTold& want) {
    const double bound = GetParam() == CacheForm::kExpanded ? 0 : 1e-4;
    ASSERT_EQ(got.logp.size(), want.logp.size());
    for (size_t i = 0; i < got.logp.size(); ++i) EXPECT_NEAR(got.logp[i], want.logp[i], bound) << i;
    ASSERT_EQ(got.hidden_sum.size(), want.hidden_sum.size());
    for (size_t i = 0; i < got.hidden_sum.size(); ++i)
      EXPECT_NEAR(got.hidden_sum[i], want.hidden_sum[i], bound * 100) << i;
    // A token's chance there follows from another's, which rounds: two roundings of values under
    // 32, of 2^-20 each.
    ASSERT_EQ(got.top.size(), want.top.size());
    for (size_t i = 0; i < got.top.size(); ++i) {
      ASSERT_EQ(got.top[i].size(), want.top[i].size());
      for (size_t k = 0; k < got.top[i].size(); ++k) {
        EXPECT_NEAR(got.top[i][k].logp, want.top[i][k].logp, bound + 2e-6) << i;
        if (bound == 0) {
          EXPECT_EQ(got.top[i][k].token, want.top[i][k].token) << i;
        }
      }
    }
  }

  Model m_;
  ModelWeights weights_ = m_.Bound();
};
INSTANTIATE_TEST_SUITE_P(Forms, PromptTelling,
                         testing::Values(CacheForm::kExpanded, CacheForm::kLatent));

TEST_P(PromptTelling, IsThatOfOnePass) {
  std::vector<GenerationRequest> requests = Requests(m_.config);
  std::vector<PromptTold> want;
  for (GenerationRequest& request : requests) {
    request.of_prompt = {.logp = true, .hidden = true};
    request.top_logp = 4;
    request.samples = 2;
    want.push_back(Define(request.prompt, 4));
  }
  const std::vector<Completion> plain = [&] {
    std::vector<GenerationRequest> unasked = requests;
    for (GenerationRequest& request : unasked) request.of_prompt = {};
    return Engine(m_.transformer, weights_,
                  {.form = GetParam(), .slots = 3, .capacity = 400, .prefill_rows = 16})
        .Generate(unasked);
  }();
  for (const int64_t slots : {1, 3, 10}) {
    for (const bool remember : {false, true}) {
      // What is guessed of the answers changes nothing that is told of their prompts.
      Engine engine(m_.transformer, weights_,
                    {.form = GetParam(),
                     .slots = slots,
                     .capacity = 400,
                     .prefill_rows = 16,
                     .remember = remember},
                    MakeOracle(m_.transformer, weights_, GetParam(), 400, 16));
      // The second time what is remembered is not used for it.
      for (int turn = 0; turn < 2; ++turn) {
        const std::vector<Completion> got = engine.Generate(requests);
        ExpectSame(got, plain);
        for (size_t r = 0; r < requests.size(); ++r) {
          ExpectTold(got[2 * r].prompt, want[r]);
          EXPECT_EQ(got[2 * r].cached, 0);
          EXPECT_TRUE(got[2 * r + 1].prompt.logp.empty());
          EXPECT_TRUE(got[2 * r + 1].prompt.hidden_sum.empty());
        }
      }
    }
  }
}

TEST_P(PromptTelling, NothingNeedsToFollow) {
  GenerationRequest request = Requests(m_.config)[3];
  request.max_tokens = 0;
  request.samples = 2;
  request.of_prompt = {.logp = true, .hidden = true};
  const PromptTold want = Define(request.prompt, 0);
  // As long as the cache: no room is kept for an answer.
  const auto size = static_cast<int64_t>(request.prompt.size());
  Engine engine(
      m_.transformer, weights_,
      {.form = GetParam(), .slots = 2, .capacity = size, .prefill_rows = 16, .remember = true},
      MakeOracle(m_.transformer, weights_, GetParam(), size, 16));
  int64_t told = 0;
  const std::vector<Completion> got = engine.Generate({request}, [&](const Completion&) {
    ++told;
    return true;
  });
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(told, 0);
  EXPECT_EQ(got[0].prompt.logp.size(), want.logp.size());
  for (size_t i = 0; i < want.logp.size(); ++i)
    EXPECT_NEAR(got[0].prompt.logp[i], want.logp[i], 1e-4);
  for (const Completion& completion : got) {
    EXPECT_TRUE(completion.tokens.empty());
    EXPECT_EQ(completion.finish, FinishReason::kLength);
  }
  EXPECT_EQ(engine.stats().generated_tokens, 0);
  EXPECT_EQ(engine.stats().work.guessed, 0);
  EXPECT_TRUE(engine.idle());
  // It can be cancelled amid its prompt, and leaves what it computed to others.
  const RequestId id = engine.Submit(request);
  engine.Step({});
  EXPECT_TRUE(engine.Cancel(id));
  EXPECT_TRUE(engine.idle());
  request.max_tokens = 1;
  EXPECT_THROW(engine.Submit(request), Error);
  request.prompt.pop_back();
  request.of_prompt = {};
  request.samples = 1;
  EXPECT_GT(engine.Generate({request}).front().cached, 0);
}

// A generated token is as probable as it is in a prompt.
TEST(PromptTellingAgain, ATokenIsAsProbableAsWhenItWasDrawn) {
  Model m;
  const ModelWeights weights = m.Bound();
  Engine engine(m.transformer, weights, {.slots = 2, .capacity = 400, .prefill_rows = 16});
  GenerationRequest request = Requests(m.config)[2];
  request.samples = 1;
  const Completion drawn = engine.Generate({request}).front();
  const size_t before = request.prompt.size();
  request.prompt.insert(request.prompt.end(), drawn.tokens.begin(), drawn.tokens.end());
  request.max_tokens = 0;
  request.of_prompt.logp = true;
  const std::vector<float> logp = engine.Generate({request}).front().prompt.logp;
  ASSERT_EQ(logp.size(), before - 1 + drawn.logp.size());
  for (size_t i = 0; i < drawn.logp.size(); ++i)
    EXPECT_EQ(logp[before - 1 + i], drawn.logp[i]) << i;
}

}  // namespace
}  // namespace darkhorse
