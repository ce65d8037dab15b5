#include "model/mla.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/attention.h"
#include "kernel/attention_bf16.h"
#include "kernel/linear.h"
#include "kernel/ops.h"
#include "model/attention.h"

namespace darkhorse {
namespace {

// A prompt chunk of at least this many tokens is cheaper expanded than absorbed (the products per
// token are fewer by about R / nope), even where only latents are cached.
constexpr int64_t kExpandRows = 16;

constexpr int64_t kCopyRows = 64;

struct Dims {
  int64_t heads, nope, rope, query, value, rank;
  explicit Dims(const ModelConfig& config)
      : heads(config.num_attention_heads),
        nope(config.qk_nope_head_dim),
        rope(config.qk_rope_head_dim),
        query(config.key_dim()),
        value(config.v_head_dim),
        rank(config.kv_lora_rank) {}
  Matrix Query(Matrix q, int64_t head) const { return q.Cols(head * query, query); }
  Matrix KeyNope(Matrix kv, int64_t head) const { return kv.Cols(head * (nope + value), nope); }
  Matrix Value(Matrix kv, int64_t head) const {
    return kv.Cols(head * (nope + value) + nope, value);
  }
};

void CopyRows(ConstMatrix from, Matrix to) {
  for (int64_t row = 0; row < from.rows; ++row) {
    std::memcpy(to.Row(row), from.Row(row), static_cast<size_t>(from.cols) * sizeof(float));
  }
}

void Queries(const PassContext& pass, const MlaWeights& w, const LinearInput& x, MlaSaved& s) {
  const Dims d(pass.config);
  const int64_t rows = x.f32().rows;
  s.q = pass.arena.NewMatrix(rows, d.heads * d.query);
  if (pass.config.q_lora_rank > 0) {
    s.q_a = pass.arena.NewMatrix(rows, pass.config.q_lora_rank);
    s.q_a_normed = pass.arena.NewMatrix(rows, pass.config.q_lora_rank);
    s.q_a_inv_rms = pass.arena.Floats(rows);
    LinearForward(x, w.q_a_proj, s.q_a);
    RmsNormForward(s.q_a, w.q_a_layernorm, static_cast<float>(pass.config.rms_norm_eps),
                   s.q_a_normed, s.q_a_inv_rms);
    LinearForward({s.q_a_normed, pass.adapter_of_row}, w.q_b_proj, s.q);
  } else {
    LinearForward(x, w.q_proj, s.q);
  }
  RopeInPlace(s.q, d.nope, d.heads, d.query, pass.rope, pass.position, /*inverse=*/false);
}

void Latents(const PassContext& pass, const MlaWeights& w, const LinearInput& x, MlaSaved& s) {
  const Dims d(pass.config);
  const int64_t rows = x.f32().rows;
  s.kv_a = pass.arena.NewMatrix(rows, d.rank + d.rope);
  s.latent = pass.arena.NewMatrix(rows, d.rank);
  s.latent_inv_rms = pass.arena.Floats(rows);
  LinearForward(x, w.kv_a_proj_with_mqa, s.kv_a);
  RmsNormForward(s.kv_a.Cols(0, d.rank), w.kv_a_layernorm,
                 static_cast<float>(pass.config.rms_norm_eps), s.latent, s.latent_inv_rms);
  RopeInPlace(s.kv_a, d.rank, 1, d.rope, pass.rope, pass.position, /*inverse=*/false);
}

// Keys and values of every head from the latents.
void Expand(const PassContext& pass, const MlaWeights& w, MlaSaved& s) {
  const Dims d(pass.config);
  const int64_t rows = s.latent.rows;
  s.kv = pass.arena.NewMatrix(rows, d.heads * (d.nope + d.value));
  s.k = pass.arena.NewMatrix(rows, d.heads * d.query);
  LinearForward({s.latent, pass.adapter_of_row}, w.kv_b_proj, s.kv);
  ParallelForRange(rows, kCopyRows, [&](int64_t begin, int64_t end) {
    for (int64_t head = 0; head < d.heads; ++head) {
      const Matrix key = d.Query(s.k, head).Rows(begin, end - begin);
      CopyRows(d.KeyNope(s.kv, head).Rows(begin, end - begin), key.Cols(0, d.nope));
      CopyRows(s.kv_a.Cols(d.rank, d.rope).Rows(begin, end - begin), key.Cols(d.nope, d.rope));
    }
  });
}

AttentionHeads Heads(const PassContext& pass, const MlaSaved& s) {
  const Dims d(pass.config);
  return {{s.q, d.query},
          {s.k, d.query},
          {s.kv, d.nope, d.nope + d.value, d.value},
          {s.heads_out, d.value},
          s.lse};
}

void StoreLatents(const PassContext& pass, int64_t layer, const MlaSaved& s) {
  const Dims d(pass.config);
  KvCache& cache = *pass.cache;
  const auto& segments = pass.batch.segments;
  ParallelFor(static_cast<int64_t>(segments.size()), [&](int64_t i) {
    const Segment& segment = segments[static_cast<size_t>(i)];
    const int64_t width = d.rank + d.rope;
    std::vector<float> numbers(static_cast<size_t>(segment.rows * width));
    const Matrix keys(numbers.data(), segment.rows, width);
    const Matrix latents = s.latent.Rows(segment.row, segment.rows);
    CopyRows(latents, keys.Cols(0, d.rank));
    CopyRows(s.kv_a.Rows(segment.row, segment.rows).Cols(d.rank, d.rope),
             keys.Cols(d.rank, d.rope));
    if (cache.format() == Format::kBf16) {
      WriteKeyTiles(keys, segment.position, cache.KeyTiles(layer, segment.slot, 0));
      WriteValueTiles(latents, segment.position, cache.padded_capacity(),
                      cache.ValueTiles(layer, segment.slot, 0));
    } else {
      WriteKeyPanels(keys, segment.position, cache.KeyPanels(layer, segment.slot, 0));
      CopyRows(latents, cache.Values(layer, segment.slot, 0).Rows(segment.position, segment.rows));
    }
  });
}

// Jobs of the heads' absorbed queries [rows, heads * width] over the latents of `segments`, to
// their contexts [rows, heads * rank]; make(segment) is the job without these. Of a token decoded,
// up to `together` heads are rows of one job, which read the latents together.
template <typename Job, typename Make>
std::vector<Job> LatentJobs(const Dims& d, const std::vector<Segment>& segments, Matrix absorbed,
                            Matrix context, int64_t together, const Make& make) {
  const int64_t width = d.rank + d.rope;
  std::vector<Job> jobs;
  for (const Segment& segment : segments) {
    Job job = make(segment);
    job.position = segment.position;
    job.one_position = segment.rows == 1;
    const int64_t at_once = job.one_position ? together : 1;
    for (int64_t head = 0; head < d.heads; head += at_once) {
      const int64_t heads = std::min(at_once, d.heads - head);
      if (job.one_position) {
        job.q = ConstMatrix(absorbed.Row(segment.row) + head * width, heads, width);
        job.out = Matrix(context.Row(segment.row) + head * d.rank, heads, d.rank);
      } else {
        job.q = absorbed.Cols(head * width, width).Rows(segment.row, segment.rows);
        job.out = context.Cols(head * d.rank, d.rank).Rows(segment.row, segment.rows);
      }
      jobs.push_back(job);
    }
  }
  return jobs;
}

// Absorbed attention over cached latents: with W_UK and W_UV the key and value rows of kv_b_proj,
//   q.k = (W_UK^T q_nope) . latent + q_rope . k_rope,   o = W_UV (sum_j p_j latent_j).
void AttendLatentCache(const PassContext& pass, const MlaWeights& w, int64_t layer,
                       const std::vector<Segment>& segments, const MlaSaved& s) {
  if (segments.empty()) return;
  const Dims d(pass.config);
  ArenaScope scope(pass.arena);
  const int64_t rows = pass.rows();
  const int64_t width = d.rank + d.rope;
  const Matrix absorbed = pass.arena.NewMatrix(rows, d.heads * width);
  const Matrix context = pass.arena.NewMatrix(rows, d.heads * d.rank);
  for (int64_t head = 0; head < d.heads; ++head) {
    const Weight key_up = w.kv_b_proj.Rows(head * (d.nope + d.value), d.nope);
    LinearBackward(d.Query(s.q, head).Cols(0, d.nope), ConstMatrix(), key_up,
                   absorbed.Cols(head * width, d.rank), false, {});
    CopyRows(d.Query(s.q, head).Cols(d.nope, d.rope), absorbed.Cols(head * width + d.rank, d.rope));
  }
  KvCache& cache = *pass.cache;
  const float scale = static_cast<float>(pass.config.SoftmaxScale());
  if (cache.format() == Format::kBf16) {
    Bf16AttentionForward(
        LatentJobs<Bf16AttentionJob>(d, segments, absorbed, context, d.heads,
                                     [&](const Segment& segment) {
                                       Bf16AttentionJob job{};
                                       job.key_tiles = cache.KeyTiles(layer, segment.slot, 0);
                                       job.value_tiles = cache.ValueTiles(layer, segment.slot, 0);
                                       job.value_positions = cache.padded_capacity();
                                       return job;
                                     }),
        scale);
  } else {
    // As many heads together as leave every thread a job.
    const int64_t parts = (NumThreads() - 1) / static_cast<int64_t>(segments.size()) + 1;
    AttentionForward(
        LatentJobs<AttentionJob>(
            d, segments, absorbed, context, (d.heads - 1) / parts + 1,
            [&](const Segment& segment) {
              AttentionJob job{};
              job.key_panels = cache.KeyPanels(layer, segment.slot, 0);
              job.v = cache.Values(layer, segment.slot, 0).Rows(0, segment.position + segment.rows);
              return job;
            }),
        scale);
  }
  // Rows that are not this function's (prompts in the same batch) must keep their heads_out: then
  // go segment by segment.
  const std::vector<Segment> whole = {{0, rows, 0, -1}};
  for (const Segment& part : segments.size() == pass.batch.segments.size() ? whole : segments) {
    for (int64_t head = 0; head < d.heads; ++head) {
      const Weight value_up = w.kv_b_proj.Rows(head * (d.nope + d.value) + d.nope, d.value);
      LinearForward(context.Cols(head * d.rank, d.rank).Rows(part.row, part.rows), value_up,
                    s.heads_out.Cols(head * d.value, d.value).Rows(part.row, part.rows));
    }
  }
}

}  // namespace

void MlaForward(const PassContext& pass, const MlaWeights& w, int64_t layer, ConstMatrix x,
                Matrix y, MlaSaved* saved) {
  const Dims d(pass.config);
  MlaSaved local{};
  MlaSaved& s = saved ? *saved : local;
  s.heads_out = pass.arena.NewMatrix(x.rows, d.heads * d.value);
  s.lse = saved ? pass.arena.Floats(d.heads * x.rows) : nullptr;
  {
    const LinearInput in = LinearInput::Shared(x, pass.adapter_of_row);
    Queries(pass, w, in, s);
    Latents(pass, w, in, s);
  }
  const Format format = AttentionFormat(w.o_proj);
  if (!pass.cache) {
    Expand(pass, w, s);
    AttendOwnRows(pass, pass.batch.segments, Heads(pass, s), format);
  } else if (pass.cache->form() == CacheForm::kExpanded) {
    CHECK(pass.cache->format() == format);
    Expand(pass, w, s);
    AttendCache(pass, layer, Heads(pass, s));
  } else {
    std::vector<Segment> prompts, continued;
    for (const Segment& segment : pass.batch.segments) {
      (segment.position == 0 && segment.rows >= kExpandRows ? prompts : continued)
          .push_back(segment);
    }
    StoreLatents(pass, layer, s);
    if (!prompts.empty()) {
      Expand(pass, w, s);
      AttendOwnRows(pass, prompts, Heads(pass, s), format);
    }
    AttendLatentCache(pass, w, layer, continued, s);
  }
  LinearForward({s.heads_out, pass.adapter_of_row}, w.o_proj, y, /*accumulate=*/true);
}

void MlaBackward(const PassContext& pass, const MlaWeights& w, const MlaSaved& s, ConstMatrix dy,
                 ConstMatrix x, Matrix dx, const MlaGradients& grads) {
  const Dims d(pass.config);
  const int64_t rows = x.rows;
  ArenaScope scope(pass.arena);
  const Matrix dheads = pass.arena.NewMatrix(rows, d.heads * d.value);
  const Matrix dq = pass.arena.NewMatrix(rows, d.heads * d.query);
  const Matrix dk = pass.arena.NewMatrix(rows, d.heads * d.query);
  const Matrix dkv = pass.arena.NewMatrix(rows, d.heads * (d.nope + d.value));
  const Matrix dkv_a = pass.arena.NewMatrix(rows, d.rank + d.rope);
  const Matrix dlatent = pass.arena.NewMatrix(rows, d.rank);

  LinearBackward(dy, s.heads_out, w.o_proj, dheads, false, grads.o_proj);

  MlaSaved gradients{};
  gradients.q = dq;
  gradients.k = dk;
  gradients.kv = dkv;
  gradients.heads_out = dheads;
  AttendBackward(pass, Heads(pass, s), Heads(pass, gradients), AttentionFormat(w.o_proj));

  // Keys: each head's nope part goes to kv_b's rows, the rotary part is shared and sums over heads
  // in head order.
  ParallelForRange(rows, kCopyRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* shared = dkv_a.Row(row) + d.rank;
      std::fill(shared, shared + d.rope, 0.0f);
      for (int64_t head = 0; head < d.heads; ++head) {
        const float* key = d.Query(dk, head).Row(row);
        std::copy(key, key + d.nope, d.KeyNope(dkv, head).Row(row));
        for (int64_t i = 0; i < d.rope; ++i) shared[i] += key[d.nope + i];
      }
    }
  });
  RopeInPlace(dkv_a, d.rank, 1, d.rope, pass.rope, pass.position, /*inverse=*/true);
  LinearBackward(dkv, s.latent, w.kv_b_proj, dlatent, false, grads.kv_b_proj);
  RmsNormBackward(dlatent, s.kv_a.Cols(0, d.rank), w.kv_a_layernorm, s.latent_inv_rms,
                  dkv_a.Cols(0, d.rank), false, grads.kv_a_layernorm);
  const LinearInput in = LinearInput::Shared(x);
  LinearBackward(dkv_a, in, w.kv_a_proj_with_mqa, dx, false, grads.kv_a_proj_with_mqa);

  RopeInPlace(dq, d.nope, d.heads, d.query, pass.rope, pass.position, /*inverse=*/true);
  if (pass.config.q_lora_rank > 0) {
    const Matrix dq_a_normed = pass.arena.NewMatrix(rows, pass.config.q_lora_rank);
    const Matrix dq_a = pass.arena.NewMatrix(rows, pass.config.q_lora_rank);
    LinearBackward(dq, s.q_a_normed, w.q_b_proj, dq_a_normed, false, grads.q_b_proj);
    RmsNormBackward(dq_a_normed, s.q_a, w.q_a_layernorm, s.q_a_inv_rms, dq_a, false,
                    grads.q_a_layernorm);
    LinearBackward(dq_a, in, w.q_a_proj, dx, true, grads.q_a_proj);
  } else {
    LinearBackward(dq, in, w.q_proj, dx, true, grads.q_proj);
  }
}

}  // namespace darkhorse
