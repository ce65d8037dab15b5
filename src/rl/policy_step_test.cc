#include "rl/policy_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "model/loss.h"
#include "rl/tiny_policy_testing.h"

namespace darkhorse {
namespace {

class PolicyStepTest : public testing::Test {
 protected:
  PolicyStepTest() : trained_(TinyPolicyConfig(), Plain()) {
    trained_.Initialize(3);
    // Larger weights than a fresh model's, so that the router decides by more than rounding.
    for (int64_t i = 0; i < trained_.layout().buffer_size(); ++i)
      trained_.mutable_weights()[i] *= 5;
    RandomSequence random(1, RandomStream::kTest, 0);
    const auto tokens = [&](size_t count) {
      std::vector<int32_t> ids;
      for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random.Below(288)));
      return ids;
    };
    for (size_t i = 0; i < 9; ++i) {
      Sample& s = samples_.emplace_back();
      s.prompt = tokens(1 + random.Below(6));
      s.completion = tokens(i == 4 ? 0 : 1 + random.Below(12));  // one is empty
      s.logp.resize(s.completion.size());
    }
    for (size_t i = 0; i < samples_.size(); ++i)
      policy_.push_back({&samples_[i], random.Uniform() - 0.5, i == 2, {}, {}});
  }

  static OptimizerOptions Plain() {
    OptimizerOptions options;
    options.optimizer = "adamw";
    return options;
  }
  GrpoScale Scale() const { return ScaleOf(policy_, 12); }

  TrainedModel trained_;
  std::vector<Sample> samples_;
  std::vector<PolicySample> policy_;
};

TEST_F(PolicyStepTest, ABatchIsFilledToItsLimit) {
  samples_ = {Sample{.prompt = {1, 2, 3}, .completion = {4, 5}},
              Sample{.prompt = {1, 2}, .completion = {4, 5, 6}},
              Sample{.prompt = {1}, .completion = {4, 5}}};  // 4, 4 and 2 rows
  policy_.clear();
  for (const Sample& sample : samples_) policy_.push_back({&sample, 0, false, {}, {}});
  const auto rows = [&](int64_t limit) {
    std::vector<int64_t> of_each;
    for (const PolicyBatch& part : PackSamples(policy_, limit))
      of_each.push_back(part.batch.rows());
    return of_each;
  };
  using Rows = std::vector<int64_t>;
  EXPECT_EQ(rows(10), (Rows{10}));
  EXPECT_EQ(rows(9), (Rows{8, 2}));
  EXPECT_EQ(rows(8), (Rows{8, 2}));
  EXPECT_EQ(rows(7), (Rows{4, 6}));
  EXPECT_EQ(rows(3), (Rows{4, 4, 2}));
}

// The next sample of a prompt takes rows for its own tokens alone; a batch that ends before it
// makes the next compute the prompt again.
TEST_F(PolicyStepTest, SamplesOfOnePromptShareItsRows) {
  samples_ = {Sample{.prompt = {1, 2, 3, 4}, .completion = {4, 5}},
              Sample{.prompt = {1, 2, 3, 4}, .completion = {}},
              Sample{.prompt = {1, 2, 3, 4}, .completion = {6, 7, 8}},
              Sample{.prompt = {1, 2, 3, 9}, .completion = {4, 5}},
              Sample{.prompt = {1, 2, 3, 9}, .completion = {5}},
              Sample{.prompt = {1}, .completion = {4, 5}},
              Sample{.prompt = {1}, .completion = {5}}};
  policy_.clear();
  for (const Sample& sample : samples_) policy_.push_back({&sample, 0, false, {}, {}});
  const auto rows = [&](int64_t limit) {
    std::vector<int64_t> of_each;
    for (const PolicyBatch& part : PackSamples(policy_, limit))
      of_each.push_back(part.batch.rows());
    return of_each;
  };
  using Rows = std::vector<int64_t>;
  EXPECT_EQ(rows(17), (Rows{17}));  // 3 + 2 + 3, 3 + 2 + 1, 2 + 1
  EXPECT_EQ(rows(16), (Rows{16, 1}));
  EXPECT_EQ(rows(8), (Rows{8, 8, 1}));
  EXPECT_EQ(rows(7), (Rows{5, 6, 6, 3}));
  EXPECT_EQ(rows(1), (Rows{5, 6, 5, 4, 2, 1}));
  const PolicyBatch whole = PackSamples(policy_, 17).front();
  EXPECT_EQ(whole.batch.tokens,
            (std::vector<int32_t>{1, 2, 3, 4, 4, 4, 6, 7, 1, 2, 3, 9, 4, 9, 1, 4, 1}));
  // A prompt of fewer tokens than are asked for stays with each.
  const PolicyBatch apart = PackSamples(policy_, Packing(23, 5)).front();
  EXPECT_EQ(apart.batch.tokens, (std::vector<int32_t>{1, 2, 3, 4, 4, 1, 2, 3, 4, 6, 7, 1,
                                                      2, 3, 9, 4, 1, 2, 3, 9, 1, 4, 1}));
  EXPECT_EQ(apart.target, (std::vector<int32_t>{-1, -1, -1, 4, 5,  -1, -1, -1, 6, 7, 8, -1,
                                                -1, -1, 4,  5, -1, -1, -1, 5,  4, 5, 5}));
  for (const Segment& segment : apart.batch.segments) EXPECT_EQ(segment.prefix, -1);
  EXPECT_EQ(PackSamples(policy_, Packing(17, 4)).front().batch.tokens, whole.batch.tokens);
  const ModelCost& cost = trained_.model().cost();
  const auto flops = [&](std::vector<double> contexts) {
    double sum = 0;
    for (const double context : contexts) sum += cost.ForwardFlopsPerToken(context);
    return sum;
  };
  const double all = flops({1, 2, 3, 4, 5, 4, 5, 6, 1, 2, 3, 4, 5, 4, 1, 2, 1});
  EXPECT_NEAR(ForwardFlops(cost, PackSamples(policy_, 17)), all, 1e-12 * all);
  // The prompts of which a batch is cut are counted again.
  EXPECT_NEAR(ForwardFlops(cost, PackSamples(policy_, 7)), all + flops({1, 2, 3}), 1e-12 * all);
}

