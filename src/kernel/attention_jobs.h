// What attention in f32 and in bf16 share (attention.cc, attention_bf16.cc).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"

namespace darkhorse {

inline float LogSumExp(float max, float sum) {
  return static_cast<float>(static_cast<double>(max) + std::log(static_cast<double>(sum)));
}

// Calls run(job, first row) for each block of `block` query rows of each job, on all threads.
template <typename Job, typename Run>
void ForEachQueryBlock(std::span<const Job> jobs, int64_t block, const Run& run) {
  // item = one block of one job; first[i] = the first item of job i
  std::vector<int64_t> first(jobs.size() + 1, 0);
  for (size_t i = 0; i < jobs.size(); ++i)
    first[i + 1] = first[i] + (jobs[i].q.rows + block - 1) / block;
  ParallelFor(first.back(), [&](int64_t item) {
    const size_t i =
        static_cast<size_t>(std::upper_bound(first.begin(), first.end(), item) - first.begin() - 1);
    run(jobs[i], (item - first[i]) * block);
  });
}

}  // namespace darkhorse
