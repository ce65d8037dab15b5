// Rotary position embedding tables (Su et al. 2021) of adjacent pairs, as DeepSeek's models rotate,
// with YaRN where the config asks for it.
#pragma once

#include <vector>

#include "kernel/ops.h"
#include "model/config.h"

namespace darkhorse {

// Rotation frequencies, qk_rope_head_dim / 2 of them: theta^(-2j/dim), under YaRN blended with
// theta^(-2j/dim)/factor between the two correction dimensions (Peng et al. 2023, section 3.2;
// DeepSeek-V3 inference code).
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
  int64_t max_position_;
  std::vector<float> cos_sin_;  // [max_position][dim/2][2]
};

}  // namespace darkhorse
