// Tests only: a folder of shards that can be learned, and a run of seconds.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/scratch_testing.h"
#include "data/shard.h"
#include "text/tokenizer.h"
#include "train/pretrain.h"

namespace darkhorse {

// Of two letters; its ids are a part of those that the shards have.
inline Tokenizer LettersTokenizer() {
  return Tokenizer::FromJson(
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})",
      "letters");
}

class PretrainTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = scratch_ / "run";
    MakeDirectories(root_ + "/data");
    WriteFileAtomically(root_ + "/data/tokenizer.json", LettersTokenizer().ToJson());
    WriteShard(kTrainShard, 0, 400);
    WriteShard(kValidationShard, 1000, 40);
  }

  // Documents that count up or down by a fixed stride modulo 29: learnable from context, not from
  // frequency.
  void WriteShard(const std::string& name, uint64_t first, uint64_t count) {
    ShardWriter writer(
        root_ + "/data/" + name,
        {.tokenizer_hash = LettersTokenizer().hash(), .vocab_size = 32, .bos_id = 0, .eos_id = 1});
    for (uint64_t d = first; d < first + count; ++d) {
      RandomSequence random(5, RandomStream::kTest, d);
      const uint64_t start = random.Below(29), stride = 1 + random.Below(3);
      std::vector<int32_t> document = {0};
      for (uint64_t i = 0; i < 10 + random.Below(30); ++i)
        document.push_back(static_cast<int32_t>(2 + (start + i * stride) % 29));
      document.push_back(1);
      writer.Append(document, static_cast<int64_t>(document.size()));
    }
    writer.Commit();
  }

  static PretrainRecipe Recipe() {
    PretrainRecipe recipe;
    ModelConfig& model = recipe.model;
    model.hidden_size = 32;
    model.num_hidden_layers = 2;
    model.num_attention_heads = 2;
    model.kv_lora_rank = 16;
    model.qk_nope_head_dim = 8;
    model.qk_rope_head_dim = 8;
    model.v_head_dim = 16;
    model.intermediate_size = 64;
    model.moe_intermediate_size = 16;
    model.n_routed_experts = 4;
    model.num_nextn_predict_layers = 1;
    model.max_position_embeddings = 64;
    recipe.train.steps = 60;
    recipe.train.tokens_per_step = 512;
    recipe.train.sequence_length = 64;
    recipe.train.micro_batch_tokens = 256;
    recipe.train.checkpoint_every = 20;
    recipe.train.evaluate_every = 0;
    recipe.train.evaluate_tokens = 1024;
    recipe.optimizer.learning_rate = 1e-2;
    recipe.schedule.warmup_steps = 5;
    return recipe;
  }

  std::string Data() const { return root_ + "/data"; }
  std::string Run(const std::string& name) const { return root_ + "/" + name; }
  std::string Bytes(const std::string& run, const std::string& file) const {
    return ReadFile(Run(run) + "/" + file);
  }
  void ExpectSameRun(const std::string& a, const std::string& b) const {
    for (const char* file : {"metrics.jsonl", "checkpoints/step-00000060/model.safetensors",
                             "checkpoints/step-00000060/optimizer.safetensors",
                             "checkpoints/step-00000060/trainer_state.json"}) {
      EXPECT_EQ(Bytes(a, file), Bytes(b, file)) << file;
    }
  }

  ScratchDirectory scratch_;
  std::string root_;
};

}  // namespace darkhorse
