#include "model/attention.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/attention.h"
#include "kernel/attention_bf16.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// Calls body(segment, key/value head, index) for each pair of them, on all threads.
template <typename Body>
void ForEachKeyHead(const std::vector<Segment>& segments, int64_t key_heads, const Body& body) {
  ParallelFor(static_cast<int64_t>(segments.size()) * key_heads, [&](int64_t i) {
    body(segments[static_cast<size_t>(i / key_heads)], i % key_heads, i);
  });
}

// One row of some heads as rows.
Matrix HeadsOfRow(const HeadColumns& of, int64_t row, int64_t first, int64_t heads) {
  const Matrix one = of[first];
  return {one.Row(row), heads, of.width, of.stride};
}

// Jobs of all query heads of all segments; make(segment, i) is that of pair i of segment and
// key/value head, without its queries.
template <typename Job, typename Make>
std::vector<Job> MakeJobs(const PassContext& pass, const std::vector<Segment>& segments,
                          const AttentionHeads& heads, const Make& make) {
  const int64_t query_heads = pass.config.num_attention_heads;
  const int64_t key_heads = pass.config.key_value_heads();
  const int64_t group = query_heads / key_heads;
  std::vector<Job> jobs;
  for (size_t s = 0; s < segments.size(); ++s) {
    const Segment& segment = segments[s];
    if (segment.rows == 1 && !heads.lse) {
      for (int64_t head = 0; head < key_heads; ++head) {
        Job job = make(segment, static_cast<int64_t>(s) * key_heads + head);
        job.q = HeadsOfRow(heads.q, segment.row, head * group, group);
        job.out = HeadsOfRow(heads.out, segment.row, head * group, group);
        job.position = segment.position;
        job.one_position = true;
        jobs.push_back(job);
      }
      continue;
    }
    for (int64_t head = 0; head < query_heads; ++head) {
      const int64_t pair = static_cast<int64_t>(s) * key_heads + head / group;
      Job job = make(segment, pair);
      job.q = heads.q[head].Rows(segment.row, segment.rows);
      job.out = heads.out[head].Rows(segment.row, segment.rows);
      job.lse = heads.lse ? heads.lse + head * pass.rows() + segment.row : nullptr;
      job.position = segment.position;
      jobs.push_back(job);
    }
  }
  return jobs;
}

float Scale(const PassContext& pass) { return static_cast<float>(pass.config.SoftmaxScale()); }

void AttendOwnRowsF32(const PassContext& pass, const std::vector<Segment>& segments,
                      const AttentionHeads& heads) {
  const int64_t key_heads = pass.config.key_value_heads(), width = heads.k.width;
  std::vector<float*> panels;
  for (const Segment& segment : segments) {
    for (int64_t head = 0; head < key_heads; ++head)
      panels.push_back(pass.arena.Floats(KeyPanelSize(segment.rows, width)));
  }
  ForEachKeyHead(segments, key_heads, [&](const Segment& segment, int64_t head, int64_t i) {
    float* out = panels[static_cast<size_t>(i)];
    // The last panel's tail is read (and masked), so it must hold numbers.
    const int64_t whole = segment.rows / kKeyPanel * kKeyPanel;
    std::fill(out + whole * width, out + KeyPanelSize(segment.rows, width), 0.0f);
    WriteKeyPanels(heads.k[head].Rows(segment.row, segment.rows), 0, out);
  });
  AttentionForward(MakeJobs<AttentionJob>(pass, segments, heads,
                                          [&](const Segment& segment, int64_t pair) {
                                            AttentionJob job{};
                                            job.key_panels = panels[static_cast<size_t>(pair)];
                                            job.v = heads.v[pair % key_heads].Rows(segment.row,
                                                                                   segment.rows);
                                            return job;
                                          }),
                   Scale(pass));
}

void AttendOwnRowsBf16(const PassContext& pass, const std::vector<Segment>& segments,
                       const AttentionHeads& heads) {
  const int64_t key_heads = pass.config.key_value_heads();
  const auto take = [&](int64_t numbers) {
    return reinterpret_cast<Bf16*>(pass.arena.Floats((numbers + 1) / 2));
  };
  struct Tiles {
    Bf16 *keys, *values;
  };
  std::vector<Tiles> tiles;
  for (const Segment& segment : segments) {
    for (int64_t head = 0; head < key_heads; ++head) {
      Bf16* keys = take(KeyTilesSize(segment.rows, heads.k.width));
      tiles.push_back({keys, take(ValueTilesSize(segment.rows, heads.v.width))});
    }
  }
  ForEachKeyHead(segments, key_heads, [&](const Segment& segment, int64_t head, int64_t i) {
    const Tiles& to = tiles[static_cast<size_t>(i)];
    WriteKeyTiles(heads.k[head].Rows(segment.row, segment.rows), 0, to.keys);
    WriteValueTiles(heads.v[head].Rows(segment.row, segment.rows), 0, segment.rows, to.values);
  });
  Bf16AttentionForward(MakeJobs<Bf16AttentionJob>(pass, segments, heads,
                                                  [&](const Segment& segment, int64_t pair) {
                                                    const Tiles& from =
                                                        tiles[static_cast<size_t>(pair)];
                                                    Bf16AttentionJob job{};
                                                    job.key_tiles = from.keys;
                                                    job.value_tiles = from.values;
                                                    job.value_positions = segment.rows;
                                                    return job;
                                                  }),
                       Scale(pass));
}

