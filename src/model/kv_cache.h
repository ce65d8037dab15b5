// What attention remembers of the tokens before, in one slot per sequence and in one of two forms.
// Expanded: every head's keys and values, as the training forward computes them, so that decoding
// gives training's bits. Latent: MLA's compressed vector and the shared rotary key (DeepSeek-V2
// section 2.1), which is far smaller. Keys and values are then absorbed into queries and outputs:
// another order of the same sums, which agrees within a bound. Either form is bf16 where
// attention computes in bf16 (model/attention.h): it rounds what it reads anyway, so half the
// bytes give the same bits. Grouped-query attention has no latents and the expanded form alone.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/matrix.h"
#include "kernel/attention_bf16.h"
#include "kernel/weight.h"
#include "model/config.h"

namespace darkhorse {

enum class CacheForm { kExpanded, kLatent };

// What one token leaves in one layer's cache.
struct CacheShape {
  CacheShape(const ModelConfig& config, CacheForm form, Format format);
  Format format;       // of the numbers: f32 or bf16
  int64_t heads;       // 1 in the latent form
  int64_t key, value;  // numbers per head
  int64_t bytes() const;
};

class KvCache {
 public:
  // Room for `slots` sequences of up to `capacity` tokens in each of the main model's layers, in
  // that form if the model has it. tokens: what the slots will hold together, for which there must
  // be memory; 0: all of them may be full. Error: this machine cannot hold it.
  KvCache(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
          Format format = Format::kF32, int64_t tokens = 0);

  // What that takes, in bytes; 0 for no slots. Exact below 2^53, so never an overflow.
  static double Bytes(const ModelConfig& config, CacheForm form, int64_t slots, int64_t capacity,
                      Format format, int64_t tokens = 0);

  CacheForm form() const { return form_; }
  Format format() const { return shape_.format; }
  int64_t slots() const { return slots_; }
  int64_t capacity() const { return capacity_; }
  // What there is room for: whole panels or tiles.
  int64_t padded_capacity() const { return padded_; }
  int64_t bytes() const { return data_.size() * static_cast<int64_t>(sizeof(float)); }

  // One key/value head's keys in panels (kernel/attention.h) of width key_dim(), and values [padded
  // capacity, value_dim()]. Of the latent form there is one head, whose keys are [latent; rotary
  // key], of width kv_lora_rank + qk_rope_head_dim, and whose values are the latents.
  float* KeyPanels(int64_t layer, int64_t slot, int64_t head);
  Matrix Values(int64_t layer, int64_t slot, int64_t head);
  // In bf16: the same as the tiles of kernel/attention_bf16.h, for padded_capacity() positions.
  Bf16* KeyTiles(int64_t layer, int64_t slot, int64_t head);
  Bf16* ValueTiles(int64_t layer, int64_t slot, int64_t head);

  // Copies the first `positions` tokens of one slot to another: a prompt computed once for a group
  // of samples.
  void CopyPrefix(int64_t from, int64_t to, int64_t positions);

  // What a slot holds is lost, and its memory the system's again; only where `tokens` is given.
  void Release(int64_t slot);

 private:
  int64_t Offset(int64_t layer, int64_t slot, int64_t head) const {
    return ((layer * slots_ + slot) * shape_.heads + head) * unit_;
  }

  CacheForm form_;
  CacheShape shape_;
  int64_t layers_, slots_, capacity_, padded_;
  bool limited_;
  int64_t keys_;  // floats of the keys of one (layer, slot, head)
  int64_t unit_;  // and of its keys and values
  FloatBuffer data_;
};

}  // namespace darkhorse
