#include "model/transformer.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {

namespace {

void CopyFloats(ConstMatrix from, Matrix to) {
  std::memcpy(to.data, from.data, static_cast<size_t>(from.size()) * sizeof(float));
}

// The layer, keeping of it what Activations::kRecomputed does.
void ForwardKeepingInput(const PassContext& pass, const LayerWeights& w, int64_t layer, Matrix x,
                         LayerSaved* kept) {
  const ModelConfig& config = pass.config;
  const int64_t choices = x.rows * config.num_experts_per_tok;
  kept->in = pass.arena.NewMatrix(x.rows, x.cols);
  CopyFloats(x, kept->in);
  Routing routing{};
  if (w.is_moe) {
    routing = {pass.arena.NewMatrix(x.rows, config.n_routed_experts), pass.arena.Ints(choices),
               pass.arena.Floats(choices)};
  }
  ArenaScope scope(pass.arena);
  LayerSaved all;
  LayerForward(pass, w, layer, x, &all);
  if (!w.is_moe) return;
  CopyFloats(all.moe.routing.scores, routing.scores);
  std::memcpy(routing.expert, all.moe.routing.expert, static_cast<size_t>(choices) * 4);
  std::memcpy(routing.weight, all.moe.routing.weight, static_cast<size_t>(choices) * 4);
  kept->moe.routing = routing;
}

// The layer again from the input that was kept, and then its gradients.
void RecomputedBackward(const PassContext& pass, const LayerWeights& w, int64_t layer,
                        const LayerSaved& kept, float balance_alpha, Matrix dx,
                        const LayerGradients& grads) {
  ArenaScope scope(pass.arena);
  const Matrix x = pass.arena.NewMatrix(dx.rows, dx.cols);
  CopyFloats(kept.in, x);
  LayerSaved all;
  LayerForward(pass, w, layer, x, &all);
  LayerBackward(pass, w, all, balance_alpha, dx, grads);
}

}  // namespace

const int32_t* RowPositions(const TokenBatch& batch, const ModelConfig& config, Arena& arena) {
  int32_t* position = arena.Ints(batch.rows());
  int64_t row = 0;
  for (const Segment& segment : batch.segments) {
    CHECK(segment.row == row && segment.rows > 0);
    if (const int64_t before = segment.prefix_rows(); before > 0) {
      const int64_t last = segment.prefix + before - 1;
      CHECK(last < row && position[last] == before - 1);
    }
    if (segment.position + segment.rows > config.max_position_embeddings) {
      Fail(
          "a sequence of {} tokens exceeds max_position_embeddings = {}; use shorter sequences or "
          "a model with a longer context",
          segment.position + segment.rows, config.max_position_embeddings);
    }
    for (int64_t i = 0; i < segment.rows; ++i)
      position[row++] = static_cast<int32_t>(segment.position + i);
  }
  CHECK(row == batch.rows());
  for (const int32_t token : batch.tokens) {
    if (token < 0 || token >= config.vocab_size) {
      Fail(
          "token id {} is outside the model's vocabulary of {}; use the tokenizer that belongs to "
          "the model",
          token, config.vocab_size);
    }
  }
  return position;
}

namespace {

// Which adapter each row takes, in `arena`; empty where all take the first.
AdapterOfRow RowAdapters(const TokenBatch& batch, Arena& arena) {
  if (std::ranges::all_of(batch.segments, [](const Segment& s) { return s.adapter == 0; }))
    return {};
  int32_t* adapter = arena.Ints(batch.rows());
  for (const Segment& segment : batch.segments)
    std::fill_n(adapter + segment.row, segment.rows, segment.adapter);
  return {adapter, static_cast<size_t>(batch.rows())};
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, Activations activations)
    : config_(config), activations_(activations), rope_(config), cost_(config) {}

Matrix Transformer::Forward(const ModelWeights& weights, const TokenBatch& batch, KvCache* cache,
                            Arena& arena, TransformerSaved* saved, PartClock* clock) const {
  const PartTimer timer(clock, Part::kRest);
  const int64_t rows = batch.rows();
  const Matrix hidden = arena.NewMatrix(rows, config_.hidden_size);
  const Matrix x = arena.NewMatrix(rows, config_.hidden_size);
  float* inv_rms = arena.Floats(rows);
  std::optional<ArenaScope> scope;
  if (!saved) scope.emplace(arena);
  const PassContext pass{config_, rope_.table(batch.positions()),
                         batch,   RowPositions(batch, config_, arena),
                         cache,   arena,
                         clock,   RowAdapters(batch, arena)};

  GatherRows(weights.embed_tokens, batch.tokens, x);
  if (saved) saved->layers.assign(weights.layers.size(), {});
  const bool keep_input = saved && activations_ == Activations::kRecomputed;
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    (keep_input ? ForwardKeepingInput : LayerForward)(pass, weights.layers[layer],
                                                      static_cast<int64_t>(layer), x,
                                                      saved ? &saved->layers[layer] : nullptr);
  }
  RmsNormForward(x, weights.norm, static_cast<float>(config_.rms_norm_eps), hidden, inv_rms);
  if (saved) {
    saved->final_in = x;
    saved->final_inv_rms = inv_rms;
    saved->hidden = hidden;
  }
  return hidden;
}

void Transformer::Backward(const ModelWeights& weights, const TokenBatch& batch,
                           const TransformerSaved& saved, Matrix dhidden, float balance_alpha,
                           Arena& arena, const ModelGradients& grads, PartClock* clock) const {
  const PartTimer timer(clock, Part::kRest);
  ArenaScope scope(arena);
  const PassContext pass{config_, rope_.table(batch.positions()),
                         batch,   RowPositions(batch, config_, arena),
                         nullptr, arena,
                         clock};
  const Matrix dx = arena.NewMatrix(batch.rows(), config_.hidden_size);
  RmsNormBackward(dhidden, saved.final_in, weights.norm, saved.final_inv_rms, dx,
                  /*add_to_dx=*/false, grads.norm);
  for (size_t layer = weights.layers.size(); layer-- > 0;) {
    if (activations_ == Activations::kRecomputed) {
      RecomputedBackward(pass, weights.layers[layer], static_cast<int64_t>(layer),
                         saved.layers[layer], balance_alpha, dx, grads.layers[layer]);
    } else {
      LayerBackward(pass, weights.layers[layer], saved.layers[layer], balance_alpha, dx,
                    grads.layers[layer]);
    }
  }
  ScatterAddRows(dx, batch.tokens, grads.embed_tokens.w);
}

}  // namespace darkhorse
