// Tests only: a tiny model with a chat template, chats that can be learned, and a run of seconds.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/scratch_testing.h"
#include "text/tokenizer_testing.h"
#include "train/finetune.h"
#include "train/trained_model.h"

namespace darkhorse {

class FinetuneTest : public testing::Test {
 protected:
  enum : int32_t { kStart = 256, kEnd = 257, kEos = 258 };

  static std::string TokenizerJson() {
    nlohmann::json added = nlohmann::json::array();
    std::vector<std::string> extra;
    for (const char* content : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
      added.push_back({{"id", 256 + extra.size()}, {"content", content}, {"special", true}});
      extra.emplace_back(content);
    }
    return SmallTokenizerJson({{"added_tokens", added}}, extra, nlohmann::json::array()).dump();
  }

  // Its turns end with <|im_end|>, its texts with <|endoftext|>.
  static ModelConfig Config() {
    ModelConfig model;
    model.vocab_size = 259;
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
    model.max_position_embeddings = 128;
    model.bos_token_id = model.eos_token_id = kEos;
    return model;
  }

  void SetUp() override {
    const Tokenizer tokenizer = Tokenizer::FromJson(TokenizerJson(), "tiny");
    TrainedModel base(Config(), {});
    base.Initialize(3);
    model_ = base.Save(
        Run("base"), 1,
        {.tokenizer_json = TokenizerJson(),
         .chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
                          "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
                          "<|im_start|>assistant\n{% endif %}",
         .tokenizer_hash = tokenizer.hash()},
        "{}", 1);
    WriteChats("chats.jsonl", 60);
  }

  // "3": "3 3 3".
  void WriteChats(const std::string& name, int count) {
    std::string rows;
    for (int i = 0; i < count; ++i) {
      const std::string word(static_cast<size_t>(1 + i % 3), static_cast<char>('a' + i % 20));
      rows += fmt::format("{{\"prompt\": \"{0} {1}\", \"completion\": \"{0} {0}\"}}\n", word, i);
    }
    scratch_.Write(name, rows);
  }

  static FinetuneRecipe Recipe() {
    FinetuneRecipe recipe;
    recipe.finetune.steps = 20;
    recipe.finetune.samples_per_step = 4;
    recipe.finetune.held_out_share = 0.2;
    recipe.finetune.evaluate_every = 4;
    recipe.finetune.checkpoint_every = 8;
    recipe.finetune.micro_batch_tokens = 96;
    recipe.optimizer.learning_rate = 1e-2;
    recipe.schedule.warmup_steps = 2;
    return recipe;
  }

  std::string Run(const std::string& name) const { return scratch_ / name; }
  std::string Data() const { return scratch_ / "chats.jsonl"; }
  FinetuneResult Train(const FinetuneRecipe& recipe, const std::string& run, bool resume = false,
                       const FinetuneCallbacks& callbacks = {}) {
    return Finetune(recipe, model_, {Data()}, Run(run), resume, callbacks);
  }
  FinetuneCallbacks Notes(std::string* notes) {
    return {.on_note = [notes](const std::string& note) { *notes += note + "\n"; }};
  }
  std::string Bytes(const std::string& run, const std::string& file) const {
    return ReadFile(Run(run) + "/" + file);
  }

  ScratchDirectory scratch_;
  std::string model_;
};

}  // namespace darkhorse
