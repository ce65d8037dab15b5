#include "kernel/attention.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/attention_jobs.h"
#include "kernel/kernels.h"
#include "kernel/scratch.h"

namespace darkhorse {
namespace {

static_assert(kKeyPanel == kPanel);  // WriteKeyPanels packs as products do

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

thread_local Scratch<float> t_scratch;

void ForwardQueryBlock(const AttentionJob& job, int64_t first, float scale) {
  const int64_t queries = std::min(kQueryBlock, job.q.rows - first);
  float max[kQueryBlock];
  float sum[kQueryBlock];
  Kernels().ops.attention_forward({
      .q = job.q.Row(first),
      .q_stride = job.q.stride,
      .key_panels = job.key_panels,
      .v = job.v.data,
      .v_stride = job.v.stride,
      .out = job.out.Row(first),
      .out_stride = job.out.stride,
      .max = max,
      .sum = sum,
      .queries = queries,
      .position = job.PositionOf(first),
      .position_step = job.one_position ? 0 : 1,
      .key_dim = job.q.cols,
      .value_dim = job.v.cols,
      .scale = scale,
      .scratch = t_scratch.Get(AttentionForwardScratch(queries, job.v.cols)),
  });
  if (!job.lse) return;
  for (int64_t i = 0; i < queries; ++i) job.lse[first + i] = LogSumExp(max[i], sum[i]);
}

// Strips of 16 columns (AttentionBackwardArgs).
void WriteStrips(ConstMatrix before, ConstMatrix x, int64_t padded, float* strips) {
  for (int64_t c = 0; c < x.cols; c += 16) {
    const int64_t width = std::min<int64_t>(16, x.cols - c);
    float* strip = strips + c * padded;
    if (width < 16) std::fill_n(strip, padded * 16, 0.0f);
    float* to = strip;
    for (const ConstMatrix& part : {before, x}) {
      for (int64_t t = 0; t < part.rows; ++t, to += 16) std::copy_n(part.Row(t) + c, width, to);
    }
    std::fill(to, strip + padded * 16, 0.0f);
  }
}

void WritePaddedPanels(ConstMatrix before, ConstMatrix x, float* panels) {
  const int64_t rows = before.rows + x.rows;
  if (rows % kKeyPanel != 0)
    std::fill_n(panels + rows / kKeyPanel * kKeyPanel * x.cols, kKeyPanel * x.cols, 0.0f);
  WriteKeyPanels(before, 0, panels);
  WriteKeyPanels(x, before.rows, panels);
}

void BackwardJob(const AttentionBackwardJob& job, float scale) {
  const int64_t first = job.k_before.rows;
  const int64_t positions = first + job.q.rows;
  const int64_t key_dim = job.q.cols;
  const int64_t value_dim = job.v.cols;
  const int64_t padded = RoundUp(positions, 16);
  const int64_t query_padded = RoundUp(job.q.rows, 16);
  const int64_t k_strip = RoundUp(key_dim, 16);
  const int64_t v_strip = RoundUp(value_dim, 16);
  float* next = t_scratch.Get(padded * (key_dim + value_dim + k_strip) +
                              query_padded * (k_strip + v_strip + 1));
  const auto take = [&next](int64_t floats) { return std::exchange(next, next + floats); };
  float* k_panels = take(padded * key_dim);
  float* v_panels = take(padded * value_dim);
  float* k_strips = take(padded * k_strip);
  float* q_strips = take(query_padded * k_strip);
  float* dout_strips = take(query_padded * v_strip);
  float* row_dot = take(query_padded);
  WritePaddedPanels(job.k_before, job.k, k_panels);
  WritePaddedPanels(job.v_before, job.v, v_panels);
  WriteStrips({}, job.q, query_padded, q_strips);
  WriteStrips(job.k_before, job.k, padded, k_strips);
  WriteStrips({}, job.dout, query_padded, dout_strips);
  Kernels().ops.attention_backward({
      .q = job.q.data,
      .q_stride = job.q.stride,
      .dout = job.dout.data,
      .dout_stride = job.dout.stride,
      .out = job.out.data,
      .out_stride = job.out.stride,
      .k_panels = k_panels,
      .v_panels = v_panels,
      .q_strips = q_strips,
      .k_strips = k_strips,
      .dout_strips = dout_strips,
      .lse = job.lse,
      .dq = job.dq.data,
      .dq_stride = job.dq.stride,
      .dk = job.dk.data,
      .dk_stride = job.dk.stride,
      .dv = job.dv.data,
      .dv_stride = job.dv.stride,
      .first = first,
      .positions = positions,
      .padded = padded,
      .query_padded = query_padded,
      .key_dim = key_dim,
      .value_dim = value_dim,
      .scale = scale,
      .row_dot = row_dot,
  });
}

}  // namespace

int64_t KeyPanelSize(int64_t positions, int64_t dim) { return RoundUp(positions, kKeyPanel) * dim; }

void WriteKeyPanels(ConstMatrix keys, int64_t first_position, float* panels) {
  const int64_t dim = keys.cols;
  for (int64_t row = 0; row < keys.rows;) {
    const int64_t j = first_position + row;
    const int64_t lane = j % kKeyPanel;
    const int64_t count = std::min(kKeyPanel - lane, keys.rows - row);
    const float* from = keys.Row(row);
    float* to = panels + (j - lane) * dim + lane;
    if (count == kKeyPanel) {
      Kernels().gemm.pack_panels_nt(from, keys.stride, kKeyPanel, dim, to, dim * kKeyPanel);
      row += count;
      continue;
    }
    for (int64_t d = 0; d < dim; ++d) {
      for (int64_t i = 0; i < count; ++i) to[d * kKeyPanel + i] = from[i * keys.stride + d];
    }
    row += count;
  }
}

void AttentionForward(std::span<const AttentionJob> jobs, float scale) {
  for (const AttentionJob& job : jobs) {
    CHECK(job.out.rows == job.q.rows && job.out.cols == job.v.cols);
    CHECK(job.position >= 0 && job.v.rows > job.PositionOf(job.q.rows - 1));
  }
  ForEachQueryBlock(jobs, kQueryBlock, [&](const AttentionJob& job, int64_t first) {
    ForwardQueryBlock(job, first, scale);
  });
}

void CheckShapes(std::span<const AttentionBackwardJob> jobs) {
  for (const AttentionBackwardJob& job : jobs) {
    const int64_t before = job.k_before.rows;
    CHECK(job.k.rows == job.q.rows && job.v.rows == job.q.rows && job.out.rows == job.q.rows &&
          job.dout.rows == job.q.rows && job.dq.rows == job.q.rows);
    CHECK(job.dk.rows == before + job.q.rows && job.dv.rows == before + job.q.rows);
    CHECK(job.v_before.rows == before);
    CHECK(before == 0 || (job.k_before.cols == job.k.cols && job.v_before.cols == job.v.cols));
    CHECK(job.k.cols == job.q.cols && job.dq.cols == job.q.cols && job.dk.cols == job.q.cols);
    CHECK(job.out.cols == job.v.cols && job.dout.cols == job.v.cols && job.dv.cols == job.v.cols);
  }
}

void AttentionBackward(std::span<const AttentionBackwardJob> jobs, float scale) {
  CheckShapes(jobs);
  ParallelFor(static_cast<int64_t>(jobs.size()),
              [&](int64_t i) { BackwardJob(jobs[static_cast<size_t>(i)], scale); });
}

}  // namespace darkhorse
