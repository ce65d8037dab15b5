#include "model/attention.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/attention.h"
#include "kernel/attention_bf16.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

using Segments = std::span<const Segment>;

// Calls body for runs of the segments, in order. The keys of a run, of prefixes too, are no more
// than the pass has rows, so what is laid out for it takes no more memory than without prefixes.
template <typename Body>
void ForEachRun(const PassContext& pass, Segments segments, const Body& body) {
  size_t begin = 0;
  int64_t keys = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const int64_t own = segments[i].prefix_rows() + segments[i].rows;
    if (i > begin && keys + own > pass.rows()) {
      body(segments.subspan(begin, i - begin));
      begin = i, keys = 0;
    }
    keys += own;
  }
  body(segments.subspan(begin));
}

// The rows of x that hold the positions before the segment's own, and its own.
Matrix PrefixOf(const Segment& segment, Matrix x) {
  return x.Rows(std::max<int64_t>(0, segment.prefix), segment.prefix_rows());
}
Matrix RowsOf(const Segment& segment, Matrix x) { return x.Rows(segment.row, segment.rows); }

// Calls body(segment, key/value head, index) for each pair of them, on all threads.
template <typename Body>
void ForEachKeyHead(Segments segments, int64_t key_heads, const Body& body) {
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
std::vector<Job> MakeJobs(const PassContext& pass, Segments segments, const AttentionHeads& heads,
                          const Make& make) {
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

void CopyRows(ConstMatrix from, Matrix to) {
  for (int64_t row = 0; row < from.rows; ++row) std::copy_n(from.Row(row), from.cols, to.Row(row));
}

void AttendOwnRowsF32(const PassContext& pass, Segments segments, const AttentionHeads& heads) {
  const int64_t key_heads = pass.config.key_value_heads(), width = heads.k.width;
  struct Laid {
    float* panels;
    Matrix values;  // in place, or behind those of the prefix
  };
  std::vector<Laid> laid;
  for (const Segment& segment : segments) {
    const int64_t positions = segment.prefix_rows() + segment.rows;
    for (int64_t head = 0; head < key_heads; ++head) {
      float* panels = pass.arena.Floats(KeyPanelSize(positions, width));
      laid.push_back({panels, segment.prefix_rows() > 0
                                  ? pass.arena.NewMatrix(positions, heads.v.width)
                                  : RowsOf(segment, heads.v[head])});
    }
  }
  ForEachKeyHead(segments, key_heads, [&](const Segment& segment, int64_t head, int64_t i) {
    const auto& [out, values] = laid[static_cast<size_t>(i)];
    const int64_t before = segment.prefix_rows(), positions = before + segment.rows;
    // The last panel's tail is read (and masked), so it must hold numbers.
    const int64_t whole = positions / kKeyPanel * kKeyPanel;
    std::fill(out + whole * width, out + KeyPanelSize(positions, width), 0.0f);
    WriteKeyPanels(PrefixOf(segment, heads.k[head]), 0, out);
    WriteKeyPanels(RowsOf(segment, heads.k[head]), before, out);
    if (before == 0) return;
    CopyRows(PrefixOf(segment, heads.v[head]), values.Rows(0, before));
    CopyRows(RowsOf(segment, heads.v[head]), values.Rows(before, segment.rows));
  });
  const auto make = [&](const Segment&, int64_t pair) {
    AttentionJob job{};
    job.key_panels = laid[static_cast<size_t>(pair)].panels;
    job.v = laid[static_cast<size_t>(pair)].values;
    return job;
  };
  AttentionForward(MakeJobs<AttentionJob>(pass, segments, heads, make), Scale(pass));
}

void AttendOwnRowsBf16(const PassContext& pass, Segments segments, const AttentionHeads& heads) {
  const int64_t key_heads = pass.config.key_value_heads();
  const auto take = [&](int64_t numbers) {
    return reinterpret_cast<Bf16*>(pass.arena.Floats((numbers + 1) / 2));
  };
  struct Tiles {
    Bf16 *keys, *values;
  };
  std::vector<Tiles> tiles;
  for (const Segment& segment : segments) {
    const int64_t positions = segment.prefix_rows() + segment.rows;
    for (int64_t head = 0; head < key_heads; ++head) {
      Bf16* keys = take(KeyTilesSize(positions, heads.k.width));
      tiles.push_back({keys, take(ValueTilesSize(positions, heads.v.width))});
    }
  }
  ForEachKeyHead(segments, key_heads, [&](const Segment& segment, int64_t head, int64_t i) {
    const Tiles& to = tiles[static_cast<size_t>(i)];
    const int64_t before = segment.prefix_rows(), positions = before + segment.rows;
    WriteKeyTiles(PrefixOf(segment, heads.k[head]), 0, to.keys);
    WriteKeyTiles(RowsOf(segment, heads.k[head]), before, to.keys);
    WriteValueTiles(PrefixOf(segment, heads.v[head]), 0, positions, to.values);
    WriteValueTiles(RowsOf(segment, heads.v[head]), before, positions, to.values);
  });
  Bf16AttentionForward(
      MakeJobs<Bf16AttentionJob>(pass, segments, heads,
                                 [&](const Segment& segment, int64_t pair) {
                                   const Tiles& from = tiles[static_cast<size_t>(pair)];
                                   Bf16AttentionJob job{};
                                   job.key_tiles = from.keys;
                                   job.value_tiles = from.values;
                                   job.value_positions = segment.prefix_rows() + segment.rows;
                                   return job;
                                 }),
      Scale(pass));
}

}  // namespace

void AttendOwnRows(const PassContext& pass, const std::vector<Segment>& segments,
                   const AttentionHeads& heads, Format format) {
  if (segments.empty()) return;
  ForEachRun(pass, segments, [&](Segments run) {
    ArenaScope scope(pass.arena);
    (format == Format::kBf16 ? AttendOwnRowsBf16 : AttendOwnRowsF32)(pass, run, heads);
  });
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

// Adds to, or writes, of[g] = from[g * group] + ... + from[g * group + group - 1], in order, row by
// row.
void SumGroups(const HeadColumns& from, int64_t from_row, int64_t group, int64_t key_heads,
               const HeadColumns& of, int64_t of_row, int64_t rows, bool add) {
  ParallelForRange(rows, kSumRows, [&](int64_t begin, int64_t end) {
    for (int64_t head = 0; head < key_heads; ++head) {
      const Matrix sum = of[head];
      for (int64_t i = 0; i < group; ++i) {
        const Matrix part = from[head * group + i];
        for (int64_t row = begin; row < end; ++row) {
          float* to = sum.Row(of_row + row);
          const float* x = part.Row(from_row + row);
          for (int64_t d = 0; d < of.width; ++d) to[d] = i == 0 && !add ? x[d] : to[d] + x[d];
        }
      }
    }
  });
}

// Of a run of segments (ForEachRun).
void AttendBackwardRun(const PassContext& pass, Segments segments, const AttentionHeads& heads,
                       const AttentionHeads& dheads, Format format) {
  ArenaScope scope(pass.arena);
  const int64_t query_heads = pass.config.num_attention_heads;
  const int64_t key_heads = pass.config.key_value_heads();
  const int64_t group = query_heads / key_heads;
  int64_t keys = 0, shared = 0;
  for (const Segment& segment : segments) {
    keys += segment.prefix_rows() + segment.rows;
    shared += segment.prefix_rows();
  }
  // Of each query head and document, one document behind the other, where several share a key.
  const bool apart = group > 1 || shared > 0;
  HeadColumns dk = dheads.k, dv = dheads.v;
  if (apart) {
    dk = {pass.arena.NewMatrix(keys, query_heads * dk.width), dk.width};
    dv = {pass.arena.NewMatrix(keys, query_heads * dv.width), dv.width};
  }
  std::vector<AttentionBackwardJob> jobs;
  int64_t key_row = 0;
  for (const Segment& segment : segments) {
    const int64_t positions = segment.prefix_rows() + segment.rows;
    const int64_t first_key = apart ? key_row : segment.row;
    for (int64_t head = 0; head < query_heads; ++head) {
      const Matrix k = heads.k[head / group], v = heads.v[head / group];
      jobs.push_back({RowsOf(segment, heads.q[head]), RowsOf(segment, k), RowsOf(segment, v),
                      RowsOf(segment, heads.out[head]), RowsOf(segment, dheads.out[head]),
                      heads.lse + head * pass.rows() + segment.row, RowsOf(segment, dheads.q[head]),
                      dk[head].Rows(first_key, positions), dv[head].Rows(first_key, positions),
                      PrefixOf(segment, k), PrefixOf(segment, v)});
    }
    key_row += positions;
  }
  if (format == Format::kBf16) {
    Bf16AttentionBackward(jobs, Scale(pass));
  } else {
    AttentionBackward(jobs, Scale(pass));
  }
  if (!apart) return;
  key_row = 0;
  for (const Segment& segment : segments) {
    for (const auto& [from, of] : {std::pair{dk, dheads.k}, {dv, dheads.v}}) {
      const int64_t before = segment.prefix_rows();
      SumGroups(from, key_row, group, key_heads, of, segment.prefix, before, true);
      SumGroups(from, key_row + before, group, key_heads, of, segment.row, segment.rows, false);
    }
    key_row += segment.prefix_rows() + segment.rows;
  }
}

}  // namespace

void AttendBackward(const PassContext& pass, const AttentionHeads& heads,
                    const AttentionHeads& dheads, Format format) {
  ForEachRun(pass, pass.batch.segments,
             [&](Segments run) { AttendBackwardRun(pass, run, heads, dheads, format); });
}

}  // namespace darkhorse
