#include "model/params.h"

#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"

namespace darkhorse {
namespace {

constexpr int64_t kAlignment = 16;  // floats: one cache line

// Far above any published model.
constexpr int64_t kMaxFloats = int64_t{1} << 40;
constexpr size_t kMaxTensors = size_t{1} << 18;

}  // namespace

void ParamLayout::Add(std::string name, std::vector<int64_t> shape, ParamKind kind) {
  int64_t size = 1;
  for (const int64_t extent : shape) size *= extent;
  if (size > kMaxFloats - buffer_size_ || params_.size() == kMaxTensors) {
    Fail(
        "config: a model of these dimensions has more than {} parameters or {} tensors; lower them",
        kMaxFloats, kMaxTensors);
  }
  params_.push_back({std::move(name), std::move(shape), kind, buffer_size_, size});
  buffer_size_ += (size + kAlignment - 1) / kAlignment * kAlignment;
}

void ParamLayout::AddLayer(const ModelConfig& config, const std::string& prefix, bool moe) {
  const int64_t hidden = config.hidden_size;
  const int64_t heads = config.num_attention_heads;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
    Add(prefix + name, {out, in}, ParamKind::kMatrix);
  };
  const auto mlp = [&](const std::string& name, int64_t intermediate) {
    matrix(name + ".gate_proj.weight", intermediate, hidden);
    matrix(name + ".up_proj.weight", intermediate, hidden);
    matrix(name + ".down_proj.weight", hidden, intermediate);
  };
  Add(prefix + "input_layernorm.weight", {hidden}, ParamKind::kNorm);
  if (config.q_lora_rank > 0) {
    matrix("self_attn.q_a_proj.weight", config.q_lora_rank, hidden);
    Add(prefix + "self_attn.q_a_layernorm.weight", {config.q_lora_rank}, ParamKind::kNorm);
    matrix("self_attn.q_b_proj.weight", heads * config.qk_head_dim(), config.q_lora_rank);
  } else {
    matrix("self_attn.q_proj.weight", heads * config.qk_head_dim(), hidden);
  }
  matrix("self_attn.kv_a_proj_with_mqa.weight", config.kv_lora_rank + config.qk_rope_head_dim,
         hidden);
  Add(prefix + "self_attn.kv_a_layernorm.weight", {config.kv_lora_rank}, ParamKind::kNorm);
  matrix("self_attn.kv_b_proj.weight", heads * (config.qk_nope_head_dim + config.v_head_dim),
         config.kv_lora_rank);
  matrix("self_attn.o_proj.weight", hidden, heads * config.v_head_dim);
  Add(prefix + "post_attention_layernorm.weight", {hidden}, ParamKind::kNorm);
  if (!moe) {
    mlp("mlp", config.intermediate_size);
    return;
  }
  Add(prefix + "mlp.gate.weight", {config.n_routed_experts, hidden}, ParamKind::kRouter);
  if (config.topk_method == "noaux_tc") {
    Add(prefix + "mlp.gate.e_score_correction_bias", {config.n_routed_experts},
        ParamKind::kRouterBias);
  }
  for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
    mlp("mlp.experts." + std::to_string(expert), config.moe_intermediate_size);
  }
  if (config.n_shared_experts > 0) {
    mlp("mlp.shared_experts", config.n_shared_experts * config.moe_intermediate_size);
  }
}

ParamLayout::ParamLayout(const ModelConfig& config) {
  CheckDimensions(config);
  config.Validate();
  Add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size}, ParamKind::kEmbedding);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    AddLayer(config, "model.layers." + std::to_string(layer) + ".", config.IsMoeLayer(layer));
  }
  Add("model.norm.weight", {config.hidden_size}, ParamKind::kNorm);
  if (!config.tie_word_embeddings) {
    Add("lm_head.weight", {config.vocab_size, config.hidden_size}, ParamKind::kHead);
  }
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k) {
    const int64_t layer = config.num_hidden_layers + k;
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    Add(prefix + "enorm.weight", {config.hidden_size}, ParamKind::kNorm);
    Add(prefix + "hnorm.weight", {config.hidden_size}, ParamKind::kNorm);
    Add(prefix + "eh_proj.weight", {config.hidden_size, 2 * config.hidden_size},
        ParamKind::kMatrix);
    AddLayer(config, prefix, config.IsMoeLayer(layer));
    Add(prefix + "shared_head.norm.weight", {config.hidden_size}, ParamKind::kNorm);
  }
}

int64_t ParamLayout::parameter_count() const {
  int64_t count = 0;
  for (const ParamInfo& param : params_) {
    if (param.kind != ParamKind::kRouterBias) count += param.size;
  }
  return count;
}

const ParamInfo* ParamLayout::Find(std::string_view name) const {
  for (const ParamInfo& param : params_) {
    if (param.name == name) return &param;
  }
  return nullptr;
}

