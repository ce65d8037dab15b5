// What a rollout tells of the engine's work, and which random numbers its samples draw from.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "base/scratch_testing.h"
#include "model/params.h"
#include "rl/rollout.h"
#include "rl/tiny_policy_testing.h"

namespace darkhorse {
namespace {

class RolloutTest : public testing::Test {
 protected:
  RolloutTest() {
    InitializeWeights(config_, layout_, 3, buffer_.data());
    for (uint64_t i = 0; i < 3; ++i)
      problems_.push_back(environment_->TrainingProblem(/*seed=*/1, i));
    options_.samples = 4;
    options_.max_tokens = 20;
    options_.seed = 5;
    options_.stream = 1000;
  }
  std::vector<Sample> Run(const std::vector<Problem>& problems, RolloutCost* cost = nullptr) {
    return Rollout(engine_, Prompter({"", tokenizer_, 0}), stop_tokens_, problems, *environment_,
                   options_,
                   /*stop=*/{}, cost);
  }

  ModelConfig config_ = TinyPolicyConfig();
  ParamLayout layout_{config_};
  std::vector<float> buffer_ = std::vector<float>(static_cast<size_t>(layout_.buffer_size()));
  Transformer model_{config_};
  Tokenizer tokenizer_ = TinyPolicyTokenizer({"odd even 0 1 2 3"});
  ModelWeights weights_ = Bind(config_, layout_, buffer_.data());
  Engine engine_{model_, weights_, {.slots = 8, .capacity = 64}};
  std::unique_ptr<Environment> environment_ = MakeTaskEnvironment({"parity:1"});
  std::vector<Problem> problems_;
  RolloutOptions options_;
  std::vector<int32_t> stop_tokens_ = {1};
};

TEST_F(RolloutTest, CostsAreThoseOfItsOwnPasses) {
  for (int time = 0; time < 2; ++time) {  // the engine counts on, a rollout begins anew
    EngineStep heard;
    options_.on_step = [&](const EngineStep& step) { heard += step; };
    RolloutCost cost;
    int64_t tokens = 0;
    for (const Sample& sample : Run(problems_, &cost))
      tokens += static_cast<int64_t>(sample.completion.size());
    EXPECT_EQ(cost.work.sampled, tokens);
    EXPECT_EQ(cost.work.rows, heard.rows);
    EXPECT_EQ(cost.work.sampled, heard.sampled);
    EXPECT_EQ(cost.work.attended, heard.attended);
    EXPECT_EQ(cost.work.cached, heard.cached);
  }
}

// Nine sequences in eight slots: the ninth is waited for. What sleeps takes at least its sleep.
TEST_F(RolloutTest, TheTailIsWhereFewStillRun) {
  constexpr double kSleep = 0.05;
  options_.samples = 3;
  int64_t asleep_at = 0;  // while so many sequences run, once all slots were full
  bool full = false;
  options_.on_step = [&](const EngineStep& step) {
    full = full || step.sampled == 8;
    if (!full || step.sampled != asleep_at) return;
    asleep_at = -1;
    std::this_thread::sleep_for(std::chrono::duration<double>(kSleep));
  };
  const auto cost_of = [&](int64_t running) {
    asleep_at = running;
    full = false;
    RolloutCost cost;
    Run(problems_, &cost);
    EXPECT_EQ(asleep_at, -1);
    EXPECT_LE(cost.tail_seconds, cost.sample_seconds);
    return cost;
  };
  EXPECT_GE(cost_of(1).tail_seconds, kSleep);
  const RolloutCost cost = cost_of(8);
  EXPECT_GE(cost.sample_seconds - cost.tail_seconds, kSleep);
}

// The model embeds eight ids more than the tokenizer has.
TEST_F(RolloutTest, IdsWithoutATextAreNeverSaid) {
  ASSERT_LT(tokenizer_.vocab_size(), config_.vocab_size);
  options_.samples = 40;
  for (const Sample& sample : Run(problems_)) {
    for (const int32_t token : sample.completion) EXPECT_LT(token, tokenizer_.vocab_size());
  }
}

TEST_F(RolloutTest, AProblemsSamplesDrawFromStreamsOfTheirOwn) {
  const std::vector<Sample> all = Run(problems_);
  ASSERT_EQ(all.size(), 12u);
  for (size_t p = 0; p < problems_.size(); ++p) {
    options_.stream = 1000 + 4 * p;
    const std::vector<Sample> alone = Run({problems_[p]});
    ASSERT_EQ(alone.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(all[4 * p + i].problem, p);
      EXPECT_EQ(all[4 * p + i].completion, alone[i].completion);
      EXPECT_EQ(all[4 * p + i].prompt, Prompter({"", tokenizer_, 0}).Of(problems_[p]).tokens);
    }
  }
  EXPECT_NE(all[0].completion, all[1].completion);
}

// The text is the whole completion but for the end mark, which one cut off does not have.
TEST_F(RolloutTest, TextIsTheCompletionWithoutItsEnd) {
  options_.samples = 40;
  int64_t ended = 0, cut = 0;
  for (const Sample& sample : Run(problems_)) {
    std::vector<int32_t> tokens = sample.completion;
    EXPECT_EQ(sample.truncated, tokens.back() != 1);
    if (tokens.back() == 1) tokens.pop_back();
    EXPECT_EQ(sample.text, tokenizer_.Decode(tokens));
    ++(sample.truncated ? cut : ended);
    EXPECT_EQ(sample.logp.size(), sample.completion.size());
  }
  EXPECT_GT(cut, 0);
  EXPECT_GT(ended, 0);
}

TEST_F(RolloutTest, TextBeginsWithWhatThePromptSaysOfIt) {
  const Prompter prompter({"", tokenizer_, 0}, {.prefill = "odd "});
  for (const Sample& sample :
       Rollout(engine_, prompter, stop_tokens_, problems_, *environment_, options_, {}, nullptr)) {
    std::vector<int32_t> tokens = sample.completion;
    if (!sample.truncated) tokens.pop_back();
    EXPECT_EQ(sample.text, "odd " + tokenizer_.Decode(tokens));
  }
}

TEST_F(RolloutTest, ThePromptLeavesRoomForOneToken) {
  const Prompter prompter({"", tokenizer_, 0});
  const auto size = static_cast<int64_t>(prompter.Of(problems_[0]).tokens.size());
  EXPECT_EQ(LongestPrompt(prompter, {&problems_[0]}, size + 1), size);
  EXPECT_TRUE(Says(MessageOf([&] { LongestPrompt(prompter, {&problems_[0]}, size); }),
                   fmt::format("has {} tokens, but the model's context "
                               "(max_position_embeddings) holds only {}",
                               size, size)));
}

TEST_F(RolloutTest, AnyStopTokenEndsACompletionAndIsNoPartOfItsText) {
  stop_tokens_ = {1, 40, 41, 42};
  options_.samples = 40;
  std::set<int32_t> ends;
  for (const Sample& sample : Run(problems_)) {
    const auto& tokens = sample.completion;
    const auto first =
        std::find_first_of(tokens.begin(), tokens.end(), stop_tokens_.begin(), stop_tokens_.end());
    EXPECT_EQ(sample.truncated, first == tokens.end());
    EXPECT_EQ(sample.text, tokenizer_.Decode({tokens.begin(), first}));
    if (first == tokens.end()) continue;
    EXPECT_EQ(first + 1, tokens.end());
    ends.insert(*first);
  }
  EXPECT_EQ(ends.size(), 4u);
}

}  // namespace
}  // namespace darkhorse
