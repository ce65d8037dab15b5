// Rotary position embedding tables (Su et al. 2021), of neighbours or of halves, with the extension
// of the context that the config asks for.
#pragma once

#include <vector>

#include "kernel/ops.h"
#include "model/config.h"

namespace darkhorse {

// Rotation frequencies, rotary_dim() / 2 of them: theta^(-2j/dim), blended with theta^(-2j/dim) /
// factor: under YaRN between the two correction dimensions (Peng et al. 2023, section 3.2;
// DeepSeek-V3 inference code), under llama3 between low_freq_factor and high_freq_factor turns over
// the original context (Llama 3.1 reference code).
std::vector<double> RopeFrequencies(const ModelConfig& config);

// cos and sin for every position, and the table view that RopeInPlace takes.
class RopeCache {
 public:
  explicit RopeCache(const ModelConfig& config);
  RopeTable table() const;
  // What such a table takes, in bytes; exact below 2^53, so never an overflow.
  static double Bytes(const ModelConfig& config);

 private:
  int64_t dim_;
  RopeOrder order_;
  int64_t max_position_;
  std::vector<float> cos_sin_;  // RopeCosSin
};

}  // namespace darkhorse
