#include "train/window_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "base/scratch_testing.h"
#include "model/config_testing.h"
#include "model/head.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

constexpr int32_t kBos = 3;

class WindowLossTest : public testing::Test {
 protected:
  WindowLossTest() : trained_(Config(), {}) {
    trained_.Initialize(3);
    RandomSequence random(7, RandomStream::kTest, 0);
    for (int i = 0; i < 10'007; ++i) tokens_.push_back(static_cast<int32_t>(random.Below(16)));
  }

  static ModelConfig Config() {
    ModelConfig config = TinyConfig();
    config.vocab_size = 16;
    config.max_position_embeddings = 4200;
    config.initializer_range = 0.25;  // far from uniform predictions
    return config;
  }

  WindowLoss Loss(const WindowOptions& options) {
    return LossOfWindows(trained_.model(), trained_.bound_weights(), tokens_, options);
  }

  // Each window whole and alone, every figure by its definition.
  WindowLoss ByHand(int64_t window, int64_t windows, int32_t bos) {
    std::vector<double> nll;
    Arena arena;
    for (int64_t w = 0; w < windows; ++w) {
      ArenaScope scope(arena);
      TokenBatch batch;
      batch.tokens.assign(tokens_.begin() + w * window, tokens_.begin() + (w + 1) * window);
      batch.segments = {{0, window, 0, -1}};
      std::vector<int32_t> targets(static_cast<size_t>(window), -1);
      for (size_t i = static_cast<size_t>(window / 2); i + 1 < targets.size(); ++i)
        targets[i] = batch.tokens[i + 1];
      if (bos >= 0) batch.tokens[0] = bos;
      const ModelWeights& weights = trained_.bound_weights();
      const ConstMatrix hidden = trained_.model().Forward(weights, batch, nullptr, arena, nullptr);
      std::vector<float> logp(targets.size());
      HeadForward(hidden, weights.lm_head, targets.data(), arena, logp.data(), nullptr);
      for (size_t i = 0; i < targets.size(); ++i) {
        if (targets[i] >= 0) nll.push_back(-logp[i]);
      }
    }
    WindowLoss result{.tokens = static_cast<int64_t>(nll.size()), .windows = windows};
    const auto n = static_cast<double>(nll.size());
    for (const double value : nll) result.loss += value;
    result.loss /= n;
    for (const double value : nll)
      result.standard_error += (value - result.loss) * (value - result.loss);
    result.standard_error = std::sqrt(result.standard_error / n / (n - 1));
    return result;
  }

  static void ExpectSame(const WindowLoss& loss, const WindowLoss& by_hand) {
    EXPECT_EQ(loss.loss, by_hand.loss);  // the same sum in the same order
    EXPECT_EQ(loss.tokens, by_hand.tokens);
    EXPECT_EQ(loss.windows, by_hand.windows);
    // The variance is the mean square less the squared mean: sums of n terms, each off by n u at
    // most of itself, and what is left of them is 1/spread. The root halves it.
    const auto n = static_cast<double>(loss.tokens);
    const double variance = n * by_hand.standard_error * by_hand.standard_error;
    const double spread = 1 + by_hand.loss * by_hand.loss / variance;
    EXPECT_NEAR(loss.standard_error / by_hand.standard_error, 1, 1.5 * n * 0x1p-53 * spread);
  }

  TrainedModel trained_;
  std::vector<int32_t> tokens_;
};

TEST_F(WindowLossTest, JudgesTheSecondHalfOfEachWindow) {
  for (const int32_t bos : {-1, kBos}) {
    ExpectSame(Loss({.window = 64, .bos = bos}), ByHand(64, 10'007 / 64, bos));
    ExpectSame(Loss({.window = 7, .max_tokens = 99, .bos = bos}), ByHand(7, 14, bos));
  }
  EXPECT_EQ(Loss({.window = 64, .max_tokens = 128}).tokens, 2 * 31);
  EXPECT_EQ(Loss({.window = 7, .max_tokens = 7}).tokens, 3);
  EXPECT_NE(Loss({.window = 64, .bos = kBos}).loss, Loss({.window = 64}).loss);
}

// Longer ones than are computed at once go through the cache.
TEST_F(WindowLossTest, ALongWindowIsTheSameInPieces) {
  ExpectSame(Loss({.window = 4199, .bos = kBos}), ByHand(4199, 2, kBos));
}

TEST_F(WindowLossTest, OneWindowIsTheLeast) {
  EXPECT_EQ(Loss({.window = 64, .max_tokens = 1}).windows, 1);
  EXPECT_EQ(Loss({.window = 4, .max_tokens = 1}).tokens, 1);
  EXPECT_EQ(Loss({.window = 4, .max_tokens = 1}).standard_error, 0);
}

TEST_F(WindowLossTest, PerplexityHasItsErrorToFirstOrder) {
  const WindowLoss loss{.loss = 2, .standard_error = 0.01};
  EXPECT_EQ(loss.perplexity(), std::exp(2.0));
  EXPECT_EQ(loss.perplexity_error(), 0.01 * std::exp(2.0));
}

TEST_F(WindowLossTest, TellsHowFarItIs) {
  std::vector<WindowLoss> heard;
  const WindowLoss loss =
      LossOfWindows(trained_.model(), trained_.bound_weights(), tokens_, {.window = 512},
                    [&](const WindowLoss& so_far, int64_t windows) {
                      EXPECT_EQ(windows, 19);
                      heard.push_back(so_far);
                    });
  ASSERT_EQ(heard.size(), 5u);
  EXPECT_EQ(heard[0].windows, 4);
  EXPECT_EQ(heard[0].loss, Loss({.window = 512, .max_tokens = 2048}).loss);
  EXPECT_EQ(heard.back().loss, loss.loss);
}

TEST_F(WindowLossTest, AWindowThatCannotBeIsRefused) {
  const auto message = [&](int64_t window) { return MessageOf([&] { Loss({.window = window}); }); };
  EXPECT_EQ(message(3), "the window is 3 tokens; it must be at least 4");
  EXPECT_EQ(message(4201),
            "the window is 4201 tokens; it must be at most the model's context of 4200");
  tokens_.resize(30);
  EXPECT_EQ(message(31),
            "the window is 31 tokens, but the text has only 30; take a shorter window");
}

}  // namespace
}  // namespace darkhorse
