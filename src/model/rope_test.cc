#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace darkhorse {
namespace {

ModelConfig Yarn(int64_t dim, double theta, RopeScaling scaling) {
  ModelConfig config;
  config.qk_rope_head_dim = dim;
  config.rope_theta = theta;
  config.rope_scaling = std::move(scaling);
  config.rope_scaling.type = "yarn";
  return config;
}

// By how much each frequency is scaled down: 1 - ramp (1 - 1/factor).
std::vector<double> Kept(const ModelConfig& config) {
  ModelConfig plain = config;
  plain.rope_scaling = {};
  const std::vector<double> scaled = RopeFrequencies(config), own = RopeFrequencies(plain);
  std::vector<double> out;
  for (size_t j = 0; j < own.size(); ++j) out.push_back(scaled[j] / own[j]);
  return out;
}

// Turns over the original context: theta^(-j/4) * 80 pi / (2 pi) = 40, 12.6, 4, 1.26 for theta =
// 100.
TEST(Rope, Llama3KeepsFastFrequenciesAndDividesSlowOnes) {
  ModelConfig config;
  config.kv_lora_rank = 0;
  config.head_dim = 8;
  config.rope_theta = 100;
  const std::vector<double> plain = RopeFrequencies(config);
  config.rope_scaling = {
      .type = "llama3", .factor = 8, .low_freq_factor = 2, .high_freq_factor = 6};
  config.rope_scaling.original_max_position_embeddings = 251;  // 39.95 turns of the first
  const std::vector<double> scaled = RopeFrequencies(config);
  const double turns = 251 / (2 * std::numbers::pi) * plain[2], kept = (turns - 2) / 4;
  EXPECT_EQ(scaled[0], plain[0]);
  EXPECT_EQ(scaled[1], plain[1]);
  EXPECT_DOUBLE_EQ(scaled[2], plain[2] * kept + plain[2] / 8 * (1 - kept));
  EXPECT_EQ(scaled[3], plain[3] / 8);
}

TEST(Rope, LinearDividesEveryFrequency) {
  ModelConfig config;
  config.qk_rope_head_dim = 4;
  config.rope_theta = 100;
  config.rope_scaling = {.type = "linear", .factor = 4};
  EXPECT_EQ(RopeFrequencies(config), (std::vector<double>{0.25, 0.025}));
}

TEST(Rope, PlainFrequenciesArePowersOfTheta) {
  ModelConfig config;
  config.qk_rope_head_dim = 6;
  config.rope_theta = 1000;
  const std::vector<double> frequencies = RopeFrequencies(config);
  ASSERT_EQ(frequencies.size(), 3u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1);
  EXPECT_DOUBLE_EQ(frequencies[1], 0.1);
  EXPECT_DOUBLE_EQ(frequencies[2], 0.01);
}

// The dimension of r rotations is dim ln(L / (2 pi r)) / (2 ln theta): with dim = 16 and theta =
// e^2 four times the logarithm, which r is chosen to make 0.55 and 1.45.
TEST(Rope, YarnBlendsBetweenItsTwoDimensions) {
  RopeScaling scaling;
  scaling.factor = 5;
  scaling.original_max_position_embeddings = 4096;
  const double top = std::log(4096 / (2 * std::numbers::pi));
  scaling.beta_fast = std::exp(top - 0.55);  // dimension 2.2: 2 after rounding down
  scaling.beta_slow = std::exp(top - 1.45);  // dimension 5.8: 6 after rounding up
  const std::vector<double> kept = Kept(Yarn(16, std::exp(2.0), scaling));
  const std::vector<double> ramp = {0, 0, 0, 0.25, 0.5, 0.75, 1, 1};
  ASSERT_EQ(kept.size(), ramp.size());
  for (size_t j = 0; j < ramp.size(); ++j) EXPECT_DOUBLE_EQ(kept[j], 1 - ramp[j] * 0.8) << j;
}

// Both dimensions are kept within [0, dim - 1]. beta_fast rotates more often than the whole context
// does at all (its dimension would be -0.9: 0); beta_slow's would be 5.6, rounded up 6: 3. So the
// second of two pairs is a third of the way.
TEST(Rope, YarnClampsItsDimensions) {
  RopeScaling scaling;
  scaling.factor = 4;
  scaling.original_max_position_embeddings = 4096;
  scaling.beta_fast = 1900;
  scaling.beta_slow = 1;
  const std::vector<double> kept = Kept(Yarn(4, 10, scaling));
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_DOUBLE_EQ(kept[0], 1);
  EXPECT_DOUBLE_EQ(kept[1], 1 - (1 - 0.25) / 3);
}

// The table holds (cos, sin) of position times frequency, times the ratio of the two mscales.
TEST(Rope, TheTableIsScaledByTheRatioOfTheMscales) {
  RopeScaling scaling;
  scaling.factor = 40;
  scaling.mscale = 2;
  scaling.mscale_all_dim = 0.5;
  ModelConfig config = Yarn(8, 10000, scaling);
  config.max_position_embeddings = 10;
  const double ratio = (0.1 * 2 * std::log(40.0) + 1) / (0.1 * 0.5 * std::log(40.0) + 1);
  const std::vector<double> frequencies = RopeFrequencies(config);
  const RopeCache cache(config);
  const RopeTable table = cache.table(10);
  EXPECT_EQ(table.dim, 8);
  EXPECT_EQ(table.max_position, 10);
  for (int64_t position = 0; position < 10; ++position) {
    for (int64_t j = 0; j < 4; ++j) {
      const double angle = static_cast<double>(position) * frequencies[j];
      const float* pair = table.cos_sin + (position * 4 + j) * 2;
      EXPECT_FLOAT_EQ(pair[0], static_cast<float>(ratio * std::cos(angle)));
      EXPECT_FLOAT_EQ(pair[1], static_cast<float>(ratio * std::sin(angle)));
    }
  }
}

// A table that has grown is the one that was made at once, and stands where it stood.
TEST(Rope, PositionsAreComputedWhenTheyAreAskedFor) {
  ModelConfig config;
  config.max_position_embeddings = 2500;
  const RopeCache grown(config), whole(config);
  const RopeTable first = grown.table(3);
  EXPECT_EQ(first.max_position, 1024);
  EXPECT_EQ(RopeCache::Bytes(config, 3), 4.0 * 1024 * static_cast<double>(config.rotary_dim()));
  EXPECT_EQ(grown.table(1024).max_position, 1024);
  EXPECT_EQ(grown.table(1025).max_position, 2048);
  const RopeTable all = grown.table(9999), expected = whole.table(2500);
  EXPECT_EQ(all.max_position, 2500);
  EXPECT_EQ(all.cos_sin, first.cos_sin);
  EXPECT_EQ(RopeCache::Bytes(config, 9999), 4.0 * 2500 * static_cast<double>(config.rotary_dim()));
  for (int64_t i = 0; i < 2500 * all.dim; ++i) ASSERT_EQ(all.cos_sin[i], expected.cos_sin[i]) << i;
}

}  // namespace
}  // namespace darkhorse
