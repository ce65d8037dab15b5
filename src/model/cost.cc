#include "model/cost.h"

#include <algorithm>
#include <cmath>

#include "model/head.h"
#include "model/params.h"

namespace darkhorse {
namespace {

// Floats of one token in the arena: kept from the forward to the backward pass, and the backward
// pass's own at its peak. One such sum for each struct of buffers: MlaSaved, MlpSaved, ...
struct RowFloats {
  int64_t saved, scratch;
};

RowFloats AttentionFloats(const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads;
  const int64_t q = heads * c.qk_head_dim();
  const int64_t kv = heads * (c.qk_nope_head_dim + c.v_head_dim);
  const int64_t out = heads * c.v_head_dim;
  const int64_t latent = 2 * c.kv_lora_rank + c.qk_rope_head_dim;
  const int64_t low_rank = std::max<int64_t>(0, c.q_lora_rank);
  const int64_t rows = heads + 1 + (low_rank > 0 ? 1 : 0);  // log-sum-exp, inverse RMS
  const int64_t both = out + 2 * q + kv + latent + 2 * low_rank;
  return {both + rows, both};
}

RowFloats MlpFloats(int64_t intermediate) { return {3 * intermediate, 3 * intermediate}; }

RowFloats MoeFloats(const ModelConfig& c) {
  const int64_t k = c.num_experts_per_tok;
  const int64_t visit = 3 * c.moe_intermediate_size + c.hidden_size;
  const RowFloats shared =
      MlpFloats(std::max<int64_t>(0, c.n_shared_experts) * c.moe_intermediate_size);
  const int64_t routing = c.n_routed_experts + 2 * k;
  const int64_t dispatch = 2 * k;
  return {routing + dispatch + k * (visit + c.hidden_size) + shared.saved,
          k * (visit + 1) + std::max(c.n_routed_experts, shared.scratch)};
}

RowFloats LayerFloats(const ModelConfig& c, bool moe) {
  const RowFloats attention = AttentionFloats(c);
  const RowFloats feed_forward = moe ? MoeFloats(c) : MlpFloats(c.intermediate_size);
  return {4 * c.hidden_size + 2 + attention.saved + feed_forward.saved,
          c.hidden_size + std::max(attention.scratch, feed_forward.scratch)};
}

// Of all matrices but the head; `visited`: the share of the routed experts to count.
double MatrixFloats(const ModelConfig& config, double visited) {
  double floats = 0;
  const ParamLayout layout(config);  // outlives the loop over its list
  for (const ParamInfo& param : layout.params()) {
    if (param.kind != ParamKind::kMatrix && param.kind != ParamKind::kRouter) continue;
    const bool routed = param.name.find(".mlp.experts.") != std::string::npos;
    floats += (routed ? visited : 1) * static_cast<double>(param.size);
  }
  return floats;
}

}  // namespace

double ForwardFlopsPerToken(const ModelConfig& config, double context, bool with_mtp) {
  ModelConfig counted = config;
  if (!with_mtp) counted.num_nextn_predict_layers = 0;
  const double visited = static_cast<double>(config.num_experts_per_tok) /
                         static_cast<double>(config.n_routed_experts);
  double touched = MatrixFloats(counted, visited);  // that one token is multiplied with
  // The head is one tensor, tied or not, and each module multiplies by it once more.
  touched += static_cast<double>((1 + counted.num_nextn_predict_layers) * config.vocab_size *
                                 config.hidden_size);
  const int64_t layers = counted.num_hidden_layers + counted.num_nextn_predict_layers;
  const double attention = static_cast<double>(layers * config.num_attention_heads *
                                               (config.qk_head_dim() + config.v_head_dim)) *
                           context;
  return 2 * (touched + attention);
}

double WeightBytesRead(const ModelConfig& config, int64_t rows) {
  ModelConfig counted = config;
  counted.num_nextn_predict_layers = 0;
  const double skipped = 1 - static_cast<double>(config.num_experts_per_tok) /
                                 static_cast<double>(config.n_routed_experts);
  const double visited = 1 - std::pow(skipped, static_cast<double>(rows));
  const auto head = static_cast<double>(config.vocab_size * config.hidden_size);
  return sizeof(float) * (MatrixFloats(counted, visited) + head);
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

TrainingMemory EstimateTrainingMemory(const ModelConfig& config, int64_t rows) {
  const int64_t hidden = config.hidden_size;
  const int64_t head_floats =
      std::min(rows, HeadChunkRows(config.vocab_size)) * (2 * hidden + config.vocab_size);
  int64_t saved = 2 * hidden + 2;  // around the layers
  int64_t scratch = 0;
  const auto add_layer = [&](int64_t index, int64_t extra_saved, int64_t extra_scratch) {
    const RowFloats floats = LayerFloats(config, config.IsMoeLayer(index));
    saved += floats.saved + extra_saved;
    scratch = std::max(scratch, floats.scratch + extra_scratch);
  };
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) add_layer(i, 0, hidden + 1);
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k)
    add_layer(config.num_hidden_layers + k, 5 * hidden + 3, 4 * hidden);
  const int64_t gradients_of_hidden = 2 * hidden + 1;
  // A module's head runs beside the gradient of its output.
  const int64_t beside_head = config.num_nextn_predict_layers > 0 ? rows * hidden : 0;
  const int64_t activations =
      rows * (saved + gradients_of_hidden) + std::max(rows * scratch, head_floats + beside_head);
  const ParamLayout layout(config);
  const int64_t state = layout.buffer_size();
  const auto bytes = [](int64_t floats) { return floats * static_cast<int64_t>(sizeof(float)); };
  return {bytes(state), bytes(state), bytes(2 * state), bytes(activations)};
}

}  // namespace darkhorse
