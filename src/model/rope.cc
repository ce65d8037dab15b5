#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace darkhorse {
namespace {

double YarnMscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// Positions are computed so many at a time: not one by one as a text grows.
constexpr int64_t kStep = 1024;

// How many are there where `positions` were asked for.
int64_t Filled(int64_t positions, int64_t max_position) {
  return std::min(max_position, (positions + kStep - 1) / kStep * kStep);
}

// Of the rotated dimensions.
double RotationScale(const RopeScaling& scaling) {
  if (scaling.type != "yarn") return 1;
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  return YarnMscale(scaling.factor, scaling.mscale) /
         YarnMscale(scaling.factor, scaling.mscale_all_dim);
}

}  // namespace

std::vector<double> RopeFrequencies(const ModelConfig& config) {
  const int64_t dim = config.rotary_dim();
  const RopeScaling& scaling = config.rope_scaling;
  const RopeScaling& yarn = scaling;
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
    if (scaling.type == "yarn") {
      const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
      frequencies[j] = plain / yarn.factor * ramp + plain * (1 - ramp);
    } else if (scaling.type == "llama3") {
      const double turns = static_cast<double>(scaling.original_max_position_embeddings) * plain /
                           (2 * std::numbers::pi);
      const double kept = std::clamp(
          (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor),
          0.0, 1.0);
      frequencies[j] = plain / scaling.factor * (1 - kept) + plain * kept;
    } else if (scaling.type == "linear") {
      frequencies[j] = plain / scaling.factor;
    }
  }
  return frequencies;
}

RopeCache::RopeCache(const ModelConfig& config)
    : dim_(config.rotary_dim()),
      order_(config.rope_interleave ? RopeOrder::kNeighbours : RopeOrder::kHalves),
      max_position_(config.max_position_embeddings),
      frequencies_(RopeFrequencies(config)),
      scale_(RotationScale(config.rope_scaling)),
      cos_sin_(FloatBuffer::Sparse(max_position_ * dim_)) {}

RopeTable RopeCache::table(int64_t positions) const {
  positions = std::min(positions, max_position_);
  if (filled_ < positions) {
    const std::lock_guard lock(mutex_);
    const int64_t end = Filled(positions, max_position_);
    if (filled_ < end) {
      RopeCosSin(frequencies_, scale_, order_, filled_, end, cos_sin_.data());
      filled_ = end;
    }
  }
  return {dim_, cos_sin_.data(), filled_, order_};
}

double RopeCache::Bytes(const ModelConfig& config, int64_t positions) {
  return sizeof(float) * static_cast<double>(Filled(positions, config.max_position_embeddings)) *
         static_cast<double>(config.rotary_dim());
}

}  // namespace darkhorse
