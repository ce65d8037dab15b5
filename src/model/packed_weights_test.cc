#include "model/packed_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/random.h"
#include "kernel/linear.h"
#include "model/config_testing.h"

namespace darkhorse {
namespace {

// Between them they have every kind of matrix.
std::vector<ModelConfig> Configs() {
  std::vector<ModelConfig> configs(3, TinyConfig());
  for (ModelConfig& config : configs) config.num_nextn_predict_layers = 1;
  configs[0].q_lora_rank = 0;
  configs[1].tie_word_embeddings = true;
  configs[2].n_shared_experts = 0;
  configs[2].topk_method = "greedy";
  return configs;
}

std::vector<std::pair<ModelConfig, Format>> Cases() {
  std::vector<std::pair<ModelConfig, Format>> cases;
  for (const Format format : {Format::kF32, Format::kBf16, Format::kQ8, Format::kQ4}) {
    for (const ModelConfig& config : Configs()) cases.emplace_back(config, format);
  }
  return cases;
}

// Every matrix that a linear layer multiplies by has a packed form of its own, which is that matrix
// packed; the embedding, which no layer multiplies by, has none. Again after the weights change.
TEST(PackedWeights, HoldsEveryMatrixThatALayerMultipliesBy) {
  for (const auto& [config, format] : Cases()) {
    const ParamLayout layout(config);
    std::vector<float> weights(static_cast<size_t>(layout.buffer_size()));
    for (size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<float>(RandomNormal(1, RandomStream::kTest, i));
    PackedWeights packed(config, layout, weights.data(), format);
    EXPECT_EQ(packed.bytes(), PackedWeights::Bytes(config, format));
    const auto expect_packed = [&](const Weight& weight, const std::string& name) {
      ASSERT_NE(weight.forward, nullptr) << name;
      std::vector<char> expected(
          static_cast<size_t>(ForwardBytes(weight.format, weight.out(), weight.in())));
      PackForward(weight, expected.data());
      EXPECT_EQ(std::memcmp(weight.forward, expected.data(), expected.size()), 0) << name;
    };
    const auto check = [&] {
      ModelWeights model = packed.model();
      std::set<const void*> places;
      ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
        if constexpr (std::is_same_v<decltype(tensor), Weight&>) {
          if (spec.kind == ParamKind::kEmbedding) {
            EXPECT_EQ(tensor.forward, nullptr);
          } else {
            expect_packed(tensor, spec.name);
            EXPECT_TRUE(places.insert(tensor.forward).second) << spec.name;
          }
        }
      });
      expect_packed(model.lm_head, "the head");
    };
    check();
    for (float& weight : weights) weight = 2 * weight + 1;
    packed.Repack();
    check();
  }
}

}  // namespace
}  // namespace darkhorse
