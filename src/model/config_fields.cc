#include "model/config_fields.h"

#include <fmt/format.h>

namespace darkhorse {

void ListFields(RopeScaling& r, FieldList& list) {
  list.Add("type", r.type, "\"\" for none, \"yarn\", \"llama3\" or \"linear\"");
  list.Add("factor", r.factor, "how many times longer than the original context");
  list.Add("original_max_position_embeddings", r.original_max_position_embeddings,
           "context before the extension, tokens");
  list.Add("beta_fast", r.beta_fast, "YaRN: dimensions turning faster are kept");
  list.Add("beta_slow", r.beta_slow, "YaRN: dimensions turning slower are interpolated");
  list.Add("mscale", r.mscale, "YaRN: scale of the rotated dimensions");
  list.Add("mscale_all_dim", r.mscale_all_dim, "YaRN: scale of the softmax");
  list.Add("attention_factor", r.attention_factor,
           "YaRN: scale of the rotated dimensions, instead of what the two before give; 0: that");
  list.Add("low_freq_factor", r.low_freq_factor,
           "llama3: frequencies of fewer turns over the original context are divided");
  list.Add("high_freq_factor", r.high_freq_factor, "llama3: and those of more turns are kept");
}

void ListFields(ModelConfig& c, FieldList& list) {
  list.Add("model_type", c.model_type, fmt::format("\"{}\"", fmt::join(kModelTypes, "\" or \"")));
  list.Add("vocab_size", c.vocab_size,
           "tokens the embedding knows; in pretraining, those of the data");
  list.Add("hidden_size", c.hidden_size, "width of the residual stream");
  list.Add("num_hidden_layers", c.num_hidden_layers, "layers, without MTP modules");
  list.Add("num_attention_heads", c.num_attention_heads, "attention heads");
  list.Add("q_lora_rank", c.q_lora_rank, "rank of the query projection; 0: not factored");
  list.Add("kv_lora_rank", c.kv_lora_rank,
           "width of the key/value latent that MLA caches; 0: no latent, grouped-query attention");
  list.Add("qk_nope_head_dim", c.qk_nope_head_dim, "unrotated query/key dimensions of a head");
  list.Add("qk_rope_head_dim", c.qk_rope_head_dim, "rotated query/key dimensions, even");
  list.Add("v_head_dim", c.v_head_dim, "value dimensions of a head");
  list.Add("num_key_value_heads", c.num_key_value_heads,
           "grouped-query attention: heads of keys and values");
  list.Add("head_dim", c.head_dim, "grouped-query attention: dimensions of a head");
  list.Add("attention_bias", c.attention_bias,
           "grouped-query attention: queries, keys and values have biases");
  list.Add("attention_output_bias", c.attention_output_bias,
           "grouped-query attention: so has its output");
  list.Add("qk_norm", c.qk_norm, "grouped-query attention: queries and keys are normed by head");
  list.Add("intermediate_size", c.intermediate_size, "width of a dense layer's feed-forward");
  list.Add("moe_intermediate_size", c.moe_intermediate_size, "width of one expert");
  list.Add("first_k_dense_replace", c.first_k_dense_replace,
           "so many first layers are dense, MTP modules counted as the last layers");
  list.Add("n_routed_experts", c.n_routed_experts, "experts to choose from in a layer");
  list.Add("n_shared_experts", c.n_shared_experts, "experts that every token visits");
  list.Add("num_experts_per_tok", c.num_experts_per_tok, "routed experts a token visits");
  list.Add("n_group", c.n_group, "expert groups");
  list.Add("topk_group", c.topk_group, "groups a token may choose from");
  list.Add("scoring_func", c.scoring_func, "\"sigmoid\" or \"softmax\"");
  list.Add("topk_method", c.topk_method, "\"noaux_tc\", \"greedy\" or \"group_limited_greedy\"");
  list.Add("norm_topk_prob", c.norm_topk_prob, "gates of the chosen experts sum to one");
  list.Add("routed_scaling_factor", c.routed_scaling_factor, "factor on the gates");
  list.Add("num_nextn_predict_layers", c.num_nextn_predict_layers,
           "multi-token-prediction modules");
  list.Add("max_position_embeddings", c.max_position_embeddings, "longest context, tokens");
  list.Add("rope_theta", c.rope_theta, "base of the rotary frequencies");
  list.Add("rope_interleave", c.rope_interleave,
           "rotated pairs are neighbours; else the two halves pair");
  list.Add("rms_norm_eps", c.rms_norm_eps, "added to the mean square");
  list.Add("initializer_range", c.initializer_range, "standard deviation of initial weights");
  list.Add("tie_word_embeddings", c.tie_word_embeddings, "the head is the embedding");
  list.Add("bos_token_id", c.bos_token_id, "token that starts a document; -1: none");
  list.Add("eos_token_id", c.eos_token_id, "token that ends a document; -1: none");
  list.Add("stop_token_ids", c.stop_token_ids,
           "tokens of which each ends a text; empty: eos_token_id alone");
  list.Section("rope_scaling", c.rope_scaling, "extension of the context");
}

}  // namespace darkhorse
