#include "model/mtp.h"

#include <cstring>

#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// The parts of a module's block are charged to the module.
PassContext Unclocked(PassContext pass) {
  pass.clock = nullptr;
  return pass;
}

}  // namespace

std::vector<int32_t> ShiftWithinSegments(const TokenBatch& batch, const int32_t* target,
                                         int64_t shift) {
  std::vector<int32_t> shifted(batch.tokens.size(), -1);
  for (const Segment& segment : batch.segments) {
    for (int64_t i = 0; i + shift < segment.rows; ++i) {
      shifted[static_cast<size_t>(segment.row + i)] = target[segment.row + i + shift];
    }
  }
  return shifted;
}

void MtpForward(const PassContext& pass, const ModelWeights& model, int64_t depth,
                ConstMatrix previous, MtpSaved* s) {
  const PartTimer timer(pass.clock, Part::kMtpModules);
  const MtpWeights& w = model.mtp[static_cast<size_t>(depth)];
  const float eps = static_cast<float>(pass.config.rms_norm_eps);
  const int64_t rows = previous.rows;
  const int64_t hidden = previous.cols;
  Arena& arena = pass.arena;
  s->embedding = arena.NewMatrix(rows, hidden);
  s->embedding_inv_rms = arena.Floats(rows);
  s->hidden_inv_rms = arena.Floats(rows);
  s->out_inv_rms = arena.Floats(rows);
  s->concat = arena.NewMatrix(rows, 2 * hidden);
  s->layer_in = arena.NewMatrix(rows, hidden);
  s->out = arena.NewMatrix(rows, hidden);
  GatherRows(model.embed_tokens, s->next, s->embedding);
  RmsNormForward(s->embedding, w.enorm, eps, s->concat.Cols(0, hidden), s->embedding_inv_rms);
  RmsNormForward(previous, w.hnorm, eps, s->concat.Cols(hidden, hidden), s->hidden_inv_rms);
  LinearForward(s->concat, w.eh_proj, s->layer_in);
  s->layer_out = s->layer_in;  // the block works in place and keeps its own copy of its input
  LayerForward(Unclocked(pass), w.layer, pass.config.num_hidden_layers + depth, s->layer_out,
               &s->layer);
  RmsNormForward(s->layer_out, w.norm, eps, s->out, s->out_inv_rms);
}

void MtpBackward(const PassContext& pass, const ModelWeights& model, int64_t depth,
                 ConstMatrix previous, const MtpSaved& s, float balance_alpha, Matrix dout,
                 Matrix dprevious, const ModelGradients& grads) {
  const PartTimer timer(pass.clock, Part::kMtpModules);
  const MtpWeights& w = model.mtp[static_cast<size_t>(depth)];
  const MtpGradients& g = grads.mtp[static_cast<size_t>(depth)];
  const int64_t rows = previous.rows;
  const int64_t hidden = previous.cols;
  ArenaScope scope(pass.arena);
  const Matrix dx = pass.arena.NewMatrix(rows, hidden);
  const Matrix dconcat = pass.arena.NewMatrix(rows, 2 * hidden);
  RmsNormBackward(dout, s.layer_out, w.norm, s.out_inv_rms, dx, /*add_to_dx=*/false, g.norm);
  LayerBackward(Unclocked(pass), w.layer, s.layer, balance_alpha, dx, g.layer);
  LinearBackward(dx, s.concat, w.eh_proj, dconcat, /*add_to_dx=*/false, g.eh_proj);
  RmsNormBackward(dconcat.Cols(hidden, hidden), previous, w.hnorm, s.hidden_inv_rms, dprevious,
                  /*add_to_dx=*/true, g.hnorm);
  RmsNormBackward(dconcat.Cols(0, hidden), s.embedding, w.enorm, s.embedding_inv_rms, dx,
                  /*add_to_dx=*/false, g.enorm);
  ScatterAddRows(dx, s.next, grads.embed_tokens.w);
}

}  // namespace darkhorse
