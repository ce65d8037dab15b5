#include "model/cost.h"

#include "model/params.h"

namespace darkhorse {

double ForwardFlopsPerToken(const ModelConfig& config, double context, bool with_mtp) {
  ModelConfig counted = config;
  if (!with_mtp) counted.num_nextn_predict_layers = 0;
  double touched = 0;                 // weights that one token is multiplied with
  const ParamLayout layout(counted);  // outlives the loop over its list
  for (const ParamInfo& param : layout.params()) {
    const bool routed = param.name.find(".mlp.experts.") != std::string::npos;
    const double share = routed ? static_cast<double>(config.num_experts_per_tok) /
                                      static_cast<double>(config.n_routed_experts)
                                : 1;
    if (param.kind == ParamKind::kMatrix || param.kind == ParamKind::kRouter) {
      touched += share * static_cast<double>(param.size);
    }
  }
  // The head is one tensor, tied or not, and each module multiplies by it once more.
  touched += static_cast<double>((1 + counted.num_nextn_predict_layers) * config.vocab_size *
                                 config.hidden_size);
  const int64_t layers = counted.num_hidden_layers + counted.num_nextn_predict_layers;
  const double attention = static_cast<double>(layers * config.num_attention_heads *
                                               (config.qk_head_dim() + config.v_head_dim)) *
                           context;
  return 2 * (touched + attention);
}

int64_t LatentCacheBytesPerToken(const ModelConfig& config) {
  // The latent lies there twice: in the keys and as the values.
  const int64_t floats = 2 * config.kv_lora_rank + config.qk_rope_head_dim;
  return static_cast<int64_t>(sizeof(float)) * config.num_hidden_layers * floats;
}

int64_t ExpandedCacheBytesPerToken(const ModelConfig& config) {
  const int64_t floats = config.num_attention_heads * (config.qk_head_dim() + config.v_head_dim);
  return static_cast<int64_t>(sizeof(float)) * config.num_hidden_layers * floats;
}

}  // namespace darkhorse
