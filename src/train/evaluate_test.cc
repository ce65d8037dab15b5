#include "train/evaluate.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/scratch_testing.h"
#include "data/shard.h"
#include "model/head.h"
#include "train/trained_model.h"

namespace darkhorse {
namespace {

constexpr int64_t kLength = 32;

class EvaluateLossTest : public testing::Test {
 protected:
  EvaluateLossTest() : trained_(Config(), {}) {
    trained_.Initialize(3);
    ShardWriter writer(path_, {.tokenizer_hash = 1, .vocab_size = 16, .bos_id = 0, .eos_id = 1});
    RandomSequence random(7, RandomStream::kTest, 0);
    for (int d = 0; d < 600; ++d) {
      std::vector<int32_t> document = {0};
      for (uint64_t i = 0; i < 5 + random.Below(25); ++i)
        document.push_back(static_cast<int32_t>(2 + random.Below(14)));
      document.push_back(1);
      writer.Append(document, static_cast<int64_t>(document.size()));
    }
    writer.Commit();
  }

  static ModelConfig Config() {
    ModelConfig config;
    config.vocab_size = 16;
    config.hidden_size = 16;
    config.num_hidden_layers = 1;
    config.num_attention_heads = 1;
    config.kv_lora_rank = 8;
    config.qk_nope_head_dim = 8;
    config.qk_rope_head_dim = 8;
    config.v_head_dim = 8;
    config.intermediate_size = 16;
    config.max_position_embeddings = 64;
    config.first_k_dense_replace = 1;
    return config;
  }

  // The first sequences one by one.
  EvaluationLoss ByHand(const TokenShard& shard, int64_t sequences) {
    const Loader loader(shard, "", {.sequence_length = kLength, .shuffle = false, .repeat = false});
    EvaluationLoss result;
    Arena arena;
    for (int64_t s = 0; s < sequences; ++s) {
      const TrainBatch batch = loader.Sequences(s, 1);
      const std::vector<int32_t> targets = Targets(batch);
      ArenaScope scope(arena);
      const ModelWeights& weights = trained_.bound_weights();
      const ConstMatrix hidden =
          trained_.model().Forward(weights, ToTokenBatch(batch, kLength), nullptr, arena, nullptr);
      std::vector<float> logp(targets.size());
      HeadForward(hidden, weights.lm_head, targets.data(), arena, logp.data(), nullptr);
      for (size_t i = 0; i < targets.size(); ++i) {
        EXPECT_EQ(targets[i] < 0, batch.weights[i] == 0);
        if (targets[i] < 0) continue;
        result.loss -= logp[i];
        ++result.tokens;
      }
    }
    result.loss /= static_cast<double>(result.tokens);
    return result;
  }

  ScratchDirectory scratch_;
  const std::string path_ = scratch_ / "val.bin";
  TrainedModel trained_;
};

TEST_F(EvaluateLossTest, MeasuresAsManyWholeSequencesAsTheLimitHolds) {
  const TokenShard shard = TokenShard::Open(path_);
  const int64_t all = (shard.tokens() + kLength - 1) / kLength;
  ASSERT_GT(all, 4096 / kLength + 20);  // more than are computed at once
  ASSERT_NE(shard.tokens() % kLength, 0);
  const auto expect = [&](int64_t max_tokens, int64_t sequences) {
    const EvaluationLoss loss = EvaluateLoss(trained_.model(), trained_.bound_weights(), shard,
                                             kLength, /*cross_documents=*/false, max_tokens);
    const EvaluationLoss by_hand = ByHand(shard, sequences);
    EXPECT_EQ(loss.tokens, by_hand.tokens) << max_tokens;
    EXPECT_EQ(loss.loss, by_hand.loss) << max_tokens;  // the same sum in the same order
  };
  expect(1, 1);
  expect(kLength - 1, 1);
  expect(kLength, 1);
  expect(2 * kLength - 1, 1);
  expect(2 * kLength, 2);
  expect(4096, 4096 / kLength);
  expect(4096 + kLength, 4096 / kLength + 1);
  expect(shard.tokens() + 100 * kLength, all);
}

}  // namespace
}  // namespace darkhorse