int64_t ActiveParameterCount(const ModelConfig& config) {
  const int64_t expert = 3 * config.moe_intermediate_size * config.hidden_size;
  const int64_t idle = (config.n_routed_experts - config.num_experts_per_tok) * expert;
  int64_t count = ParamLayout(config).parameter_count();
  for (int64_t layer = 0; layer < config.num_hidden_layers + config.num_nextn_predict_layers;
       ++layer) {
    if (config.IsMoeLayer(layer)) count -= idle;
  }
  return count;
}

ModelWeights Bind(const ModelConfig& config, const ParamLayout& layout, float* buffer) {
  std::unordered_map<std::string_view, const ParamInfo*> index;
  for (const ParamInfo& param : layout.params()) index.emplace(param.name, &param);
  const auto vector = [&](const std::string& name) {
    const auto found = index.find(name);
    CHECK(found != index.end());
    return buffer + found->second->offset;
  };
  const auto weight = [&](const std::string& name) {
    const auto found = index.find(name);
    CHECK(found != index.end() && found->second->shape.size() == 2);
    const ParamInfo& param = *found->second;
    return Weight{Matrix(buffer + param.offset, param.shape[0], param.shape[1])};
  };
  const auto mlp = [&](const std::string& prefix) {
    return MlpWeights{weight(prefix + ".gate_proj.weight"), weight(prefix + ".up_proj.weight"),
                      weight(prefix + ".down_proj.weight")};
  };
  const auto layer_weights = [&](int64_t layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const std::string attention = prefix + "self_attn.";
    LayerWeights out;
    out.input_layernorm = vector(prefix + "input_layernorm.weight");
    out.post_attention_layernorm = vector(prefix + "post_attention_layernorm.weight");
    MlaWeights& mla = out.attention;
    if (config.q_lora_rank > 0) {
      mla.q_a_proj = weight(attention + "q_a_proj.weight");
      mla.q_a_layernorm = vector(attention + "q_a_layernorm.weight");
      mla.q_b_proj = weight(attention + "q_b_proj.weight");
    } else {
      mla.q_proj = weight(attention + "q_proj.weight");
    }
    mla.kv_a_proj_with_mqa = weight(attention + "kv_a_proj_with_mqa.weight");
    mla.kv_a_layernorm = vector(attention + "kv_a_layernorm.weight");
    mla.kv_b_proj = weight(attention + "kv_b_proj.weight");
    mla.o_proj = weight(attention + "o_proj.weight");
    out.is_moe = config.IsMoeLayer(layer);
    if (!out.is_moe) {
      out.mlp = mlp(prefix + "mlp");
      return out;
    }
    MoeWeights& moe = out.moe;
    moe.gate = weight(prefix + "mlp.gate.weight");
    moe.e_score_correction_bias = config.topk_method == "noaux_tc"
                                      ? vector(prefix + "mlp.gate.e_score_correction_bias")
                                      : nullptr;
    for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
      const MlpWeights one = mlp(prefix + "mlp.experts." + std::to_string(expert));
      moe.gate_proj.push_back(one.gate_proj);
      moe.up_proj.push_back(one.up_proj);
      moe.down_proj.push_back(one.down_proj);
    }
    if (config.n_shared_experts > 0) moe.shared = mlp(prefix + "mlp.shared_experts");
    return out;
  };

  ModelWeights model;
  model.embed_tokens = weight("model.embed_tokens.weight").w;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    model.layers.push_back(layer_weights(layer));
  model.norm = vector("model.norm.weight");
  model.lm_head =
      config.tie_word_embeddings ? Weight{model.embed_tokens} : weight("lm_head.weight");
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k) {
    const int64_t layer = config.num_hidden_layers + k;
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    model.mtp.push_back({vector(prefix + "enorm.weight"), vector(prefix + "hnorm.weight"),
                         weight(prefix + "eh_proj.weight"), layer_weights(layer),
                         vector(prefix + "shared_head.norm.weight")});
  }
  return model;
}

void InitializeWeights(const ModelConfig& config, const ParamLayout& layout, uint64_t seed,
                       float* buffer) {
  const auto& params = layout.params();
  for (size_t tensor = 0; tensor < params.size(); ++tensor) {
    const ParamInfo& param = params[tensor];
    float* out = buffer + param.offset;
    if (param.kind == ParamKind::kNorm || param.kind == ParamKind::kRouterBias) {
      const float value = param.kind == ParamKind::kNorm ? 1.0f : 0.0f;
      for (int64_t i = 0; i < param.size; ++i) out[i] = value;
      continue;
    }
    ParallelForRange(param.size, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        out[i] = static_cast<float>(
            config.initializer_range *
            RandomNormal(seed, RandomStream::kInit, tensor, static_cast<uint64_t>(i)));
      }
    });
  }
}

}  // namespace darkhorse
