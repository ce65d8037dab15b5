#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernel/attention.h"

namespace darkhorse {

CacheShape::CacheShape(const ModelConfig& config, CacheForm form)
    : heads(config.num_attention_heads), key(config.qk_head_dim()), value(config.v_head_dim) {
  if (form == CacheForm::kExpanded) return;
  // The latent lies there twice: in the key and as the value.
  heads = 1;
  key = config.kv_lora_rank + config.qk_rope_head_dim;
  value = config.kv_lora_rank;
}

KvCache::KvCache(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity)
    : form_(form),
      shape_(config, form),
      layers_(config.num_hidden_layers),
      slots_(slots),
      capacity_((capacity + kKeyPanel - 1) / kKeyPanel * kKeyPanel),
      unit_(capacity_ * (shape_.key + shape_.value)) {
  CHECK(slots >= 1 && capacity >= 1);
  RequireMemory(sizeof(float) * static_cast<double>(layers_ * shape_.floats()) *
                    static_cast<double>(slots) * static_cast<double>(capacity),
                fmt::format("the cache of {} sequences of {} tokens", slots, capacity),
                "run fewer at once, or shorter ones");
  data_ = FloatBuffer(layers_ * slots_ * shape_.heads * unit_);
}

float* KvCache::KeyPanels(int64_t layer, int64_t slot, int64_t head) {
  return data_.data() + Offset(layer, slot, head);
}

Matrix KvCache::Values(int64_t layer, int64_t slot, int64_t head) {
  return {data_.data() + Offset(layer, slot, head) + capacity_ * shape_.key, capacity_,
          shape_.value};
}

void KvCache::CopyPrefix(int64_t from, int64_t to, int64_t positions) {
  CHECK(from != to && positions <= capacity_);
  // Whole panels are copied; what lies beyond `positions` in the last one is overwritten as the
  // sequence goes on.
  const int64_t keys = KeyPanelSize(positions, shape_.key);
  ParallelFor(layers_ * shape_.heads, [&](int64_t i) {
    const int64_t layer = i / shape_.heads;
    const int64_t head = i % shape_.heads;
    std::memcpy(KeyPanels(layer, to, head), KeyPanels(layer, from, head),
                static_cast<size_t>(keys) * sizeof(float));
    std::memcpy(Values(layer, to, head).data, Values(layer, from, head).data,
                static_cast<size_t>(positions * shape_.value) * sizeof(float));
  });
}

}  // namespace darkhorse
