#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"

namespace darkhorse {
namespace {

constexpr int64_t kCapacity = 1 << 15;

ModelConfig Config() {
  ModelConfig config;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.kv_lora_rank = config.qk_nope_head_dim = config.qk_rope_head_dim = config.v_head_dim = 0;
  return config;
}

// Two layers, two heads, a key and a value of 64 floats: 2 KiB a token, 64 MiB a slot.
constexpr int64_t kSlotBytes = int64_t{2 * 2 * 2 * 64 * 4} * kCapacity;

void Fill(KvCache& cache, int64_t slot, float x) {
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t head = 0; head < 2; ++head) {
      std::fill_n(cache.KeyPanels(layer, slot, head), 64 * kCapacity, x);
      const Matrix values = cache.Values(layer, slot, head);
      std::fill_n(values.data, 64 * kCapacity, x);
    }
  }
}

TEST(KvCache, WhatASlotHeldIsGivenBack) {
  KvCache cache(Config(), CacheForm::kExpanded, 3, kCapacity, Format::kF32, kCapacity);
  for (int64_t slot = 0; slot < 3; ++slot) Fill(cache, slot, 1 + static_cast<float>(slot));
  const int64_t full = ResidentMemoryBytes();
  cache.Release(1);
  EXPECT_LE(ResidentMemoryBytes(), full - kSlotBytes * 3 / 4);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t head = 0; head < 2; ++head) {
      const float* keys = cache.KeyPanels(layer, 1, head);
      EXPECT_EQ(keys[kCapacity], 0);
      for (const int64_t other : {0, 2}) {
        const float x = 1 + static_cast<float>(other);
        const float* first = cache.KeyPanels(layer, other, head);
        EXPECT_EQ(std::count(first, first + 64 * kCapacity, x), 64 * kCapacity);
        const float* values = cache.Values(layer, other, head).data;
        EXPECT_EQ(std::count(values, values + 64 * kCapacity, x), 64 * kCapacity);
      }
    }
  }
}

TEST(KvCache, OfOneWithoutALimitNothingIs) {
  KvCache cache(Config(), CacheForm::kExpanded, 2, kCapacity);
  Fill(cache, 1, 5);
  cache.Release(1);
  EXPECT_EQ(cache.KeyPanels(1, 1, 0)[kCapacity], 5);
}

// What counts is what the slots hold together.
TEST(KvCache, ALimitIsWhatMemoryIsNeededFor) {
  const auto bytes = [](int64_t slots, int64_t tokens) {
    return KvCache::Bytes(Config(), CacheForm::kExpanded, slots, kCapacity, Format::kF32, tokens);
  };
  EXPECT_EQ(bytes(3, 0), 3.0 * kSlotBytes);
  EXPECT_EQ(bytes(3, kCapacity), 1.0 * kSlotBytes);
  EXPECT_EQ(bytes(3, 9 * kCapacity), 3.0 * kSlotBytes);
  const int64_t slots = PhysicalMemoryBytes() / kSlotBytes + 1;
  EXPECT_THROW(KvCache(Config(), CacheForm::kExpanded, slots, kCapacity), Error);
  EXPECT_NO_THROW(
      KvCache(Config(), CacheForm::kExpanded, slots, kCapacity, Format::kF32, kCapacity));
}

}  // namespace
}  // namespace darkhorse