TEST_F(PolicyStepTest, PackingCoversEveryTokenOnce) {
  samples_[6].prompt = samples_[5].prompt = samples_[3].prompt;  // before and after an empty one
  for (const int64_t limit : {1, 20, 40, 4096}) {
    std::vector<int> seen(samples_.size());
    const std::vector<PolicyBatch> batches = PackSamples(policy_, limit);
    for (const PolicyBatch& part : batches) {
      const size_t rows = static_cast<size_t>(part.batch.rows());
      ASSERT_EQ(part.target.size(), rows);
      EXPECT_TRUE(static_cast<int64_t>(rows) <= limit || part.first_row.size() == 1);
      std::vector<int> used(rows);
      int64_t next = 0;
      std::vector<const Segment*> own;  // of samples, not of prompts
      for (const Segment& segment : part.batch.segments) {
        EXPECT_EQ(segment.row, next);
        EXPECT_EQ(segment.slot, -1);
        next += segment.rows;
        const bool is_prompt = std::ranges::any_of(
            part.batch.segments, [&](const Segment& s) { return s.prefix == segment.row; });
        if (!is_prompt) own.push_back(&segment);
      }
      EXPECT_EQ(next, static_cast<int64_t>(rows));
      ASSERT_EQ(own.size(), part.first_row.size());
      for (size_t k = 0; k < own.size(); ++k) {
        const auto [first, i] = part.first_row[k];
        const Sample& s = samples_[i];
        ++seen[i];
        // The document is prompt and completion; row t predicts token t + 1, where it is a
        // completion's.
        std::vector<int32_t> whole = s.prompt;
        whole.insert(whole.end(), s.completion.begin(), s.completion.end());
        std::vector<int64_t> row_of;
        for (int64_t t = 0; t < own[k]->prefix_rows(); ++t) row_of.push_back(own[k]->prefix + t);
        EXPECT_EQ(own[k]->position, static_cast<int64_t>(row_of.size()));
        for (int64_t t = 0; t < own[k]->rows; ++t) row_of.push_back(own[k]->row + t);
        ASSERT_EQ(row_of.size(), whole.size() - 1);
        EXPECT_EQ(first, row_of[s.prompt.size() - 1]);
        for (size_t t = 0; t < row_of.size(); ++t) {
          const auto row = static_cast<size_t>(row_of[t]);
          ++used[row];
          EXPECT_EQ(part.batch.tokens[row], whole[t]);
          EXPECT_EQ(part.target[row], t + 1 >= s.prompt.size() ? whole[t + 1] : -1);
        }
      }
      EXPECT_TRUE(std::ranges::all_of(used, [](int count) { return count > 0; }));
    }
    for (size_t i = 0; i < samples_.size(); ++i)
      EXPECT_EQ(seen[i], samples_[i].completion.empty() ? 0 : 1);
    if (limit == 4096) {
      EXPECT_EQ(batches.size(), 1u);
    }
  }
}

