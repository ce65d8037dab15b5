// What both kinds of export share: rows read by all threads, part by part, and checked.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/export.h"

namespace darkhorse {

inline void RequireNew(const std::string& out) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(out, error)))
    Fail("{}: exists already; name another place, or remove it first", out);
}

// Error: a number beyond `largest`, which the format would make infinite.
inline void RequireWithin(const float* numbers, int64_t count, float largest,
                          const std::string& path, const std::string& name) {
  const float* end = numbers + count;
  const float* found = std::find_if(numbers, end, [&](float x) { return std::abs(x) > largest; });
  if (found == end) return;
  Fail("{}: {} holds {}, beyond the largest number of the format, {}; choose f32", path, name,
       *found, largest);
}

// Counts bytes, tells of them, and leaves where that is asked for.
class ExportProgress {
 public:
  ExportProgress(const ExportOptions& options, int64_t total) : options_(options), total_(total) {}
  void Add(int64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(done_, total_);
    LeaveIfAsked(options_.stop);
  }

 private:
  const ExportOptions& options_;
  int64_t done_ = 0, total_;
};

// All rows in order, in groups that take a few MB of memory: begin(count) before each group, then
// work(group's first row, first row, count) for ranges of its rows, from many threads at once, then
// end().
template <typename Begin, typename Work, typename End>
void ForRows(int64_t rows, int64_t cols, const Begin& begin, const Work& work, const End& end) {
  constexpr int64_t kNumbers = 1 << 16, kRanges = 64;
  const int64_t step = std::max<int64_t>(1, kNumbers / cols);
  for (int64_t first = 0; first < rows; first += step * kRanges) {
    const int64_t count = std::min(step * kRanges, rows - first);
    begin(count);
    ParallelForRange(count, step,
                     [&](int64_t from, int64_t to) { work(first, first + from, to - from); });
    end();
  }
}

}  // namespace darkhorse
