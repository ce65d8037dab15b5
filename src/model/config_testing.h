// A small model for tests.
#pragma once

#include "model/config.h"

namespace darkhorse {

// Two layers, the first dense, and every kind of tensor but a module's; no two dimensions that
// could be taken for each other are equal.
inline ModelConfig TinyConfig() {
  ModelConfig c;
  c.vocab_size = 13;
  c.hidden_size = 8;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.q_lora_rank = 5;
  c.kv_lora_rank = 6;
  c.qk_nope_head_dim = 3;
  c.qk_rope_head_dim = 4;
  c.v_head_dim = 5;
  c.intermediate_size = 7;
  c.moe_intermediate_size = 5;
  c.first_k_dense_replace = 1;
  c.n_routed_experts = 4;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.max_position_embeddings = 64;
  c.rope_theta = 50;
  c.rms_norm_eps = 1e-5;
  return c;
}

}  // namespace darkhorse
