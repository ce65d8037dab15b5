// Tests only: a recipe of stages.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage_recipe.h"

namespace darkhorse {

// A stage of pretraining that takes a moment. Lines may follow: they are of its stage.train.
inline constexpr char kTinyBase[] = R"([[stage]]
kind = "pretrain"
name = "base"
[stage.model]
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
tie_word_embeddings = true
[stage.train]
steps = 4
tokens_per_step = 256
micro_batch_tokens = 256
sequence_length = 128
checkpoint_every = 2
)";

// Every kind of stage, in about a second.
inline const std::string kList = R"(
vocab_size = 300
digits_per_token = 3
seed = 5
[corpus]
tasks = ["sum:1"]
documents = 300
)" + std::string(kTinyBase) + R"([[stage]]
kind = "evaluate"
tasks = ["sum:1"]
[stage.evaluation]
problems = 3
samples = 2
max_tokens = 9
[[stage]]
kind = "sample"
name = "traces"
[stage.sample]
writer = "traces"
tasks = ["sum:1"]
problems = 24
samples = 1
[[stage]]
kind = "finetune"
name = "cold"
data = ["traces"]
[stage.finetune]
steps = 3
samples_per_step = 2
evaluate_every = 1
checkpoint_every = 1
[[stage]]
kind = "reinforce"
teacher = "base"
[stage.rl]
tasks = ["sum:1"]
steps = 2
prompts_per_step = 2
group_size = 2
max_tokens = 9
evaluate_every = 0
[stage.probe]
problems = 0
[[stage]]
kind = "distil"
teacher = "reinforce"
from = "base"
[stage.sample]
tasks = ["sum:1"]
writer = "traces"
problems = 20
samples = 1
[stage.finetune]
steps = 2
samples_per_step = 2
[[stage]]
kind = "evaluate"
tasks = ["sum:1"]
[stage.evaluation]
problems = 3
samples = 2
max_tokens = 9
)";

inline StagesRecipe List(const std::string& text = kList, std::vector<std::string> overrides = {}) {
  return ParseStagesRecipe({"list.toml", text, std::move(overrides)});
}

}  // namespace darkhorse
