#include "train/moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "kernel/ops.h"
#include "train/optimizer.h"

namespace darkhorse {
namespace {

constexpr uint32_t kLots = 1 << 16;

// Over all lots: to one of the two neighbours, and x in the mean, exactly.
TEST(RoundByLot, IsEachNeighbourAsOftenAsItIsNear) {
  for (const float x : {1.0f, -1.0f, 1.0f + 0x1p-23f, -3.1415927f, 1e-30f, 0x1.fffffep-126f,
                        -0x1.234566p+99f, 0.0f}) {
    double sum = 0;
    float low = INFINITY, high = -INFINITY;
    for (uint32_t lot = 0; lot < kLots; ++lot) {
      const float rounded = ToFloat(RoundByLot(x, lot));
      sum += rounded;
      low = std::min(low, rounded);
      high = std::max(high, rounded);
    }
    EXPECT_EQ(sum / kLots, x);
    EXPECT_LE(low, x);
    EXPECT_GE(high, x);
    EXPECT_LE(high - low, std::abs(x) * 0x1p-7f);
    EXPECT_EQ(ToFloat(RoundByLot(x, kLots + 5)), ToFloat(RoundByLot(x, 5)));
  }
}

TEST(RoundByLot, KeepsToTheNumbersThatBf16Has) {
  const float most = std::numeric_limits<float>::max();
  for (const uint32_t lot : {0u, kLots - 1}) {
    EXPECT_EQ(RoundByLot(most, lot).bits, 0x7f7f);
    EXPECT_EQ(RoundByLot(-most, lot).bits, 0xff7f);
    EXPECT_EQ(RoundByLot(0x1.fffffcp-127f, lot).bits, 0);  // a denormal
    EXPECT_EQ(RoundByLot(-0x1p-149f, lot).bits, 0x8000);
    EXPECT_EQ(RoundByLot(INFINITY, lot).bits, 0x7f80);
    EXPECT_TRUE(std::isnan(ToFloat(RoundByLot(NAN, lot))));
  }
}

Bf16 AtPlace(float x, int64_t step, int64_t place, bool second) {
  const uint64_t draw = RandomBits(0, RandomStream::kMoments, static_cast<uint64_t>(step),
                                   static_cast<uint64_t>(place / 2));
  const auto lots = static_cast<uint32_t>(draw >> (place % 2 == 0 ? 0 : 32));
  return RoundByLot(x, second ? lots >> 16 : lots);
}

// However the numbers are cut into calls.
TEST(Moments, AreRoundedByTheLotsOfTheirPlaceAndStep) {
  constexpr int64_t kSize = 5001;
  const auto value = [](int64_t place) { return 0.37f * static_cast<float>(place) - 700; };
  for (const int64_t at_once : {kSize, int64_t{1}, int64_t{7}, int64_t{2000}}) {
    Moments moments(kSize, Format::kBf16);
    for (int64_t begin = 0; begin < kSize; begin += at_once) {
      moments.Update(begin, std::min(at_once, kSize - begin), 3,
                     [&](int64_t offset, int64_t n, float* first, float* second) {
                       for (int64_t i = 0; i < n; ++i) {
                         EXPECT_EQ(first[i], 0);
                         first[i] = value(begin + offset + i);
                         second[i] = -first[i];
                       }
                     });
    }
    ASSERT_EQ(moments.rounded(0).size(), static_cast<size_t>(kSize));
    EXPECT_TRUE(moments.floats(0).empty());
    for (int64_t i = 0; i < kSize; ++i) {
      const auto place = static_cast<size_t>(i);
      ASSERT_EQ(moments.rounded(0)[place].bits, AtPlace(value(i), 3, i, false).bits) << i;
      ASSERT_EQ(moments.rounded(1)[place].bits, AtPlace(-value(i), 3, i, true).bits) << i;
    }
  }
  EXPECT_EQ(2 * Moments::Bytes(1024, Format::kBf16), Moments::Bytes(1024, Format::kF32));
}

TEST(Moments, ASecondOneThatIsNotZeroStaysSo) {
  Moments moments(3, Format::kBf16);
  moments.Update(0, 3, 1, [](int64_t, int64_t, float* first, float* second) {
    first[0] = second[0] = 1e-42f;
    second[1] = 0x1p-126f;
  });
  EXPECT_EQ(ToFloat(moments.rounded(0)[0]), 0);
  EXPECT_EQ(ToFloat(moments.rounded(1)[0]), 0x1p-126f);
  EXPECT_EQ(ToFloat(moments.rounded(1)[1]), 0x1p-126f);
  EXPECT_EQ(ToFloat(moments.rounded(1)[2]), 0);
}

// To the nearest it would stay 1: a step takes a thousandth, half of the last bit is a 512th. A
// place's variance grows by at most a quarter of the last bit's square a step, a bit being at most
// a 128th of what there is: of the mean of n places after t steps it is at most t / (4 n 128^2) of
// its square. Six deviations.
TEST(Moments, FallSlowlyByLot) {
  constexpr int64_t kSize = 4096, kSteps = 2000;
  Moments moments(kSize, Format::kBf16);
  moments.Update(0, kSize, 0,
                 [](int64_t, int64_t n, float*, float* second) { std::fill_n(second, n, 1.0f); });
  for (int64_t step = 1; step <= kSteps; ++step) {
    moments.Update(0, kSize, step, [](int64_t, int64_t n, float*, float* second) {
      for (int64_t i = 0; i < n; ++i) second[i] *= 0.999f;
    });
  }
  double mean = 0;
  for (const Bf16 x : moments.rounded(1)) mean += ToFloat(x) / kSize;
  const double want = std::pow(0.999, kSteps);
  EXPECT_NEAR(mean, want, 6 * want * std::sqrt(kSteps / (4.0 * kSize * 128 * 128)));
}

ModelConfig OneLayer() {
  ModelConfig config;
  config.vocab_size = 400;  // more of the embedding than one thread rounds at once
  config.hidden_size = 48;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 1;
  config.kv_lora_rank = 2;
  config.qk_nope_head_dim = 2;
  config.qk_rope_head_dim = 2;
  config.v_head_dim = 2;
  config.first_k_dense_replace = 0;
  config.moe_intermediate_size = 3;
  config.n_routed_experts = 2;
  config.num_experts_per_tok = 1;
  return config;
}

// The update is that of f32 on the rounded means, which it then rounds: of AdamW to the bit.
// However many threads there are.
TEST(Moments, AnUpdateRoundsWhatF32Makes) {
  const ParamLayout layout(OneLayer());
  const auto size = static_cast<size_t>(layout.buffer_size());
  const int threads = NumThreads();
  for (const std::string kind : {"adamw", "muon"}) {
    for (const int with : {1, 2, 3}) {
      SetNumThreads(with);
      OptimizerOptions options;
      options.optimizer = kind;
      options.max_grad_norm = 0;
      options.moments = "bf16";
      Optimizer optimizer(layout, options);
      std::vector<float> weights(size, 0.5f), first(size), second(size), expected = weights;
      for (int64_t step = 1; step <= 3; ++step) {
        std::vector<float> grads(size);
        for (const ParamInfo& param : layout.params()) {
          if (param.kind == ParamKind::kRouterBias) continue;
          for (int64_t i = param.offset; i < param.offset + param.size; ++i) {
            grads[static_cast<size_t>(i)] = static_cast<float>(RandomNormal(
                static_cast<uint64_t>(step), RandomStream::kTest, static_cast<uint64_t>(i)));
          }
        }
        optimizer.Step(grads.data(), 0.5, weights.data());
        for (const ParamInfo& param : layout.params()) {
          if (param.kind == ParamKind::kRouterBias) continue;
          const bool muon = kind == "muon" && param.kind == ParamKind::kMatrix;
          const bool decays = param.kind != ParamKind::kNorm && param.kind != ParamKind::kRouter;
          const auto bias = [&](double beta) {
            return static_cast<float>(1 - std::pow(beta, static_cast<double>(step)));
          };
          const AdamWParams p{static_cast<float>(options.learning_rate * 0.5),
                              static_cast<float>(options.beta1),
                              static_cast<float>(options.beta2),
                              static_cast<float>(options.epsilon),
                              decays ? static_cast<float>(options.weight_decay) : 0.0f,
                              bias(options.beta1),
                              bias(options.beta2),
                              1.0f};
          const auto at = [&](std::vector<float>& of) { return of.data() + param.offset; };
          if (muon) {
            const auto momentum = static_cast<float>(options.muon_momentum);
            for (int64_t i = 0; i < param.size; ++i)
              at(first)[i] = momentum * at(first)[i] + at(grads)[i];
          } else {
            AdamWUpdate(p, at(grads), at(expected), at(first), at(second), param.size);
          }
          for (int64_t i = param.offset; i < param.offset + param.size; ++i) {
            const auto place = static_cast<size_t>(i);
            first[place] = ToFloat(AtPlace(first[place], step, i, false));
            second[place] = ToFloat(AtPlace(second[place], step, i, true));
            if (muon) continue;
            ASSERT_EQ(weights[place], expected[place]) << param.name << " " << step;
          }
        }
        optimizer.VisitState([&]<typename T>(const std::string& name, std::span<T> values) {
          const std::vector<float>& want = name == "first_moment" ? first : second;
          if constexpr (std::is_same_v<T, Bf16>) {
            for (size_t i = 0; i < size; ++i) ASSERT_EQ(ToFloat(values[i]), want[i]) << name << i;
          } else {
            FAIL() << name << " is not rounded";
          }
        });
      }
    }
  }
  SetNumThreads(threads);
}

}  // namespace
}  // namespace darkhorse
