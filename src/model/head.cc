#include "model/head.h"

#include <algorithm>
#include <vector>

#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// Logits held at once: enough rows that the products run at full speed, also where the head's
// numbers are unpacked once for them all, few enough that they take 128 MiB at most, up to
// vocabularies of 524,288.
constexpr int64_t kLogitFloats = int64_t{1} << 25;

// Row indices that have a target; the head computes these only.
std::vector<int32_t> WantedRows(const int32_t* target, int64_t rows) {
  std::vector<int32_t> wanted;
  for (int64_t row = 0; row < rows; ++row) {
    if (target[row] >= 0) wanted.push_back(static_cast<int32_t>(row));
  }
  return wanted;
}

// One chunk: its hidden states, targets and logits.
struct Chunk {
  std::vector<int32_t> rows;
  std::vector<int32_t> target;
  Matrix hidden, logits;
};

template <typename Body>
void ForEachChunk(ConstMatrix hidden, const Weight& lm_head, const int32_t* target, Arena& arena,
                  Body body) {
  const std::vector<int32_t> wanted = WantedRows(target, hidden.rows);
  const int64_t step = HeadChunkRows(lm_head.out());
  for (int64_t begin = 0; begin < static_cast<int64_t>(wanted.size()); begin += step) {
    ArenaScope scope(arena);
    Chunk chunk;
    const int64_t end = std::min<int64_t>(begin + step, static_cast<int64_t>(wanted.size()));
    chunk.rows.assign(wanted.begin() + begin, wanted.begin() + end);
    for (const int32_t row : chunk.rows) chunk.target.push_back(target[row]);
    chunk.hidden = arena.NewMatrix(end - begin, hidden.cols);
    chunk.logits = arena.NewMatrix(end - begin, lm_head.out());
    GatherRows(hidden, chunk.rows, chunk.hidden);
    LinearForward(chunk.hidden, lm_head, chunk.logits);
    body(chunk);
  }
}

}  // namespace

int64_t HeadChunkRows(int64_t vocabulary) {
  return std::clamp<int64_t>(kLogitFloats / vocabulary / 64 * 64, 64, 1024);
}

void HeadForward(ConstMatrix hidden, const Weight& lm_head, const int32_t* target, Arena& arena,
                 float* logp, float* entropy) {
  std::fill(logp, logp + hidden.rows, 0.0f);
  if (entropy) std::fill(entropy, entropy + hidden.rows, 0.0f);
  ForEachChunk(hidden, lm_head, target, arena, [&](Chunk& chunk) {
    const size_t n = chunk.rows.size();
    std::vector<float> chunk_logp(n), chunk_entropy(n);
    LogSoftmaxRows(chunk.logits, chunk.target.data(), chunk_logp.data(),
                   entropy ? chunk_entropy.data() : nullptr);
    for (size_t i = 0; i < n; ++i) {
      logp[chunk.rows[i]] = chunk_logp[i];
      if (entropy) entropy[chunk.rows[i]] = chunk_entropy[i];
    }
  });
}

void HeadBackward(ConstMatrix hidden, const Weight& lm_head, const int32_t* target,
                  const float* dlogp, const float* dentropy, Arena& arena, Matrix dhidden,
                  const WeightGradient& dlm_head, float* logp) {
  for (int64_t row = 0; row < dhidden.rows; ++row)
    std::fill(dhidden.Row(row), dhidden.Row(row) + dhidden.cols, 0.0f);
  if (logp) std::fill(logp, logp + hidden.rows, 0.0f);
  ForEachChunk(hidden, lm_head, target, arena, [&](Chunk& chunk) {
    const size_t n = chunk.rows.size();
    std::vector<float> chunk_dlogp(n), chunk_dentropy(n), chunk_logp(n);
    for (size_t i = 0; i < n; ++i) {
      chunk_dlogp[i] = dlogp[chunk.rows[i]];
      if (dentropy) chunk_dentropy[i] = dentropy[chunk.rows[i]];
    }
    LogSoftmaxBackwardRows(chunk.logits, chunk.target.data(), chunk_dlogp.data(),
                           dentropy ? chunk_dentropy.data() : nullptr, chunk_logp.data());
    for (size_t i = 0; logp && i < n; ++i) logp[chunk.rows[i]] = chunk_logp[i];
    const Matrix dchunk = arena.NewMatrix(static_cast<int64_t>(n), hidden.cols);
    LinearBackward(chunk.logits, chunk.hidden, lm_head, dchunk, /*add_to_dx=*/false, dlm_head);
    ScatterAddRows(dchunk, chunk.rows, dhidden);
  });
}

}  // namespace darkhorse