void CopyRows(ConstMatrix from, Matrix to) {
  for (int64_t row = 0; row < from.rows; ++row) std::copy_n(from.Row(row), from.cols, to.Row(row));
}

}  // namespace

void AttendOwnRows(const PassContext& pass, const std::vector<Segment>& segments,
                   const AttentionHeads& heads, Format format) {
  if (segments.empty()) return;
  ArenaScope scope(pass.arena);
  if (format == Format::kBf16) {
    AttendOwnRowsBf16(pass, segments, heads);
  } else {
    AttendOwnRowsF32(pass, segments, heads);
  }
}

void AttendCache(const PassContext& pass, int64_t layer, const AttentionHeads& heads) {
  KvCache& cache = *pass.cache;
  const auto& segments = pass.batch.segments;
  const int64_t key_heads = pass.config.key_value_heads();
  const bool bf16 = cache.format() == Format::kBf16;
  ForEachKeyHead(segments, key_heads, [&](const Segment& segment, int64_t head, int64_t) {
    const ConstMatrix keys = heads.k[head].Rows(segment.row, segment.rows);
    const ConstMatrix values = heads.v[head].Rows(segment.row, segment.rows);
    if (bf16) {
      WriteKeyTiles(keys, segment.position, cache.KeyTiles(layer, segment.slot, head));
      WriteValueTiles(values, segment.position, cache.padded_capacity(),
                      cache.ValueTiles(layer, segment.slot, head));
    } else {
      WriteKeyPanels(keys, segment.position, cache.KeyPanels(layer, segment.slot, head));
      CopyRows(values,
               cache.Values(layer, segment.slot, head).Rows(segment.position, segment.rows));
    }
  });
  if (bf16) {
    const auto make = [&](const Segment& segment, int64_t pair) {
      Bf16AttentionJob job{};
      job.key_tiles = cache.KeyTiles(layer, segment.slot, pair % key_heads);
      job.value_tiles = cache.ValueTiles(layer, segment.slot, pair % key_heads);
      job.value_positions = cache.padded_capacity();
      return job;
    };
    Bf16AttentionForward(MakeJobs<Bf16AttentionJob>(pass, segments, heads, make), Scale(pass));
    return;
  }
  const auto make = [&](const Segment& segment, int64_t pair) {
    AttentionJob job{};
    job.key_panels = cache.KeyPanels(layer, segment.slot, pair % key_heads);
    job.v = cache.Values(layer, segment.slot, pair % key_heads)
                .Rows(0, segment.position + segment.rows);
    return job;
  };
  AttentionForward(MakeJobs<AttentionJob>(pass, segments, heads, make), Scale(pass));
}

namespace {

constexpr int64_t kSumRows = 64;

// of[g] = the sum of from[g * group] ... from[g * group + group - 1], in order.
void SumGroups(const HeadColumns& from, int64_t group, int64_t key_heads, const HeadColumns& of) {
  ParallelForRange(of.all.rows, kSumRows, [&](int64_t begin, int64_t end) {
    for (int64_t head = 0; head < key_heads; ++head) {
      const Matrix sum = of[head];
      for (int64_t i = 0; i < group; ++i) {
        const Matrix part = from[head * group + i];
        for (int64_t row = begin; row < end; ++row) {
          float* to = sum.Row(row);
          const float* x = part.Row(row);
          for (int64_t d = 0; d < of.width; ++d) to[d] = i == 0 ? x[d] : to[d] + x[d];
        }
      }
    }
  });
}

}  // namespace

void AttendBackward(const PassContext& pass, const AttentionHeads& heads,
                    const AttentionHeads& dheads, Format format) {
  ArenaScope scope(pass.arena);
  const int64_t query_heads = pass.config.num_attention_heads;
  const int64_t key_heads = pass.config.key_value_heads();
  const int64_t group = query_heads / key_heads;
  const int64_t rows = pass.rows();
  // Of each query head, where several share a key.
  HeadColumns dk = dheads.k, dv = dheads.v;
  if (group > 1) {
    dk = {pass.arena.NewMatrix(rows, query_heads * dk.width), dk.width};
    dv = {pass.arena.NewMatrix(rows, query_heads * dv.width), dv.width};
  }
  std::vector<AttentionBackwardJob> jobs;
  for (const Segment& segment : pass.batch.segments) {
    const auto part = [&](Matrix m) { return m.Rows(segment.row, segment.rows); };
    for (int64_t head = 0; head < query_heads; ++head) {
      jobs.push_back({part(heads.q[head]), part(heads.k[head / group]), part(heads.v[head / group]),
                      part(heads.out[head]), part(dheads.out[head]),
                      heads.lse + head * rows + segment.row, part(dheads.q[head]), part(dk[head]),
                      part(dv[head])});
    }
  }
  if (format == Format::kBf16) {
    Bf16AttentionBackward(jobs, Scale(pass));
  } else {
    AttentionBackward(jobs, Scale(pass));
  }
  if (group == 1) return;
  SumGroups(dk, group, key_heads, dheads.k);
  SumGroups(dv, group, key_heads, dheads.v);
}

}  // namespace darkhorse
