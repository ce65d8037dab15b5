#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/format.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernel/attention.h"
#include "kernel/bf16_loops.h"
#include "kernel/ops_loops.h"

namespace darkhorse {

namespace {

constexpr int64_t kHugePage = 2 << 20;  // bytes

CacheForm FormOf(const ModelConfig& config, CacheForm wanted) {
  return config.latent_attention() ? wanted : CacheForm::kExpanded;
}

// Whole panels, or tiles.
int64_t Padded(const CacheShape& shape, int64_t capacity) {
  const int64_t grain = shape.format == Format::kBf16 ? kKeyBlock : kKeyPanel;
  return (capacity + grain - 1) / grain * grain;
}

}  // namespace

CacheShape::CacheShape(const ModelConfig& config, CacheForm form, Format format_in)
    : format(format_in),
      heads(config.key_value_heads()),
      key(config.key_dim()),
      value(config.value_dim()) {
  if (FormOf(config, form) == CacheForm::kLatent) {
    // The latent lies there twice: in the key and as the value.
    heads = 1;
    key = config.kv_lora_rank + config.qk_rope_head_dim;
    value = config.kv_lora_rank;
  }
  if (format == Format::kBf16) {  // whole tiles
    key = KeyTilesSize(kKeyBlock, key) / kKeyBlock;
    value = ValueTilesSize(kKeyBlock, value) / kKeyBlock;
  }
}

int64_t CacheShape::bytes() const {
  return heads * (key + value) *
         static_cast<int64_t>(format == Format::kBf16 ? sizeof(Bf16) : sizeof(float));
}

KvCache::KvCache(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
                 Format format, int64_t tokens)
    : form_(FormOf(config, form)),
      shape_(config, form, format),
      layers_(config.num_hidden_layers),
      slots_(slots),
      capacity_(capacity),
      limited_(tokens > 0) {
  CHECK(slots >= 1 && capacity >= 1);
  padded_ = Padded(shape_, capacity);
  const int64_t per_float = shape_.format == Format::kBf16 ? 2 : 1;
  keys_ = padded_ * shape_.key / per_float;
  unit_ = keys_ + padded_ * shape_.value / per_float;
  RequireMemory(Bytes(config, form, slots, capacity, format, tokens),
                limited_ ? "a cache of " + Counted(tokens, "token")
                         : fmt::format("the cache of {} of {}", Counted(slots, "sequence"),
                                       Counted(capacity, "token")),
                "run fewer at once, or shorter ones");
  // Of a slot as large as huge pages a short sequence would take all of each: of a slot for 8192
  // tokens, hundreds of MiB at its first.
  const bool large = shape_.heads * unit_ * static_cast<int64_t>(sizeof(float)) >= kHugePage;
  const int64_t numbers = layers_ * slots_ * shape_.heads * unit_;
  data_ = large || limited_ ? FloatBuffer::Sparse(numbers) : FloatBuffer(numbers);
}

double KvCache::Bytes(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
                      Format format, int64_t tokens) {
  const CacheShape shape(config, form, format);
  const double all = static_cast<double>(slots) * static_cast<double>(Padded(shape, capacity));
  const double held = tokens > 0 ? std::min(all, static_cast<double>(tokens)) : all;
  return static_cast<double>(config.num_hidden_layers * shape.bytes()) * held;
}

float* KvCache::KeyPanels(int64_t layer, int64_t slot, int64_t head) {
  return data_.data() + Offset(layer, slot, head);
}

Matrix KvCache::Values(int64_t layer, int64_t slot, int64_t head) {
  return {data_.data() + Offset(layer, slot, head) + keys_, padded_, shape_.value};
}

Bf16* KvCache::KeyTiles(int64_t layer, int64_t slot, int64_t head) {
  return reinterpret_cast<Bf16*>(data_.data() + Offset(layer, slot, head));
}

Bf16* KvCache::ValueTiles(int64_t layer, int64_t slot, int64_t head) {
  return reinterpret_cast<Bf16*>(data_.data() + Offset(layer, slot, head) + keys_);
}

void KvCache::CopyPrefix(int64_t from, int64_t to, int64_t positions) {
  CHECK(from != to && positions <= capacity_);
  // Whole panels, or tiles, are copied; what lies beyond `positions` in the last one is overwritten
  // as the sequence goes on.
  ParallelFor(layers_ * shape_.heads, [&](int64_t i) {
    const int64_t layer = i / shape_.heads;
    const int64_t head = i % shape_.heads;
    const auto copy = [](auto* target, const auto* source, int64_t count) {
      std::memcpy(target, source, static_cast<size_t>(count) * sizeof(*source));
    };
    if (format() == Format::kBf16) {
      const int64_t tiles = (positions + kTileDepth - 1) / kTileDepth;
      copy(KeyTiles(layer, to, head), KeyTiles(layer, from, head), tiles * kTileDepth * shape_.key);
      const int64_t block = padded_ * kTileSide;  // of 16 values
      for (int64_t value = 0; value < shape_.value; value += kTileSide) {
        const int64_t begin = value / kTileSide * block;
        copy(ValueTiles(layer, to, head) + begin, ValueTiles(layer, from, head) + begin,
             tiles * kTileSize);
      }
      return;
    }
    copy(KeyPanels(layer, to, head), KeyPanels(layer, from, head),
         KeyPanelSize(positions, shape_.key));
    copy(Values(layer, to, head).data, Values(layer, from, head).data, positions * shape_.value);
  });
}

void KvCache::Release(int64_t slot) {
  if (!limited_) return;
  const auto bytes = static_cast<size_t>(shape_.heads * unit_) * sizeof(float);
  for (int64_t layer = 0; layer < layers_; ++layer)
    DropPages(data_.data() + Offset(layer, slot, 0), bytes);
}

}  // namespace darkhorse
