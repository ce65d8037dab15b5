// Tests only: a model of a few thousand weights and a tokenizer to match.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "text/tokenizer.h"

namespace darkhorse {

inline ModelConfig TinyPolicyConfig() {
  ModelConfig config;
  config.vocab_size = 288;
  config.hidden_size = 32;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.kv_lora_rank = 16;
  config.qk_nope_head_dim = 8;
  config.qk_rope_head_dim = 8;
  config.v_head_dim = 16;
  config.intermediate_size = 64;
  config.moe_intermediate_size = 16;
  config.n_routed_experts = 4;
  config.max_position_embeddings = 64;
  return config;
}

// Ids 0 and 1 are the marks of a document's beginning and end.
inline Tokenizer TinyPolicyTokenizer(const std::vector<std::string>& documents) {
  return TrainTokenizer(documents, {.vocab_size = 280,
                                    .special_tokens = {"<|begin|>", "<|end|>", "<think>",
                                                       "</think>", "<answer>", "</answer>"}});
}

}  // namespace darkhorse
