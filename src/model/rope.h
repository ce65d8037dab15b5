// Rotary position embedding tables (Su et al. 2021), of neighbours or of halves, with the extension
// of the context that the config asks for.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "base/buffer.h"
#include "kernel/ops.h"
#include "model/config.h"

namespace darkhorse {

// Rotation frequencies, rotary_dim() / 2 of them: theta^(-2j/dim), blended with theta^(-2j/dim) /
// factor: under YaRN between the two correction dimensions (Peng et al. 2023, section 3.2;
// DeepSeek-V3 inference code), under llama3 between low_freq_factor and high_freq_factor turns over
// the original context (Llama 3.1 reference code).
std::vector<double> RopeFrequencies(const ModelConfig& config);

// cos and sin of the positions that have been asked for, and the table view that RopeInPlace takes:
// published models allow for far more positions than a text has.
class RopeCache {
 public:
  explicit RopeCache(const ModelConfig& config);
  // Of the first `positions` at least, as far as the config has so many; what is handed out stays
  // valid. Threads may ask at once.
  RopeTable table(int64_t positions) const;
  // What a table of so many takes, in bytes; exact below 2^53, so never an overflow.
  static double Bytes(const ModelConfig& config, int64_t positions);

 private:
  int64_t dim_;
  RopeOrder order_;
  int64_t max_position_;
  std::vector<double> frequencies_;
  double scale_;
  mutable FloatBuffer cos_sin_;             // RopeCosSin
  mutable std::atomic<int64_t> filled_{0};  // positions
  mutable std::mutex mutex_;                // of those who fill
};

}  // namespace darkhorse
