// Tests only: what commands need to run.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "app/run_program_testing.h"
#include "base/file.h"
#include "base/scratch_testing.h"
#include "task/corpus.h"

namespace darkhorse {

inline constexpr char kReinforce[] = R"(
[rl]
tasks = ["sum:1"]
steps = 3
prompts_per_step = 3
group_size = 4
max_tokens = 12
evaluate_every = 2
evaluate_problems = 3
evaluate_samples = 2
overlong_penalty = 0.5
[probe]
problems = 0
)";

inline constexpr char kPretrain[] = R"(
[model]
vocab_size = 300
hidden_size = 16
num_hidden_layers = 1
first_k_dense_replace = 1
num_attention_heads = 2
kv_lora_rank = 8
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
intermediate_size = 32
n_routed_experts = 0
max_position_embeddings = 128
[train]
steps = 3
tokens_per_step = 128
micro_batch_tokens = 128
sequence_length = 64
evaluate_every = 2
evaluate_tokens = 128
)";

// One tokenizer, one folder of shards and one model for all tests.
class CommandsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchDirectory;
    std::string lines;
    for (uint64_t i = 0; i < 40; ++i) {
      documents_.push_back(CorpusDocument({.tasks = {{"sum", 1, 1}}}, 3, i));
      lines += Json{{"text", documents_.back()}}.dump() + "\n";
    }
    scratch_->Write("corpus.jsonl", lines + "{\"other\":1}\n");
    tokenizer_ = JsonOf({"tokenizer", "train", *scratch_ / "corpus.jsonl", "--out",
                         *scratch_ / "tokenizer.json", "--vocab-size", "290", "--special-tokens",
                         "<b>", "--special-tokens", "<e>"});
    data_ = JsonOf({"data", "prepare", *scratch_ / "corpus.jsonl", "--tokenizer",
                    *scratch_ / "tokenizer.json", "--out", *scratch_ / "data", "--bos-token", "<b>",
                    "--eos-token", "<e>", "--validation-fraction", "0.25"});
    pretrained_ = JsonOf({"pretrain", scratch_->Write("p.toml", kPretrain), "--data",
                          *scratch_ / "data", "--out", *scratch_ / "base"});
  }
  static void TearDownTestSuite() { delete scratch_; }

  static std::string Model() { return *scratch_ / "base/checkpoints/step-00000003"; }
  static Json LastLine(const std::string& path) {
    const std::string text = ReadFile(path);
    return Json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
  }

  static inline ScratchDirectory* scratch_;
  static inline std::vector<std::string> documents_;
  static inline Json tokenizer_, data_, pretrained_;
};

}  // namespace darkhorse
