#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace darkhorse {
namespace {

double YarnMscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

std::vector<double> RopeFrequencies(const ModelConfig& config) {
  const int64_t dim = config.qk_rope_head_dim;
  const RopeScaling& yarn = config.rope_scaling;
  std::vector<double> frequencies(static_cast<size_t>(dim / 2));
  // The dimension whose wavelength makes `rotations` turns over the original context.
  const auto correction_dim = [&](double rotations) {
    return static_cast<double>(dim) *
           std::log(static_cast<double>(yarn.original_max_position_embeddings) /
                    (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  const double low = std::max(std::floor(correction_dim(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction_dim(yarn.beta_slow)), static_cast<double>(dim - 1));
  if (high == low) high += 0.001;
  for (size_t j = 0; j < frequencies.size(); ++j) {
    const double plain =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(dim));
    frequencies[j] = plain;
    if (yarn.type == "yarn") {
      const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
      frequencies[j] = plain / yarn.factor * ramp + plain * (1 - ramp);
    }
  }
  return frequencies;
}

RopeCache::RopeCache(const ModelConfig& config)
    : dim_(config.qk_rope_head_dim), max_position_(config.max_position_embeddings) {
  const std::vector<double> frequencies = RopeFrequencies(config);
  const RopeScaling& yarn = config.rope_scaling;
  const double mscale = yarn.type == "yarn" ? YarnMscale(yarn.factor, yarn.mscale) /
                                                  YarnMscale(yarn.factor, yarn.mscale_all_dim)
                                            : 1.0;
  cos_sin_ = RopeCosSin(frequencies, mscale, max_position_);
}

double RopeCache::Bytes(const ModelConfig& config) {
  return sizeof(float) * static_cast<double>(config.max_position_embeddings) *
         static_cast<double>(config.qk_rope_head_dim);
}

RopeTable RopeCache::table() const { return {dim_, cos_sin_.data(), max_position_}; }

}  // namespace darkhorse