TEST_F(PolicyStepTest, LogProbabilitiesDoNotDependOnThePacking) {
  const auto logps = [&](int64_t micro_batch_tokens) {
    return CompletionLogps(trained_.model(), trained_.bound_weights(), micro_batch_tokens,
                           trained_.arena(), policy_);
  };
  const std::vector<std::vector<float>> whole = logps(4096);
  for (size_t i = 0; i < policy_.size(); ++i)
    EXPECT_EQ(whole[i].size(), samples_[i].completion.size());
  EXPECT_EQ(whole, logps(10));  // to the bit
  // And the update's own pass finds the same again: no gap to the "sampler", every ratio 1.
  for (size_t i = 0; i < samples_.size(); ++i) samples_[i].logp = whole[i];
  const PolicyMetrics metrics = PolicyUpdate(trained_, GrpoOptions{}, Scale(), 25, 1.0, policy_);
  EXPECT_EQ(metrics.grpo.sampling_gap, 0);
  EXPECT_EQ(metrics.grpo.ratio_sum, static_cast<double>(Scale().tokens));
  EXPECT_EQ(metrics.grpo.tokens, Scale().tokens);
}

// A bonus below 0 is a penalty.
TEST_F(PolicyStepTest, TheEntropyBonusPullsBothWays) {
  for (PolicySample& sample : policy_) sample.advantage = 0;
  const auto gradient = [&](double bonus) {
    GrpoOptions options;
    options.entropy_bonus = bonus;
    PolicyUpdate(trained_, options, Scale(), 40, /*lr_factor=*/0, policy_);
    const ParamLayout& layout = trained_.layout();
    const float* begin = trained_.bound_grads().embed_tokens.w.data -
                         layout.Find("model.embed_tokens.weight")->offset;
    return std::vector<float>(begin, begin + layout.buffer_size());
  };
  const std::vector<float> up = gradient(0.5), down = gradient(-0.5), none = gradient(0);
  EXPECT_GT(*std::ranges::max_element(up), 0);
  for (size_t i = 0; i < up.size(); ++i) {
    EXPECT_EQ(up[i], -down[i]);
    EXPECT_EQ(none[i], 0);
  }
}

TEST_F(PolicyStepTest, ReinforceIsCrossEntropyWeightedByAdvantage) {
  GrpoOptions options;
  options.objective = "reinforce";
  options.ratio = "token";
  constexpr int64_t kMicroBatch = 40;
  const GrpoScale scale = Scale();

  std::vector<float> gradient(static_cast<size_t>(trained_.layout().buffer_size()));
  const ModelGradients grads = BindGradients(trained_.config(), trained_.layout(), gradient.data());
  double loss = 0;
  Arena arena;
  for (const PolicyBatch& part : PackSamples(policy_, kMicroBatch)) {
    std::vector<float> weight(part.target.size());
    for (const auto& [row, i] : part.first_row) {
      if (policy_[i].masked) continue;
      for (size_t t = 0; t < samples_[i].completion.size(); ++t) {
        weight[static_cast<size_t>(row) + t] =
            static_cast<float>(1.0 / static_cast<double>(scale.tokens) * policy_[i].advantage);
      }
    }
    loss += LossForwardBackward(trained_.model(), trained_.bound_weights(),
                                {part.batch, part.target, weight}, 0, 0, arena, grads)
                .loss;
  }
  trained_.bound_grads().norm[0] = 7;  // what an earlier step left does not count
  const PolicyMetrics metrics = PolicyUpdate(trained_, options, scale, kMicroBatch, 1.0, policy_);

  const ModelGradients& updated = trained_.bound_grads();
  const ParamInfo* embedding = trained_.layout().Find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  const float* own = updated.embed_tokens.w.data - embedding->offset;
  double norm = 0;
  for (const ParamInfo& param : trained_.layout().params()) {
    const float* want = gradient.data() + param.offset;
    for (int64_t k = 0; k < param.size; ++k) norm += static_cast<double>(want[k]) * want[k];
    EXPECT_EQ(std::memcmp(own + param.offset, want, static_cast<size_t>(param.size) * 4), 0)
        << param.name;
  }
  EXPECT_GT(norm, 1e-6);
  // Both add their squares in double, in different orders.
  const double terms = static_cast<double>(trained_.layout().buffer_size());
  EXPECT_NEAR(metrics.grad_norm, std::sqrt(norm), terms * 0x1p-53 * std::sqrt(norm));
  // Weights rounded to float in one of them: 2^-24 a term, and |logp| < 30.
  EXPECT_NEAR(metrics.grpo.loss, loss, 30 * 0x1p-24);
}

TEST_F(PolicyStepTest, CountsTheLoadOfEveryRow) {
  const PolicyMetrics metrics = PolicyUpdate(trained_, GrpoOptions{}, Scale(), 25, 1.0, policy_);
  int64_t rows = 0;
  for (const PolicyBatch& part : PackSamples(policy_, 25)) rows += part.batch.rows();
  ASSERT_EQ(metrics.load.size(), 1u);  // the first layer is dense
  int64_t choices = 0;
  for (const int64_t count : metrics.load[0]) choices += count;
  EXPECT_EQ(choices, rows * trained_.config().num_experts_per_tok);
}

}  // namespace
}  // namespace darkhorse
