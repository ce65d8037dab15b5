#include "infer/continuations.h"

#include <gtest/gtest.h>

#include "base/scratch_testing.h"
#include "infer/engine_testing.h"
#include "model/head.h"

namespace darkhorse {
namespace {

std::vector<int32_t> Tokens(uint64_t seed, size_t count) {
  RandomSequence random(seed, RandomStream::kTest, 0);
  std::vector<int32_t> tokens;
  while (tokens.size() < count) tokens.push_back(static_cast<int32_t>(random.Below(61)));
  return tokens;
}

// Prompt and continuation as one document, without a cache.
double Whole(const Transformer& transformer, const ModelWeights& weights,
             const std::vector<int32_t>& prompt, const std::vector<int32_t>& continuation) {
  TokenBatch batch;
  batch.tokens = prompt;
  batch.tokens.insert(batch.tokens.end(), continuation.begin(), continuation.end());
  batch.segments = {{0, batch.rows(), 0, -1}};
  std::vector<int32_t> targets(batch.tokens.size(), -1);
  for (size_t i = prompt.size(); i < batch.tokens.size(); ++i) targets[i - 1] = batch.tokens[i];
  Arena arena;
  const ConstMatrix hidden = transformer.Forward(weights, batch, nullptr, arena, nullptr);
  std::vector<float> logp(targets.size());
  HeadForward(hidden, weights.lm_head, targets.data(), arena, logp.data(), nullptr);
  double sum = 0;
  for (const float value : logp) sum += value;
  return sum;
}

TEST(ContinuationLogp, IsThatOfTheWholeText) {
  Model model;
  const ModelWeights weights = model.Bound();
  for (const size_t length : {1, 2, 37}) {
    const std::vector<int32_t> prompt = Tokens(length, length);
    const std::vector<std::vector<int32_t>> continuations = {
        Tokens(8, 3), Tokens(9, 40), {}, Tokens(10, 1), Tokens(8, 3)};
    const std::vector<double> logp =
        ContinuationLogp(model.transformer, weights, prompt, continuations);
    ASSERT_EQ(logp.size(), 5u);
    for (size_t i = 0; i < 5; ++i)
      EXPECT_EQ(logp[i], Whole(model.transformer, weights, prompt, continuations[i]))
          << length << " " << i;
    EXPECT_EQ(logp[2], 0);
    EXPECT_NE(logp[0], logp[3]);
  }
}

// Longer than is computed at once.
TEST(ContinuationLogp, LongOnesAreTheSame) {
  Model model;
  model.config.max_position_embeddings = 3000;
  const Transformer transformer(model.config);
  const ModelWeights weights = model.Bound();
  const std::vector<int32_t> prompt = Tokens(1, 1500);
  const std::vector<std::vector<int32_t>> continuations = {Tokens(2, 1500)};
  EXPECT_EQ(ContinuationLogp(transformer, weights, prompt, continuations)[0],
            Whole(transformer, weights, prompt, continuations[0]));
}

TEST(ContinuationLogp, WhatCannotBeIsRefused) {
  Model model;
  const ModelWeights weights = model.Bound();
  const auto message = [&](size_t prompt, size_t longest) {
    const std::vector<std::vector<int32_t>> continuations = {Tokens(2, 1), Tokens(3, longest)};
    return MessageOf(
        [&] { ContinuationLogp(model.transformer, weights, Tokens(1, prompt), continuations); });
  };
  EXPECT_EQ(message(500, 12), "");
  EXPECT_EQ(message(500, 13),
            "the prompt and its longest continuation have 513 tokens; the model's context holds "
            "512");
  EXPECT_TRUE(Says(message(0, 3), "the prompt is empty"));
  EXPECT_TRUE(ContinuationLogp(model.transformer, weights, Tokens(1, 3), {}).empty());
}

}  // namespace
}  // namespace darkhorse
