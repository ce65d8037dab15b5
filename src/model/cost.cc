#include "model/cost.h"

#include <algorithm>
#include <cmath>

#include "kernel/linear.h"
#include "model/head.h"
#include "model/packed_weights.h"
#include "model/params.h"

namespace darkhorse {
namespace {

// Floats of one token in the arena: those kept from the forward to the backward pass, and those
// that the backward pass takes at its peak. One such sum per struct of buffers: MlaSaved, MlpSaved,
// ...
struct RowFloats {
  int64_t saved, scratch;
};

RowFloats GqaFloats(const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads, key_heads = c.num_key_value_heads;
  const int64_t q = heads * c.head_dim, k = key_heads * c.head_dim;
  const int64_t rows = heads + (c.qk_norm ? heads + key_heads : 0);  // log-sum-exp, inverse RMS
  const int64_t shared = heads > key_heads ? 2 * q : 0;  // gradients of each query head's k and v
  return {2 * q + 2 * k + (c.qk_norm ? q + k : 0) + rows, 2 * q + 2 * k + shared};
}

RowFloats MlaFloats(const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads;
  const int64_t q = heads * c.key_dim();
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
  const RowFloats attention = c.latent_attention() ? MlaFloats(c) : GqaFloats(c);
  const RowFloats feed_forward = moe ? MoeFloats(c) : MlpFloats(c.intermediate_size);
  return {4 * c.hidden_size + 2 + attention.saved + feed_forward.saved,
          c.hidden_size + std::max(attention.scratch, feed_forward.scratch)};
}

constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));

}  // namespace

ModelCost::ModelCost(const ModelConfig& config) : config_(config) {
  const ParamLayout layout(config);  // refuses dimensions whose products would overflow
  head_ = static_cast<double>(config.vocab_size * config.hidden_size);
  buffer_floats_ = layout.buffer_size();
  int64_t routed = 0;
  for (const ParamInfo& param : layout.params()) {
    if (param.kind == ParamKind::kRouterBias) continue;
    parameters_ += param.size;
    if (param.expert >= 0) routed += param.size;
    if (param.kind != ParamKind::kMatrix && param.kind != ParamKind::kRouter) continue;
    Matrices& matrices = param.layer < config.num_hidden_layers ? main_ : modules_;
    (param.expert >= 0 ? matrices.routed : matrices.always) += static_cast<double>(param.size);
  }
  active_parameters_ = parameters_;
  if (routed > 0) {  // a whole number of experts, all of one size
    const int64_t idle = config.n_routed_experts - config.num_experts_per_tok;
    active_parameters_ -= routed / config.n_routed_experts * idle;
  }
}

int64_t ModelCost::WeightBytes() const { return kFloatBytes * buffer_floats_; }

double ModelCost::VisitedShare() const {
  return static_cast<double>(config_.num_experts_per_tok) /
         static_cast<double>(config_.n_routed_experts);
}

double ModelCost::ForwardFlopsPerToken(double context) const {
  const double attention =
      static_cast<double>(config_.num_hidden_layers * config_.num_attention_heads *
                          (config_.key_dim() + config_.value_dim())) *
      context;
  return 2 * (main_.Touched(VisitedShare()) + head_ + attention);
}

double ModelCost::TrainingFlopsPerToken(double context) const {
  // The head is one tensor, tied or not, and each module multiplies by it once more.
  const auto modules = static_cast<double>(config_.num_nextn_predict_layers);
  const double attention =
      modules *
      static_cast<double>(config_.num_attention_heads * (config_.key_dim() + config_.value_dim())) *
      context;
  const double in_modules = modules_.Touched(VisitedShare()) + modules * head_ + attention;
  return 3 * (ForwardFlopsPerToken(context) + 2 * in_modules);
}

double ModelCost::WeightBytesRead(int64_t rows, Format format) const {
  constexpr int64_t kLarge = 1024;  // nothing is padded
  const double bytes =
      static_cast<double>(ForwardBytes(format, kLarge, kLarge)) / (kLarge * kLarge);
  const double visited = 1 - std::pow(1 - VisitedShare(), static_cast<double>(rows));
  return bytes * (main_.Touched(visited) + head_);
}

int64_t ModelCost::CacheBytesPerToken(CacheForm form, Format format) const {
  return config_.num_hidden_layers * CacheShape(config_, form, format).bytes();
}

int64_t ModelCost::PackedBytes(Format format) const {
  return PackedWeights::Bytes(config_, format, PackedWeights::Use::kForward);
}

TrainingMemory ModelCost::Training(int64_t rows, Format format, Activations activations,
                                   Format moments) const {
  const ModelConfig& config = config_;
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
  if (activations == Activations::kKept) {
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) add_layer(i, 0, hidden + 1);
  } else {
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
      const bool moe = config.IsMoeLayer(i);
      const RowFloats floats = LayerFloats(config, moe);
      saved += hidden + (moe ? config.n_routed_experts + 2 * config.num_experts_per_tok : 0);
      scratch = std::max(scratch, floats.saved + floats.scratch + 2 * hidden + 1);
    }
  }
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k)
    add_layer(config.num_hidden_layers + k, 5 * hidden + 3, 4 * hidden);
  // The main model's, and the modules' share of it; a module's head runs beside the gradient of its
  // output.
  const bool modules = config.num_nextn_predict_layers > 0;
  const int64_t gradients_of_hidden = (modules ? 2 : 1) * hidden + 1;
  const int64_t beside_head = modules ? rows * hidden : 0;
  const int64_t floats =
      rows * (saved + gradients_of_hidden) + std::max(rows * scratch, head_floats + beside_head);
  const int64_t state = WeightBytes();
  const int64_t packed = format == Format::kF32
                             ? 0
                             : PackedWeights::Bytes(config, format, PackedWeights::Use::kTraining);
  return {state, state, (moments == Format::kBf16 ? 1 : 2) * state, kFloatBytes * floats, packed};
}

}  // namespace darkhorse
