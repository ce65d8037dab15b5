// Softmax attention over heads, whatever projections made them (model/mla.h, model/gqa.h): over the
// rows of the pass itself, or over a cache. Query heads in groups share keys and values (Ainslie et
// al. 2023).
#pragma once

#include <vector>

#include "model/pass_context.h"
#include "model/tensors.h"

namespace darkhorse {

// What attention after these projections computes in: f32 where they do, else bf16, for products of
// integers round what they read more than it does.
inline Format AttentionFormat(const Weight& o_proj) {
  return o_proj.format == Format::kF32 ? Format::kF32 : Format::kBf16;
}
inline Format AttentionFormat(const LayerWeights& layer) {
  return AttentionFormat(layer.mla.o_proj.present() ? layer.mla.o_proj : layer.gqa.o_proj);
}

// One vector of `width` columns per head, `stride` columns apart.
struct HeadColumns {
  Matrix all;
  int64_t first, stride, width;

  // Those of heads that lie one behind the other.
  HeadColumns(Matrix all_in, int64_t width_in) : HeadColumns(all_in, 0, width_in, width_in) {}
  HeadColumns(Matrix all_in, int64_t first_in, int64_t stride_in, int64_t width_in)
      : all(all_in), first(first_in), stride(stride_in), width(width_in) {}
  Matrix operator[](int64_t head) const { return all.Cols(first + head * stride, width); }
};

// H = num_attention_heads, G = key_value_heads(), K = key_dim(), V = value_dim().
struct AttentionHeads {
  HeadColumns q;    // H of K, [T, ...]
  HeadColumns k;    // G of K
  HeadColumns v;    // G of V
  HeadColumns out;  // H of V, written
  float* lse;       // [H, T] log-sum-exp of the scaled scores, written; null: not wanted
};

// Attention of each of these segments over its own rows and those of its prefix: training, or
// prompts' first chunks.
void AttendOwnRows(const PassContext& pass, const std::vector<Segment>& segments,
                   const AttentionHeads& heads, Format format);

// Appends the keys and values of every segment to its slot of the cache, which is of the expanded
// form, and attends over what the slot then holds.
void AttendCache(const PassContext& pass, int64_t layer, const AttentionHeads& heads);

// Gradients of AttendOwnRows over all segments of the batch: q, k, v of dheads are written, from
// dheads.out. The gradients of a key and a value that several heads share are summed in the order
// of the heads; to those of a prefix come those of each document that begins with it, in the order
// of the segments.
void AttendBackward(const PassContext& pass, const AttentionHeads& heads,
                    const AttentionHeads& dheads, Format format);

}  // namespace darkhorse
