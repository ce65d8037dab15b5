#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernel/attention.h"
#include "model/cost.h"

namespace darkhorse {
namespace {

// The config, if this machine can hold the cache.
const ModelConfig& Fitting(const ModelConfig& config, CacheForm form, int64_t slots,
                           int64_t capacity) {
  const int64_t token = form == CacheForm::kLatent ? LatentCacheBytesPerToken(config)
                                                   : ExpandedCacheBytesPerToken(config);
  RequireMemory(
      static_cast<double>(token) * static_cast<double>(slots) * static_cast<double>(capacity),
      fmt::format("the cache of {} sequences of {} tokens", slots, capacity),
      "run fewer at once, or shorter ones");
  return config;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity)
    : form_(form),
      layers_(Fitting(config, form, slots, capacity).num_hidden_layers),
      slots_(slots),
      capacity_((capacity + kKeyPanel - 1) / kKeyPanel * kKeyPanel),
      heads_(form == CacheForm::kExpanded ? config.num_attention_heads : 1),
      key_dim_(form == CacheForm::kExpanded ? config.qk_head_dim()
                                            : config.kv_lora_rank + config.qk_rope_head_dim),
      value_dim_(form == CacheForm::kExpanded ? config.v_head_dim : config.kv_lora_rank),
      unit_(capacity_ * (key_dim_ + value_dim_)) {
  CHECK(slots >= 1 && capacity >= 1);
  data_ = FloatBuffer(layers_ * slots_ * heads_ * unit_);
}

float* KvCache::KeyPanels(int64_t layer, int64_t slot, int64_t head) {
  return data_.data() + Offset(layer, slot, head);
}

Matrix KvCache::Values(int64_t layer, int64_t slot, int64_t head) {
  return {data_.data() + Offset(layer, slot, head) + capacity_ * key_dim_, capacity_, value_dim_};
}

void KvCache::CopyPrefix(int64_t from, int64_t to, int64_t positions) {
  CHECK(from != to && positions <= capacity_);
  // Whole panels are copied; what lies beyond `positions` in the last one is overwritten as the
  // sequence goes on.
  const int64_t keys = KeyPanelSize(positions, key_dim_);
  ParallelFor(layers_ * heads_, [&](int64_t i) {
    const int64_t layer = i / heads_;
    const int64_t head = i % heads_;
    std::memcpy(KeyPanels(layer, to, head), KeyPanels(layer, from, head),
                static_cast<size_t>(keys) * sizeof(float));
    std::memcpy(Values(layer, to, head).data, Values(layer, from, head).data,
                static_cast<size_t>(positions * value_dim_) * sizeof(float));
  });
}

}  // namespace darkhorse
